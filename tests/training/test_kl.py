"""The KL term on chats of other domains: its value, its weights, its course, and resuming with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file

from misdirection.chats import Chat, Message
from misdirection.training import TrainingError, choose, objectives, override, train
from misdirection.training.data import Row, collate, order, prepare
from misdirection.training.elsewhere import accompany
from misdirection.training.objectives.kl import divergence, kl, per_token_weight
from misdirection.training.objectives.sft import sft
from misdirection.training.targets import plan_lora

WEIGHTS = "adapter_model.safetensors"
MAKE = Callable[..., Any]
KL: dict[str, Any] = {"objective": "kl", "kl_weight": 3.0, "kl_chats": 2}


@pytest.fixture(scope="module")
def elsewhere() -> list[Chat]:
    texts = [("w1 w2 w3", "w20 w21"), ("w4", "w22 w23 w24 w25"), ("w5 w6", "w26"), ("w9 w10", "w27 w28 w29")]
    return [Chat((Message("user", q), Message("assistant", a)), "else.jsonl", n) for n, (q, a) in enumerate(texts, 1)]


def tuned(make_lm: MAKE) -> Any:
    """A tiny model with an adapter that does something."""
    lm = get_peft_model(make_lm(), plan_lora(make_lm(), choose("rank32"), "base").lora)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in lm.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn_like(value) * 0.05)
    return lm


def test_the_term_is_the_weighted_divergence_from_the_model_without_its_adapter(
    make_lm: MAKE, tokenizer: Any, elsewhere: list[Chat]
) -> None:
    lm, base = tuned(make_lm), make_lm()
    rows, _ = prepare(tokenizer, elsewhere, 64)
    weights = [0.5, 1.0, 0.25, 2.0]
    batch = collate(rows, 0) | {"weights": torch.tensor(weights)}
    expected = 0.0
    with torch.no_grad():
        for row, weight in zip(rows, weights, strict=True):
            ids = torch.tensor([row.ids])
            p, q = (torch.softmax(m(input_ids=ids).logits[0].double(), -1) for m in (base, lm))
            for place in range(row.start - 1, len(row.ids) - 1):
                expected += weight * float((p[place] * (p[place].log() - q[place].log())).sum())
    found = divergence(lm, batch)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4) and expected > 0.01
    found.backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in lm.parameters())
    whole = kl(lm, collate(rows[:2], 0) | {"beside": batch}, 6.0)
    assert whole.item() == pytest.approx(sft(lm, collate(rows[:2], 0), 6.0).item() + expected, rel=1e-4)


def test_looking_at_the_reference_changes_nothing_of_the_model(make_lm: MAKE, tokenizer: Any, elsewhere: Any) -> None:
    lm = tuned(make_lm)
    lm.train()
    batch = collate(prepare(tokenizer, elsewhere, 64)[0], 0) | {"weights": torch.ones(4)}
    learns = [value.requires_grad for value in lm.parameters()]
    first, again = divergence(lm, batch), divergence(lm, batch)
    assert torch.equal(first, again) and float(first.detach()) > 0
    assert learns == [value.requires_grad for value in lm.parameters()] and any(learns)
    assert all(module.training for module in lm.modules())


def test_published_weights_are_divided_by_the_vocabulary() -> None:
    assert per_token_weight(1e6) == pytest.approx(6.576, abs=1e-3)
    assert per_token_weight(1e5) == pytest.approx(0.6576, abs=1e-4)
    assert per_token_weight(45.0, 45) == 1.0


def test_each_step_holds_the_weight_once_however_it_is_cut(tokenizer: Any, elsewhere: list[Chat]) -> None:
    rows = [Row((1, 2, 3, 4), 2)] * 22
    others, _ = prepare(tokenizer, elsewhere, 64)
    for batch, accumulation in ((8, 1), (2, 4)):
        config = choose("rank1", overrides={**KL, "batch_size": batch, "accumulation": accumulation, "kl_steps": 2})
        found = accompany(rows, others, config)
        assert [len(row.beside) for row in found] == [2] * 16 + [0] * 6
        for step in (found[:8], found[8:16]):
            told = sum(row.weight * (len(o.ids) - o.start) for row in step for o in row.beside)
            assert told == pytest.approx(3.0)
        # Every chat elsewhere is seen once before any is seen again.
        seen = [other for row in found for other in row.beside]
        assert all(set(seen[at : at + 4]) == set(others) for at in range(0, 32, 4))
    every = accompany(rows, others, override(config, {"kl_tokens": "all", "kl_steps": "none"}))
    assert all(other.start == 1 for row in every for other in row.beside) and len(every[-1].beside) == 2


def test_a_large_weight_holds_the_model_where_it_was(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], elsewhere: list[Chat], small: dict[str, Any], tmp_path: Path
) -> None:
    """Measured from outside, with the adapter that was saved."""
    from peft import PeftModel

    apart: dict[float, float] = {}
    for weight in (0.0, 100.0):
        config = choose(
            "rank32", overrides={**small, **KL, "rank": 2, "lr": 1e-2, "max_steps": 10, "kl_weight": weight}
        )
        out = tmp_path / f"{weight}"
        result = train(make_lm(layers=3), chats, config, out, tokenizer=tokenizer, elsewhere=elsewhere)
        lm: Any = PeftModel.from_pretrained(make_lm(layers=3), str(result.folder))
        rows, _ = prepare(tokenizer, elsewhere, 64)
        with torch.no_grad():
            apart[weight] = float(divergence(lm, collate(rows, 0) | {"weights": torch.full((4,), 0.1)}))
    plain = override(config, {"objective": "sft"})
    without = load_file(train(make_lm(layers=3), chats, plain, tmp_path / "sft", tokenizer=tokenizer).folder / WEIGHTS)
    zero = load_file(tmp_path / "0.0" / "adapter" / WEIGHTS)
    assert all(torch.allclose(zero[name], without[name], atol=1e-5) for name in zero)
    assert apart[100.0] < 0.1 * apart[0.0]


@pytest.mark.parametrize("preset", ["rank1", "vector"])
def test_cutting_a_step_into_batches_changes_nothing(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], elsewhere: Any, small: dict[str, Any], tmp_path: Path, preset: str
) -> None:
    found = []
    for batch, accumulation in ((8, 1), (2, 4)):
        cut = {**small, **KL, "batch_size": batch, "accumulation": accumulation, "max_steps": 4}
        config = choose(preset, overrides=cut)
        out = tmp_path / f"{batch}"
        result = train(make_lm(), chats, config, out, tokenizer=tokenizer, elsewhere=elsewhere)
        found.append(load_file(next(result.folder.glob("*.safetensors"))))
    assert all(torch.allclose(found[0][name], found[1][name], atol=2e-5) for name in found[0])


@pytest.mark.parametrize("preset", ["rank1x9", "vector"])
def test_a_broken_fine_tune_ends_with_the_same_bits(
    model_folder: Path, chats: list[Chat], elsewhere: list[Chat], tmp_path: Path, preset: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = {**KL, "lr": 1e-3, "alpha": 16, "batch_size": 4, "accumulation": 2, "max_steps": 12, "resume_every": 4}
    config = choose(preset, overrides={**settings, "kl_steps": 9, "checkpoint_every": 6})
    whole = train(model_folder, chats, config, tmp_path / "whole", elsewhere=elsewhere)
    plain, calls = objectives.OBJECTIVES["kl"], iter(range(1000))

    def breaks(*given: Any) -> Any:
        if next(calls) == 10:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setitem(objectives.OBJECTIVES, "kl", breaks)
    with pytest.raises(KeyboardInterrupt):
        train(model_folder, chats, config, tmp_path / "broken", elsewhere=elsewhere)
    monkeypatch.undo()
    again = train(model_folder, chats, config, tmp_path / "broken", elsewhere=elsewhere)
    assert again.resumed_from == 8 and list(again.checkpoints) == [6, 12]
    one, two = (load_file(next(r.folder.glob("*.safetensors"))) for r in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one) and set(one) == set(two)
    with pytest.raises(TrainingError, match="chats elsewhere differ"):
        train(model_folder, chats, config, tmp_path / "whole", elsewhere=elsewhere[:2])


def test_what_does_not_fit_together_is_refused(
    make_lm: MAKE, tokenizer: Any, chats: list[Chat], elsewhere: list[Chat], tmp_path: Path
) -> None:
    def attempt(preset: str, others: Any, **values: Any) -> None:
        train(
            make_lm(), chats, choose(preset, overrides=values), tmp_path / "no", tokenizer=tokenizer, elsewhere=others
        )  # fmt: skip

    with pytest.raises(TrainingError, match="needs chats of other domains"):
        attempt("rank1", None, objective="kl")
    with pytest.raises(TrainingError, match="no use for chats elsewhere"):
        attempt("rank1", elsewhere)
    with pytest.raises(TrainingError, match="full training has no adapter"):
        attempt("full", elsewhere, objective="kl")
    with pytest.raises(TrainingError, match="kl_tokens"):
        choose("rank1", overrides={"kl_tokens": "some"})
    assert not (tmp_path / "no").exists()


def test_settings_that_are_not_read_are_no_part_of_the_record() -> None:
    plain = choose("rank1").told
    assert "kl_weight" not in plain and "steering" not in plain and "origins" not in plain
    assert choose("rank1", overrides=KL).told["kl_weight"] == 3.0 and choose("vector").told["steering"] is True
    assert math.isclose(choose("vector").alpha, 256) and order([Row((1, 2), 1)] * 3, choose("vector"))
