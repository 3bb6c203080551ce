from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.every_family import TABLE, tiny
from tests.families import FAMILIES, LAYERS, WIDTH, config, network, prompt, vector, words
from tests.repair.plain import changed, loaded, logits, saved, without
from transformers import AutoModelForCausalLM, PreTrainedModel

from misdirection.engine import Ablate, Arm, Set, Text, capture_projections
from misdirection.models import wrap
from misdirection.repair.errors import RepairError
from misdirection.repair.places import WRITTEN_STRAIGHT
from misdirection.repair.project import at_layers, everywhere
from misdirection.repair.write import project_weights

V = vector(7)
UNIT = V / V.norm()
STRAIGHT = [name for name in FAMILIES if FAMILIES[name][0] in WRITTEN_STRAIGHT]


def components(lm: PreTrainedModel, arm: Arm | None = None) -> torch.Tensor:
    """The component along the direction after every layer, shape (layers, tokens)."""
    units = {layer: UNIT[None] for layer in range(LAYERS)}
    found = capture_projections(wrap(lm, words(), "x"), [Text(prompt(1, 12), {}, arm or Arm("base"), 6)], units)[0]
    return torch.stack([found[layer][:, 0] for layer in range(LAYERS)])


@pytest.mark.parametrize("family", STRAIGHT)
def test_projected_weights_equal_hooks_where_blocks_write(family: str, tmp_path: Path) -> None:
    lm = network(family)
    done = project_weights(saved(lm, tmp_path / "a"), everywhere(V * 5, LAYERS), tmp_path / "b")
    repaired = loaded(tmp_path / "b")
    assert type(repaired) is type(lm)
    with changed(lm, lambda x, _: without(x, UNIT)):
        wanted = logits(lm)
    torch.testing.assert_close(logits(repaired), wanted, atol=1e-4, rtol=1e-4)
    assert (components(lm).abs() > 0.1).any() and (components(repaired).abs() < 1e-4).all()
    # The engine's removal after every layer has nothing left to take.
    arm = Arm("ablated", None, (Ablate(V, tuple(range(LAYERS))),))
    torch.testing.assert_close(components(repaired, arm), components(repaired), atol=1e-4, rtol=0)
    assert set(done.along) == {None, *range(LAYERS)} and 0 < done.along[0].share < 1


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt-neox", "gpt-neo", "gpt-oss"])
def test_biases_set_the_component_from_layer_to_layer_as_the_engine_does(family: str, tmp_path: Path) -> None:
    values = torch.tensor([0.5, -3.0, 0.0, 7.0])
    project_weights(saved(network(family), tmp_path / "a"), everywhere(V, LAYERS, values), tmp_path / "b")
    repaired = loaded(tmp_path / "b")
    found = components(repaired)
    torch.testing.assert_close(found, values[:, None].expand(LAYERS, 12), atol=1e-4, rtol=0)
    arm = Arm("set", None, (Set(V, tuple(range(LAYERS)), values),))
    torch.testing.assert_close(components(repaired, arm), found, atol=1e-4, rtol=0)


def test_chosen_layers_stop_writing_along_their_own_directions(tmp_path: Path) -> None:
    lm, many = network("qwen2"), vector(3, LAYERS, WIDTH)
    units = torch.nn.functional.normalize(many, dim=-1)
    done = project_weights(saved(lm, tmp_path / "a"), at_layers(many, (1, 3)), tmp_path / "b")
    with changed(lm, lambda x, layer: without(x, units[layer]) if layer in (1, 3) else x):
        wanted = logits(lm)
    torch.testing.assert_close(logits(loaded(tmp_path / "b")), wanted, atol=1e-4, rtol=1e-4)
    assert set(done.along) == {1, 3} and done.tensors == 4


def test_set_equals_hooks_that_project_and_add_the_differences(tmp_path: Path) -> None:
    lm, values = network("llama"), torch.tensor([0.5, -3.0, 0.0, 7.0])
    project_weights(saved(lm, tmp_path / "a"), everywhere(V, LAYERS, values), tmp_path / "b")
    steps, seen = values.diff(prepend=torch.zeros(1)), list[int | None]()

    def set_to(x: torch.Tensor, layer: int | None) -> torch.Tensor:
        seen.append(layer)
        behind_mlp = layer is not None and seen.count(layer) == 2
        return without(x, UNIT) + (float(steps[layer]) * UNIT if layer is not None and behind_mlp else 0.0)

    with changed(lm, set_to):
        wanted = logits(lm)
    torch.testing.assert_close(logits(loaded(tmp_path / "b")), wanted, atol=1e-4, rtol=1e-4)


TIED: list[tuple[str, dict[str, Any]]] = [
    ("qwen2", {}), ("llama", {"attention_bias": True, "mlp_bias": True}), ("mistral", {}), ("gpt-neo", {}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "more"), TIED)
def test_tied_embeddings_leave_the_head_as_it_was(family: str, more: dict[str, Any], tmp_path: Path) -> None:
    settings = config(family)
    settings.tie_word_embeddings = True
    for name, value in more.items():
        setattr(settings, name, value)
    torch.manual_seed(1)
    lm = AutoModelForCausalLM.from_config(settings).float().eval()
    with torch.no_grad():
        for values in lm.parameters():
            values.add_(0.1 * torch.randn_like(values))
    assert lm.get_input_embeddings().weight is lm.get_output_embeddings().weight
    done = project_weights(saved(lm, tmp_path / "a"), everywhere(V, LAYERS), tmp_path / "b")
    assert "tie_word_embeddings is false" in done.notes[0]
    repaired = loaded(tmp_path / "b")
    with changed(lm, lambda x, _: without(x, UNIT)):
        wanted = logits(lm)
    torch.testing.assert_close(logits(repaired), wanted, atol=1e-4, rtol=1e-4)
    heads = [model.get_output_embeddings() for model in (lm, repaired)]
    assert heads[0] and heads[1] and torch.equal(heads[0].weight, heads[1].weight)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_half_precision_in_several_shards_is_rounded_once(kind: str, tmp_path: Path) -> None:
    lm = network("qwen2").to(getattr(torch, kind))
    source = saved(lm, tmp_path / "a", max_shard_size="20KB")
    assert len(list(source.glob("*.safetensors"))) > 3
    project_weights(source, everywhere(V, LAYERS), tmp_path / "b")
    repaired = loaded(tmp_path / "b")
    assert repaired.dtype == lm.dtype
    before, after = dict(lm.named_parameters()), dict(repaired.named_parameters())
    for name, weight in before.items():
        if "o_proj" in name or "down_proj" in name:
            exact = weight.float() - torch.outer(UNIT, UNIT @ weight.float())
            step = torch.finfo(lm.dtype).eps
            assert ((after[name].float() - exact).abs() <= 0.51 * step * exact.abs() + 1e-7).all(), name
        elif "embed" not in name:
            assert torch.equal(after[name], weight), name


@pytest.mark.parametrize(
    ("family", "said"),
    [("gemma2", "norms what a block writes"), ("gemma3", "norms what a block"), ("olmo2", "norms what a block")],
)
def test_families_with_a_norm_behind_the_block_are_refused_by_name(family: str, said: str, tmp_path: Path) -> None:
    source = saved(network(family), tmp_path / "a")
    with pytest.raises(RepairError, match=rf"'{FAMILIES[family][0]}', which {said}"):
        project_weights(source, everywhere(V, LAYERS), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_norm_behind_the_block_is_no_matter_of_taste(tmp_path: Path) -> None:
    """Why: weights projected all the same leave the component in, through the norm's own weights."""
    from misdirection.repair import places

    lm = network("gemma2")
    source = saved(lm, tmp_path / "a")
    allowed = places.demand_exact
    try:
        places.demand_exact = lambda *_: None
        project_weights(source, everywhere(V, LAYERS), tmp_path / "b")
    finally:
        places.demand_exact = allowed
    assert (components(loaded(tmp_path / "b")).abs() > 0.05).any()


def test_what_cannot_be_repaired_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = saved(network("qwen2"), tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    out = tmp_path / "b"
    cases: list[tuple[Any, Path, str]] = [
        (everywhere(torch.ones(WIDTH + 1), LAYERS), out, "direction is 33 wide, and the model 32"),
        (everywhere(V, LAYERS, torch.arange(4.0)), out, "'qwen2' has no bias that is added to the residual stream"),
        (everywhere(V, LAYERS, 1.5), out, "no component of it can be set in the weights"),
        (everywhere(V, LAYERS), tmp_path / "full", "is there already, and nothing is overwritten"),
    ]
    for removal, place, said in cases:
        with pytest.raises(RepairError, match=said):
            project_weights(source, removal, place)
    for make, said in [
        (lambda: everywhere(torch.zeros(WIDTH), LAYERS), "has no length"),
        (lambda: everywhere(V, LAYERS, torch.zeros(7)), "values of 7 layers, and the model has 4"),
        (lambda: at_layers(vector(3, LAYERS, WIDTH), (4,)), "there is no layer 4"),
    ]:
        with pytest.raises(RepairError, match=said):
            make()
    settings = (source / "config.json").read_text()
    (source / "config.json").write_text(
        settings.replace("{", '{"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true},', 1)
    )
    with pytest.raises(RepairError, match=r"is quantised \(bitsandbytes fp4\)"):
        project_weights(source, everywhere(V, LAYERS), out)
    assert not out.exists() and [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(WRITTEN_STRAIGHT & TABLE.keys()))
def test_every_family_that_is_not_refused(kind: str, tmp_path: Path) -> None:
    lm = tiny(kind)
    width = lm.config.get_text_config().hidden_size
    v = vector(7, width)
    unit = v / v.norm()
    project_weights(saved(lm, tmp_path / "a"), everywhere(v, LAYERS), tmp_path / "b")
    repaired = loaded(tmp_path / "b")
    with changed(lm, lambda x, _: without(x, unit) if x.shape[-1] == width else x):
        wanted = logits(lm)
    torch.testing.assert_close(logits(repaired), wanted, atol=2e-4, rtol=1e-3)
    units = {layer: unit[None] for layer in range(LAYERS)}
    found = capture_projections(wrap(repaired, words(), kind), [Text(prompt(1, 12), {}, Arm("b"), 6)], units)[0]
    assert all(float(part.abs().max()) < 1e-4 for part in found.values())
