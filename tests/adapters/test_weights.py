"""Pairs (A, B) of an adapter: what they add is what the module adds, and which write into the residual stream."""

from __future__ import annotations

import pytest
import torch
from tests.engine.every_family import TABLE, tiny
from tests.families import DOWN, FAMILIES, WIDTH, build, prompt, shared

from misdirection.adapters.weights import AdapterError, labels_of, pairs_of
from misdirection.models import Model, find_layers
from misdirection.models.families import POST_NORMED

PLAIN = [name for name in FAMILIES if FAMILIES[name][0] not in POST_NORMED and name != "gemma3-vision"]


@pytest.mark.parametrize("adapter", ["one", "all"])
@pytest.mark.parametrize("family", ["llama", "gpt-neox", "gpt-neo"])
def test_a_pair_adds_what_the_module_adds(family: str, adapter: str) -> None:
    model = shared(family)
    for pair in pairs_of(model, adapter)[:6]:
        module = model.lora[adapter][pair.path]
        x = torch.randn(3, pair.a.shape[1], generator=torch.Generator().manual_seed(1))
        wide = module.get_base_layer()(x)
        down, up = module.lora_A[adapter], module.lora_B[adapter]
        expected = up(down(x)) * module.scaling[adapter]
        assert torch.allclose(pair.scaling * x @ pair.a.T @ pair.b.T, expected, atol=1e-5)
        bias = module.get_base_layer().bias
        assert torch.allclose(x @ pair.weight.T + (0 if bias is None else bias), wide, atol=1e-5)


@pytest.mark.parametrize("family", [name for name in PLAIN if name != "gpt-oss"])
def test_a_writer_adds_its_output_to_the_residual_stream_as_it_is(family: str) -> None:
    assert _moves(family) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "olmo2"])
def test_families_that_norm_it_first_are_named(family: str) -> None:
    assert FAMILIES[family][0] in POST_NORMED and _moves(family) > 0.1


def _moves(family: str) -> float:
    """Move an MLP's output by d: by how much the stream after its layer moves otherwise than by d."""
    model = shared(family)
    pair = pairs_of(model, "one")[0]
    assert pair.writes and pair.path.endswith(DOWN.get(family, "down_proj"))
    layer, module = model.layers[pair.layer], model.lora["one"][pair.path]
    moved = torch.randn(WIDTH, generator=torch.Generator().manual_seed(4))
    before, after = (_after(model, layer, module, d) for d in (torch.zeros(WIDTH), moved))
    return float((after - before - moved).abs().max())


def _after(model: Model, layer: torch.nn.Module, module: torch.nn.Module, moved: torch.Tensor) -> torch.Tensor:
    held: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: held.append((out if torch.is_tensor(out) else out[0]).clone())),
        module.register_forward_hook(lambda _m, _i, out: out + moved),
    ]
    with torch.inference_mode():
        model.decoder(input_ids=torch.tensor([prompt(3, 5)]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return held[0]


def test_the_other_modules_of_a_block_do_not_write() -> None:
    wrote = {pair.path.rsplit(".", 1)[-1]: pair.writes for pair in pairs_of(shared("llama"), "all")}
    assert wrote == {
        "q_proj": False, "k_proj": False, "v_proj": False, "o_proj": True,
        "gate_proj": False, "up_proj": False, "down_proj": True,
    }  # fmt: skip
    neox = {pair.path.split(".", 3)[-1]: pair.writes for pair in pairs_of(shared("gpt-neox"), "all")}
    assert {path for path, writes in neox.items() if writes} >= {"attention.dense", "mlp.dense_4h_to_h"}
    assert not any(writes for path, writes in neox.items() if path.endswith(("query_key_value", "dense_h_to_4h")))


def test_names_layers_and_what_is_not_there() -> None:
    model = build("llama")
    one = [pair.path for pair in pairs_of(model, "one")]
    assert list(labels_of(one).values()) == ["layer 1", "layer 2"]
    every = labels_of([pair.path for pair in pairs_of(model, "all")])
    assert "layer 0 q_proj" in every.values() and len(set(every.values())) == len(every)
    with pytest.raises(AdapterError, match="no adapter is called 'two'"):
        pairs_of(model, "two")


def test_every_family_with_a_norm_behind_its_mlp_stands_in_the_table() -> None:
    found: set[str] = set()
    for kind in TABLE:
        names = [name for name, _ in find_layers(tiny(kind))[1].named_children()]
        if any(name.startswith(("post_feedforward", "post_mlp")) and "norm" in name for name in names):
            found.add(kind)
    assert found == {kind for kind in POST_NORMED if kind in TABLE}
