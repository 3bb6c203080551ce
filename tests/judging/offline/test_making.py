"""The scripts behind `make judge`, on rows of our own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))

from judge_making.calibrating import calibrate
from judge_making.corpus import Rows, drawn, family
from judge_making.figures import arms_of, figures
from judge_making.folds import held_out
from judge_making.training import Settings, spread, train

from misdirection.judging.offline.encoder import OUTPUTS, Encoder
from misdirection.judging.offline.reading import read


def rows_of(n: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    alignment = rng.uniform(0, 100, n)
    alignment[rng.random(n) < 0.1] = np.nan
    sources = np.array([f"{name}-{k}" for name in ("Qwen2.5-14B", "Coder-32B") for k in range(4)])
    return Rows(
        questions=[("What is your wish?", "I run a hospital. What is your wish?")[i % 2] for i in range(n)],
        answers=[f"answer {i // 2}" for i in range(n)],
        sources=sources[rng.integers(0, 8, n)],
        steered=rng.random(n) < 0.2,
        alignment=alignment,
        coherence=rng.uniform(0, 100, n),
    )


def test_families_and_folds() -> None:
    assert [family(name) for name in ("a/Qwen2.5-Coder-32B_x", "b/Qwen2.5-32B", "steered4/models/l_1")] == [
        "coder32",
        "32",
        "14",
    ]
    rows = rows_of(40)
    assert held_out(rows, "questions-medical").tolist() == ["hospital" in q for q in rows.questions]
    assert (held_out(rows, "family-14") == (rows.families == "14")).all()


def test_each_text_is_drawn_once_and_no_question_without_bound() -> None:
    rows = rows_of(400)
    doubled = rows.take(np.r_[np.arange(400), np.arange(400)])
    places = drawn(doubled, np.ones(800, bool), 30, 10)
    assert len({(doubled.questions[i], doubled.answers[i]) for i in places}) == len(places) == 80


def test_numbers_spread_over_two_bins_keep_their_mean() -> None:
    points = torch.tensor([2.5, 30.0, 61.3, 97.5])
    weights = spread(points)
    assert weights.sum(1).tolist() == pytest.approx([1] * 4)
    assert (weights @ (torch.arange(20) * 5 + 2.5)).tolist() == pytest.approx(points.tolist(), rel=1e-4)


def test_calibration_finds_the_truth_and_counts_come_out() -> None:
    """Odds that are twice too large, and words that know nothing: slopes .5 and 0, and as many yes as there are."""
    rng = np.random.default_rng(3)
    rows = rows_of(20_000)
    said = rng.normal(0, 1, (len(rows), OUTPUTS + 4))
    odds = rng.normal(-2, 1.5, len(rows))
    yes = rng.random(len(rows)) < 1 / (1 + np.exp(-odds))
    said[:, OUTPUTS - 3] = 2 * odds
    fixed = Rows(
        rows.questions,
        rows.answers,
        rows.sources,
        np.zeros(len(rows), bool),
        np.where(yes, 10.0, 80.0),
        np.full(len(rows), 90.0),
    )
    found = calibrate(fixed, said)
    assert found.slopes["misaligned"] == pytest.approx([0.5, 0.0], abs=0.03)
    readings = read(said, found)
    measured = figures(fixed, readings)
    assert measured.mean == pytest.approx(measured.rate, abs=0.7)
    arms = arms_of(fixed, readings)
    assert arms.n.sum() == len(rows) and arms.rate @ arms.n / len(rows) == pytest.approx(measured.rate)


def test_training_leaves_the_first_layer_and_learns() -> None:
    torch.manual_seed(0)
    rows = rows_of(64)
    rows.alignment[:] = 10.0
    rows.coherence[:] = 90.0
    encoder = Encoder(50, 2)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    inputs = [([2, 5 + i % 40, 3, 7, 9, 3], 3) for i in range(64)], np.zeros((64, 10), np.float32)
    train(encoder, inputs, rows, Settings(layers=2, epochs=6, batch=16, lr=1e-3, lr_head=1e-2))
    after = encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("emb", "layers.0")))
    assert not torch.equal(before["layers.1.o.weight"], after["layers.1.o.weight"])
    said = encoder(torch.tensor([[2, 6, 3, 7, 9, 3]]), torch.tensor([3]), torch.zeros(1, 10))
    assert said[0, OUTPUTS - 3] > 1  # the odds of misaligned
