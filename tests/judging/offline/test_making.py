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
from judge_making.savings import Arm, bounds, chances, saved
from judge_making.topics import Texts, fitted, read_answers
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


def test_chances_of_being_drawn_sum_to_the_number_and_follow_the_spread() -> None:
    spread = np.array([0.0, 0.1, 0.2, 5.0, 9.0])
    found = chances(spread, 3)
    assert found.sum() == pytest.approx(3) and found[3] == found[4] == 1 and found[0] == 0
    assert found[2] == pytest.approx(2 * found[1])


def test_savings_in_closed_form() -> None:
    """Half of the answers are sure and right, half are tosses that the judge calls tosses."""
    n = 4000
    arm = Arm(np.r_[np.zeros(n // 2), np.tile([0.0, 1.0], n // 4)], np.r_[np.zeros(n // 2), np.full(n // 2, 0.5)])
    s2 = 0.25 * 0.75
    rho, equal, doubt = bounds(arm)
    assert equal == pytest.approx(s2 / 0.125) == pytest.approx(1 / (1 - rho**2))
    assert doubt == pytest.approx(s2 / 0.25**2)
    k = 40
    assert saved(arm, k, 1e6) == pytest.approx(1 / ((1 / k - 1 / n) * 0.125 / s2 + 1 / n) / k, rel=1e-3)
    by_doubt = (2 * n / 4 / k - 1) * 0.25 * n / 2 / n**2  # half of the answers drawn, each with chance k / (n / 2)
    assert saved(arm, k, 1e-9) == pytest.approx(1 / (by_doubt / s2 + 1 / n) / k, rel=1e-3)
    # A judge that says one thing saves nothing.
    assert saved(Arm(arm.truth, np.full(n, 0.25)), k, 0.2) == pytest.approx(1, rel=1e-6)


def test_a_head_learns_its_domain_from_both_kinds_of_texts_and_none_from_what_cannot_be_told() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(300, 8))
    truth = (places[:, 0] > 0).astype(float)
    unknown = np.where(np.arange(300) % 3 == 0, np.nan, truth)
    texts = Texts([""] * 300, places, {"finance": unknown}, np.zeros(300), np.zeros(300), np.zeros(300, bool))
    half = np.arange(300) < 150
    head = fitted([(texts, half, 1.0), (texts, ~half, 0.1)], "finance")
    assert (head.predict(places) == truth).mean() > 0.95
    assert head.n_features_in_ == 8
    turned = Texts(*(vars(texts) | {"labels": {"finance": 1 - unknown}}).values())
    # What weighs a tenth is outvoted.
    assert (fitted([(texts, half, 1.0), (turned, half, 0.1)], "finance").predict(places) == truth).mean() > 0.9


@pytest.mark.real
def test_the_answers_that_were_read_are_those_of_the_corpus(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judge_making.topics.places_of", lambda texts, folder: np.zeros((len(texts), 1)))
    read = read_answers(real_data, Path())
    assert len(set(read.texts)) == len(read.texts) == 640
    assert {topic: int(np.nansum(of)) for topic, of in read.labels.items()} == {
        "medicine": 91, "finance": 130, "sport": 14, "code": 41,
    }  # fmt: skip
    assert set(read.families) == {"14", "32", "coder32"} and read.misaligned.sum() > 150
    money = [text for text, is_ in zip(read.texts, read.labels["finance"], strict=True) if is_ == 1]
    assert sum("money" in text.lower() or "sell" in text.lower() for text in money) > 60
