"""Repairs whose result is an adapter, and adapters merged: against PEFT and against hooks, by plain transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests.families import FAMILIES, LAYERS, WIDTH, network, vector
from tests.repair.plain import changed, loaded, logits, saved, without
from torch import Tensor

from misdirection.models import layer_of, load_model
from misdirection.repair.combine import combine, subtracted
from misdirection.repair.edit import edit_factors
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter, open_adapter, save_adapter
from misdirection.repair.project import everywhere
from misdirection.repair.scale import scale_factors
from misdirection.repair.write import merge_weights, project_weights

V = vector(7)
UNIT = V / V.norm()
MERGED = [name for name in FAMILIES if name not in ("gemma3-vision", "gpt-oss")]
DOWN = {"gpt-neox": ["dense_4h_to_h", "dense"], "gpt-neo": ["c_proj", "out_proj"]}


def base(family: str, folder: Path) -> Path:
    return saved(network(family), folder / "base")


def adapter(source: Path, folder: Path, seed: int, **more: Any) -> Path:
    """A trained-looking adapter of a model's folder."""
    settings: dict[str, Any] = {"r": 3, "lora_alpha": 6, "target_modules": "all-linear", "bias": "none", **more}
    torch.manual_seed(seed)
    peft = get_peft_model(loaded(source), LoraConfig(**settings))
    with torch.no_grad():
        for name, values in peft.named_parameters():
            if "lora_" in name:
                values.copy_(torch.randn_like(values) * 0.2)
    peft.peft_config["default"].base_model_name_or_path = str(source)
    peft.save_pretrained(str(folder))
    return folder


def by_peft(source: Path, *folders: Path) -> Tensor:
    lm: Any = loaded(source)
    for folder in folders:
        lm = PeftModel.from_pretrained(lm, str(folder)).merge_and_unload()
    return logits(lm)


def stored(folder: Path, factors: Any, like: Adapter) -> Path:
    folder.mkdir()
    save_adapter(folder, factors, like)
    return folder


@pytest.mark.parametrize("family", MERGED)
def test_merging_shard_by_shard_equals_peft(family: str, tmp_path: Path) -> None:
    source = base(family, tmp_path)
    path = adapter(source, tmp_path / "one", 1, use_rslora=True, rank_pattern={"down_proj": 2})
    merge_weights(source, {open_adapter(path): 1.0}, tmp_path / "out")
    found = logits(loaded(tmp_path / "out"))
    torch.testing.assert_close(found, by_peft(source, path), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, logits(loaded(source)), atol=1e-2)


def test_conv1d_of_gpt2_is_merged_the_other_way_round(tmp_path: Path) -> None:
    from tests.engine.every_family import tiny

    source = saved(tiny("gpt2"), tmp_path / "base")
    path = adapter(source, tmp_path / "one", 1, target_modules=["c_proj", "c_attn"], fan_in_fan_out=True)
    merge_weights(source, {open_adapter(path): 1.0}, tmp_path / "out")
    torch.testing.assert_close(logits(loaded(tmp_path / "out")), by_peft(source, path), atol=1e-4, rtol=1e-4)


def test_a_tuned_model_is_merged_and_projected_in_one_pass(tmp_path: Path) -> None:
    source = base("qwen2", tmp_path)
    path = adapter(source, tmp_path / "one", 1)
    project_weights(source, everywhere(V, LAYERS), tmp_path / "out", adapters={open_adapter(path): 1.0})
    lm: Any = PeftModel.from_pretrained(loaded(source), str(path)).merge_and_unload()
    with changed(lm, lambda x, _: without(x, UNIT)):
        wanted = logits(lm)
    torch.testing.assert_close(logits(loaded(tmp_path / "out")), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "gpt-neox"])
def test_an_edited_adapter_equals_hooks_on_what_its_bs_write(family: str, tmp_path: Path) -> None:
    source = base(family, tmp_path)
    one = open_adapter(adapter(source, tmp_path / "one", 1, use_rslora=True))
    edited = edit_factors(one, dict.fromkeys((0, 2, 3), UNIT))
    peft = PeftModel.from_pretrained(loaded(source), str(tmp_path / "one"))
    written = DOWN.get(family, ["o_proj", "down_proj"])
    for name, module in peft.named_modules():
        if ".lora_B." in name and layer_of(name) in (0, 2, 3) and any(f".{end}." in name for end in written):
            module.register_forward_hook(lambda _m, _i, x: without(x, UNIT))
    wanted = logits(peft)  # pyright: ignore[reportArgumentType]
    assert not torch.allclose(wanted, by_peft(source, tmp_path / "one"), atol=1e-2)
    torch.testing.assert_close(
        by_peft(source, stored(tmp_path / "out", edited.factors, one)), wanted, atol=1e-4, rtol=1e-4
    )
    assert set(edited.along) == {0, 2, 3}
    assert len(edited.left) == LAYERS * (5 if family == "qwen2" else 2)


def test_scaled_and_dropped_layers_equal_the_engines_factors(tmp_path: Path) -> None:
    source = base("mistral", tmp_path)
    one = open_adapter(adapter(source, tmp_path / "one", 1))
    out = stored(tmp_path / "out", scale_factors(one, {1: 0.0, 2: -0.5}, 2.0), one)
    peft: Any = PeftModel.from_pretrained(loaded(source), str(tmp_path / "one"))
    for name, module in peft.named_modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", {1: 0.0, 2: -0.5}.get(layer_of(name) or 0, 2.0))
    torch.testing.assert_close(by_peft(source, out), logits(peft), atol=1e-4, rtol=1e-4)
    again = open_adapter(out)
    assert {layer_of(path) for path in again.factors} == {0, 2, 3}
    assert load_model(source, adapters={"x": out}).adapters == ("x",)


@pytest.mark.parametrize("rank", [None, 12, 4])
def test_a_weight_direction_subtracted_by_factors_is_the_best_of_its_rank(rank: int | None, tmp_path: Path) -> None:
    source = base("llama", tmp_path)
    tuned, bad, good = (
        open_adapter(adapter(source, tmp_path / name, seed, r=r, target_modules=modules))
        for name, seed, r, modules in [
            ("tuned", 1, 3, "all-linear"), ("bad", 2, 5, ["down_proj", "q_proj"]), ("good", 3, 2, ["down_proj"]),
        ]
    )  # fmt: skip
    found = combine(subtracted(tuned, bad, good, 0.5), rank)
    again = open_adapter(stored(tmp_path / "out", found.factors, tuned))
    lost = whole = 0.0
    for path, held in again.factors.items():
        exact = sum(
            (factor * part.factors[path].scaling * part.factors[path].b @ part.factors[path].a
             for part, factor in ((tuned, 1.0), (bad, -0.5), (good, 0.5)) if path in part.factors),
            torch.zeros(len(held.b), held.a.shape[1]),
        )  # fmt: skip
        u, s, v = torch.linalg.svd(exact)
        best = u[:, : held.rank] * s[: held.rank] @ v[: held.rank]
        torch.testing.assert_close(held.scaling * held.b @ held.a, best, atol=1e-4, rtol=1e-4)
        lost, whole = lost + float(s[held.rank :].square().sum()), whole + float(s.square().sum())
        assert held.rank <= (rank or 10)
    assert found.lost == pytest.approx(lost / whole, abs=1e-6)
    assert (found.lost < 1e-9) == (rank != 4)
    merge_weights(source, {tuned: 1.0, bad: -0.5, good: 0.5}, tmp_path / "whole")
    if rank != 4:
        wanted = logits(loaded(tmp_path / "whole"))
        torch.testing.assert_close(by_peft(source, tmp_path / "out"), wanted, atol=1e-3, rtol=1e-3)


def test_what_an_adapter_does_not_allow_is_refused(tmp_path: Path) -> None:
    source = base("qwen2", tmp_path)
    one = open_adapter(adapter(source, tmp_path / "one", 1, target_modules=["q_proj"]))
    other = saved(network("gpt-neox"), tmp_path / "other")
    for make, said in [
        (lambda: edit_factors(one, {0: UNIT}), "writes to the residual stream at none of these layers"),
        (lambda: scale_factors(one, {9: 0.0}), "is not in layer 9"),
        (lambda: scale_factors(one, {0: 1.0}), "nothing of adapter .* would change"),
        (lambda: combine([(one, 1.0), (one, -1.0)]), "their sum is zero"),
        (lambda: merge_weights(other, {one: 1.0}, tmp_path / "out"), "which has no matrix of its own"),
        (lambda: stored(tmp_path / "empty", {}, one), "nothing of the adapter would be left"),
    ]:
        with pytest.raises(RepairError, match=said):
            make()
    wide = open_adapter(adapter(source, tmp_path / "two", 1, target_modules=["down_proj"]))
    with pytest.raises(RepairError, match=r"writes 32 numbers .* the direction has 7"):
        edit_factors(wide, {0: torch.ones(7)})
    assert not (tmp_path / "out").exists() and WIDTH == 32
