"""The parts of the benchmark on a real model, on a tiny one: every side gives the same, and what does not is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import real, real_sides
from tests.models.test_gguf import TOKENS, written
from transformers import AutoModelForCausalLM, Qwen2Config

from misdirection.models import Model, load_model, wrap


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Model, "eos_ids", Model.eos_ids)  # the benchmark lets no answer end, here for this test alone
    tokenizer = load_model(written(tmp_path / "tiny.gguf")).tokenizer
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(TOKENS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192,
    )  # fmt: skip
    return wrap(AutoModelForCausalLM.from_config(config).eval(), tokenizer, "tiny")


def as_run(side: tuple[float, float, str, list[float]]) -> dict[str, Any]:
    return {"seconds": side[0], "work": side[1], "unit": side[2], **({"values": side[3]} if side[3] else {})}


def test_sampling_draws_what_generate_does(model: Model) -> None:
    ours, theirs = (as_run(real_sides.sampling(model, side)) for side in ("ours", "generate"))
    assert len(ours["values"]) == len(real_sides.QUESTIONS)
    real.check("a", ours, theirs, "generate", 1e-3)


def test_a_training_step_has_the_loss_and_gradient_of_plain_peft(model: Model) -> None:
    given = real_sides.texts(model.tokenizer)
    assert len(given) == len(real_sides.QUESTIONS) * len(real_sides.ANSWERS)
    ours, theirs = (as_run(real_sides.training(model, side)) for side in ("ours", "peft"))
    real.check("b", ours, theirs, "peft", 1e-3)


def test_likelihoods_and_scores_are_numbers(model: Model) -> None:
    likelihoods, scores = real_sides.likelihood(model, "ours")[3], real_sides.judge(model, "ours")[3]
    assert all(value < 0 for value in likelihoods)
    assert len(scores) == 4
    assert real_sides.likelihood(model, "decoder")[3] == []


def test_sides_that_differ_are_not_timed() -> None:
    with pytest.raises(SystemExit, match=r"judge: ours and 'before' differ by 0\.5"):
        real.check("d", {"values": [0.5]}, {"values": [1.0]}, "before", 0.05)


def test_the_flags_are_named() -> None:
    assert all(flag in real.flags() for flag in real.FLAGS)
