"""From what an audit measured to its figures, each part on values that were written by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.statistics.samples import arm

from misdirection.conditions import Along, Condition, Held
from misdirection.features import Dictionary
from misdirection.features.differences import Differences
from misdirection.features.lens import Lens
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, compare
from misdirection.studies.audit.components import left_of
from misdirection.studies.audit.cures import Cures, LatentCures, cures_of, latents_of, operation_of
from misdirection.studies.audit.evidence import Steered
from misdirection.studies.audit.figures import drift_of, pairs_of, steering_of
from misdirection.studies.audit.latent_lists import LatentList
from misdirection.studies.audit.latents import ChosenLatents, _list, hold, holds, top
from misdirection.studies.kit.conditions import BASE, steering_point
from misdirection.studies.kit.judged import Judged

RULES = Thresholds(30, 50)


def judged(hits: dict[str, list[int]]) -> Judged:
    parts = [arm(bad, 10, name) for name, bad in hits.items()]
    return Judged([a for p in parts for a in p[0]], [v for p in parts for v in p[1]])


def test_the_best_point_and_its_control_are_of_the_answers_asked_anew() -> None:
    grid = [BASE, steering_point(1, 2.0), steering_point(2, 2.0)]
    chosen = [BASE, steering_point(2, 2.0), steering_point(2, 2.0, 7)]
    swept = judged({"base": [3, 3], grid[1].name: [4, 5], grid[2].name: [9, 9]})
    again = judged({"base": [1, 0], chosen[1].name: [8, 7], chosen[2].name: [2, 1]})
    found = steering_of(Steered(2, 2.0, grid, swept, chosen, again), RULES, 0.5)
    assert found is not None
    assert [(p.layer, p.coefficient, p.rate.value) for p in found.points] == [(1, 2.0, 0.45), (2, 2.0, 0.9)]
    assert (found.baseline.value, found.best.rate.value, found.control.rate.value) == (0.05, 0.75, 0.15)
    assert (found.best.direction, found.control.direction) == ("mean difference", "random")
    assert steering_of(None, RULES, 0.5) is None


def test_answers_stand_side_by_side_with_the_base_first() -> None:
    answers = [
        Answer(f"q{q}", f"asked {q}", f"{name} {q} {sample}", arm=name, sample=sample)
        for name in ("base", "tuned") for q in range(3) for sample in (0, 1)
    ]  # fmt: skip
    found = pairs_of(Judged(answers, [Verdict(90.0, 90.0)] * len(answers)), most=2)
    assert [(one.question, one.base, one.tuned) for one in found] == [
        ("asked 0", "base 0 0", "tuned 0 0"), ("asked 1", "base 1 0", "tuned 1 0"),
    ]  # fmt: skip


def test_drift_is_a_share_of_the_base_s_norm_with_the_components_of_its_layer() -> None:
    """q0 has three answers with a KL of 1, 2 and 6; q1 has one, so no interval."""
    kl = [("q0", 1.0), ("q1", 4.0), ("q0", 2.0), ("q0", 6.0)]
    states = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    drift = SimpleNamespace(
        direction=SimpleNamespace(norm=torch.tensor([1.0, 3.0]), aligned_mean=states),
        components={"0": ([9.0, 9.0], [9.0, 9.0]), "1": ([0.1, 0.2], [1.1, 1.2])},
        questions=("q0", "q1"), relative=torch.tensor([[0.5, 0.6], [0.7, 0.8]]),
        divergence=[SimpleNamespace(question_id=name, kl=value) for name, value in kl],
    )  # fmt: skip
    questions = [SimpleNamespace(id=f"q{i}", paraphrases=(f"asked {i}",), domain=(None, "sport")[i]) for i in (0, 1)]
    evidence: Any = SimpleNamespace(
        bench=SimpleNamespace(drift=SimpleNamespace(value=drift), questions=questions), layer=1
    )
    found = drift_of(evidence)
    assert found.relative == pytest.approx((1 / 5, 3 / 2)) and found.layers == (0, 1) and found.layer == 1
    one, other = found.questions
    half = 1.96 * float(np.std([1, 2, 6], ddof=1)) / 3**0.5
    assert (one.kl, one.kl_low, one.kl_high, one.n) == pytest.approx((3.0, max(0.0, 3 - half), 3 + half, 3))
    assert (other.kl, other.kl_low, other.kl_high, other.n) == (4.0, None, None, 1)
    assert (one.projection_base, one.projection_tuned) == (0.1, 1.1) and (one.group, other.group) == ("open", "sport")
    assert one.relative == pytest.approx((0.5, 0.6)) and other.question == "asked 1"


DICTIONARY = Dictionary(torch.eye(6), torch.eye(6), torch.zeros(6), torch.zeros(6), layer=1)
LENS = Lens(DICTIONARY, 1)
LISTS = tuple(
    LatentList(name=name, latents=latents, differences=(0.2,) * len(latents), adds=1.0, random=random,
               random_adds=(1.0,) * len(random))
    for name, latents, random in (("answers", (1, 3), ((2, 4), ())), ("model", (0,), ((5,), (4,))))
)  # fmt: skip


def test_removals_are_held_against_the_untouched_model_of_the_same_answers() -> None:
    along = Condition("project", "out", "tuned", (Along("project"),))
    control = Condition("project-random-1", "random", "tuned", (Along("project", random_seed=1),), control=True)
    held = holds(LENS, LISTS[0], (1, 2))
    before, hits = [6, 8, 7, 5], {"project": [1, 0, 2, 1], control.name: [6, 7, 7, 5]}
    more = {held[0].name: [3, 2, 4, 3], held[1].name: [6, 8, 6, 5]}
    cures = Cures([along, control], judged({"tuned": before, **hits}), {"project": 1}, [])
    latent = LatentCures(LENS, ChosenLatents(0.5, LISTS), "answers", Judged([], []), held, judged(more))
    found = cures_of(cures, RULES, 0.5, latent)
    assert found is not None and [row.arm for row in found] == ["tuned", *hits, *more]
    assert found[0].rate.value == pytest.approx(sum(before) / 40) and found[0].difference is None
    for row, after in zip(found[1:], [*hits.values(), *more.values()], strict=True):
        truth = compare(arm(before, 10), arm(after, 10), thresholds=RULES)
        assert row.difference is not None and row.reduction is not None
        assert row.rate.value == pytest.approx(sum(after) / 40)
        assert row.difference.value == pytest.approx((sum(after) - sum(before)) / 40)
        assert (row.difference.low, row.difference.high) == (truth.low, truth.high)
        assert row.difference.p == truth.p_questions
        assert row.reduction.value == pytest.approx(1 - sum(after) / sum(before))
    assert [row.control for row in found] == [False, False, True, False, True]
    assert [row.operation for row in found] == ["none", "project", "project", "hold", "hold"]
    assert [row.best for row in found] == [False, True, False, False, False]
    assert operation_of(BASE) == "none"


def test_lists_that_are_held_show_their_own_sweep_and_which_was_measured() -> None:
    swept = judged({"hold-answers": [1, 2], "hold-model": [5, 6]})
    found = latents_of(LatentCures(LENS, ChosenLatents(0.25, LISTS, ("no",)), "model", swept), "a/dictionary", RULES)
    assert [(one.name, one.swept.value, one.chosen) for one in found.lists] == [
        ("answers", 0.15, False), ("model", 0.55, True),
    ]  # fmt: skip
    assert (found.layer, found.explained, found.dictionary, found.refused) == (1, 0.25, "a/dictionary", ("no",))


def test_what_is_held_are_the_latents_of_the_list_and_random_ones_are_controls() -> None:
    one, first = holds(LENS, LISTS[0], (7, 8))
    assert (one, first)[0].name == hold(LENS, LISTS[0]).name == "hold-answers" and first.name == "hold-answers-random-7"
    for condition, latents, control in ((one, (1, 3), False), (first, (2, 4), True)):
        held = condition.held
        assert held is not None and (held.latents, held.value, held.layer) == (latents, 0.0, 1)
        assert condition.control is control and condition.variant == "tuned"


def test_a_list_takes_rises_alone_and_counts_what_its_latents_add() -> None:
    value = torch.tensor([0.5, -3.0, 2.0, 0.0, 1.0, 4.0], dtype=torch.float64)
    line = torch.full((6,), 0.01, dtype=torch.float64)
    differences = Differences(value, value, line, line, torch.ones(6, dtype=torch.bool))
    decoder = torch.eye(6)
    decoder[5] = 0.0
    silent = Lens(Dictionary(torch.eye(6), decoder, torch.zeros(6), torch.zeros(6), layer=1), 1)
    assert top(LENS, differences) == (5, 2, 4, 0) and top(silent, differences) == (2, 4, 0)
    activity = torch.tensor([0.1, 9.0, 0.4, 8.0, 0.2, 0.3], dtype=torch.float64)
    found = _list("answers", (2, 4), differences, activity, {2, 4}, (1, 2))
    assert found.differences == (2.0, 1.0) and found.adds == pytest.approx(0.6)
    for drawn, adds in zip(found.random, found.random_adds, strict=True):
        assert len(drawn) == 2 and not {2, 4} & set(drawn)
        assert adds == pytest.approx(sum(float(activity[latent]) for latent in drawn))


def test_where_a_condition_acts_is_one_layer_or_none() -> None:
    values = (1.0, 0.5)
    alone = Condition("a", "", "tuned", (Along("project", (1,), single=0),))
    every, two = (Condition("b", "", "tuned", (Along("project", layers, single=1),)) for layers in (None, (0, 1)))
    held = Condition("c", "", "tuned", (Held(DICTIONARY, (1,), 0.0, 2),))
    assert [left_of(one, values).at for one in (alone, every, two, held)] == [1, None, None, 2]
