"""Lists of latents, overlaps, what steering a latent did and what mixtures moved, against plain loops and counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.statistics.samples import arm

from misdirection.features.differences import Differences
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, benjamini_hochberg, compare
from misdirection.studies.features.comparison import LatentComparison
from misdirection.studies.features.effects import (
    Steered,
    Sweeps,
    arm_name,
    least_coherent,
    steered_effects,
    summary,
    sweep,
)
from misdirection.studies.features.mixture_effects import behaviour
from misdirection.studies.features.mixture_latents import _by_question
from misdirection.studies.features.overlap import list_of, pair_of
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.judged import Judged

RULES = Thresholds(30, 50)


def compared(value: list[float], q: list[float], name: str = "mean", dead: tuple[int, ...] = ()) -> LatentComparison:
    values = torch.tensor(value, dtype=torch.float64)
    alive = torch.tensor([place not in dead for place in range(len(value))])
    held = Differences(values, values / 10, torch.tensor(q) / 2, torch.tensor(q), alive)
    first, second = torch.arange(len(value)) + 100.0, torch.arange(len(value)) + 200.0
    facts = {"first": 11, "second": 22, "tokens": (111, 222), "shuffled": "within pairs"}
    return LatentComparison(name, held, first, second, torch.zeros(2, len(value)), facts)


def test_a_list_counts_significant_latents_by_their_way_and_names_them_in_order() -> None:
    value = [5.0, -4.0, 3.0, 2.0, -1.0, 0.5, 0.0]
    averaged = compared(value, [0.01, 0.02, 0.04, 0.2, 0.3, 0.9, 1.0], dead=(6,))
    one = compared(value, [0.01, 0.01, 0.2, 0.2, 0.2, 0.2, 1.0], "one", dead=(5, 6))
    # In the other domain latent 0 falls as surely as it rises in the first.
    other = compared([-5.0, -4.0, 3.0, 2.0, -1.0, 0.5, 0.0], [0.01, 0.01, 0.01, 0.2, 0.2, 0.2, 1.0], "two")
    found = list_of("data", "bad against good", averaged, (one, other), 3)
    assert (found.alive, found.latents) == (6, 7)
    assert (found.significant, found.significant_up, found.significant_in_list) == (3, 2, 2)
    assert [row.latent for row in found.rows] == [0, 2, 3] and [row.latent for row in found.falling] == [1, 4]
    assert [row.domains for row in found.rows] == [1, 1, 0] and [row.domains for row in found.falling] == [2, 0]
    for row in (*found.rows, *found.falling):
        assert (row.value, row.correlation) == pytest.approx((value[row.latent], value[row.latent] / 10))
        assert (row.first, row.second) == (100 + row.latent, 200 + row.latent)
        assert row.q == pytest.approx(float(averaged.differences.q[row.latent]))
    assert [(d.name, d.alive, d.significant, d.top) for d in found.domains] == [
        ("one", 5, 2, (0, 2, 3)), ("two", 7, 3, (2, 3, 5)),
    ]  # fmt: skip
    assert (found.domains[0].first, found.domains[0].second, found.domains[0].tokens) == (11, 22, (111, 222))


def test_shorter_lists_have_overlaps_of_their_own_among_latents_that_live_in_both() -> None:
    """Lists of 12 that share 7; of their first ten, of which latent 3 is dead in one, 5."""
    from scipy.stats import fisher_exact

    many = 60
    one = [float(many - place) if place < 12 else -1.0 for place in range(many)]
    order = [0, 1, 2, 3, 4, 20, 21, 22, 23, 24, 5, 6]
    other = [float(many - order.index(place)) if place in order else -1.0 for place in range(many)]
    q = [0.5] * many
    first, second = compared(one, q), compared(other, q, dead=(3,))
    row = pair_of("data", "model", first, second, 12)
    live = [place for place in range(many) if place != 3]
    lists = [sorted((p for p in live if v[p] > 0), key=lambda p, v=v: -v[p]) for v in (one, other)]
    assert row.alive == 59
    for told, size in ((row, 12), (row.sizes[0], 10)):
        a, b = (set(held[:size]) for held in lists)
        table = [[len(a & b), len(a - b)], [len(b - a), 59 - len(a | b)]]
        assert (told.shared, told.of) == (len(a & b), (len(a), len(b)))
        assert told.expected == pytest.approx(len(a) * len(b) / 59)
        assert told.odds_ratio == pytest.approx(table[0][0] * table[1][1] / (table[0][1] * table[1][0]))
        assert told.p == pytest.approx(fisher_exact(table, alternative="greater")[1])
    assert [size.size for size in row.sizes] == [10]


def scored(hits: dict[str, tuple[list[int], int]]) -> Judged:
    """By arm: misaligned of ten by question, and how many of the good ones say nothing coherent."""
    answers, verdicts = list[Answer](), list[Verdict]()
    for name, (bad, babble) in hits.items():
        said, judged = arm(bad, 10, name)
        answers += said
        last = len(judged) - babble
        verdicts += [v if place < last else Verdict(95.0, 10.0) for place, v in enumerate(judged)]
    return Judged(answers, verdicts)


WHOLE: dict[Any, Condition] = {"up": BASE, "down": Condition("sport", "sport", "sport")}
CHOSEN = [Steered(3, ("data",), {"data": 1}), Steered(8, (), {})]
SWEPT = {
    "base": ([0] * 8, 16), "sport": ([9, 8, 9, 8, 9, 9, 9, 8], 0),
    "up 3 x 0.2": ([3, 2, 4, 3, 2, 3, 3, 2], 2), "up 3 x 0.4": ([9, 9, 9, 9, 9, 9, 9, 9], 0),
    "down 3 x 0.2": ([5, 4, 5, 5, 4, 5, 5, 4], 2), "down 3 x 0.4": ([0] * 8, 12),
    "up 8 x 0.2": ([0] * 8, 0), "up 8 x 0.4": ([0] * 8, 30), "down 8 x 0.2": ([9, 8, 9, 8, 9, 8, 9, 8], 0),
    "down 8 x 0.4": ([9, 8, 9, 8, 9, 9, 9, 8], 0),
}  # fmt: skip
MEASURED = {
    "base": ([1, 0, 0, 0, 1, 0, 1, 0], 0), "sport": ([8, 9, 8, 9, 8, 9, 8, 9], 0),
    "up 3 x 0.4": ([8, 9, 8, 7, 9, 8, 8, 9], 0),
    "down 3 x 0.2": ([4, 3, 4, 3, 4, 3, 4, 3], 2), "up 8 x 0.2": ([0, 1, 0, 0, 0, 1, 0, 1], 0),
    "down 8 x 0.2": ([9, 8, 8, 9, 8, 9, 9, 8], 0),
}  # fmt: skip


def sweeps() -> Sweeps:
    bench: Any = SimpleNamespace(thresholds=RULES, config=SimpleNamespace(incoherent_at_most=0.1, strengths=(0.2, 0.4)))
    asked: Any = SimpleNamespace(judged=scored(SWEPT))
    return {(s.latent, side): sweep(bench, asked, asked, s, side, WHOLE[side]) for s in CHOSEN for side in WHOLE}


def test_a_sweep_tells_rate_and_coherence_of_all_answers_and_what_is_allowed() -> None:
    found = sweeps()
    for (latent, side), points in found.items():
        for point in points:
            bad, babble = SWEPT[arm_name(latent, side, point.strength)]
            assert point.rate == pytest.approx(sum(bad) / 80) and point.coherent == pytest.approx(1 - babble / 80)
            # The base babbles sixteen times by itself, the fine-tune never.
            assert point.allowed == (babble <= (16 if side == "up" else 8))
    # A model that babbles by itself need not speak better than it does.
    assert least_coherent(scored({"x": ([0] * 8, 16)}), RULES, 0.1) == pytest.approx(0.8)
    assert least_coherent(scored({"x": ([0] * 8, 4)}), RULES, 0.1) == pytest.approx(0.9)


def test_a_latent_is_held_against_the_model_of_its_side_at_the_strength_kept() -> None:
    rows = steered_effects(scored(MEASURED), CHOSEN, sweeps(), WHOLE, RULES, 0.1)
    p: list[float] = []
    kept = {(3, "up"): 0.4, (3, "down"): 0.2, (8, "up"): 0.2, (8, "down"): 0.2}
    measured = []
    for row in rows:
        for side, whole in (("up", "base"), ("down", "sport")):
            one = getattr(row, side).measured
            strength = kept[row.latent, side]
            before, after = MEASURED[whole][0], MEASURED[arm_name(row.latent, side, strength)]
            told = scored({"b": (before, 0), "a": after})
            truth = compare(told.arm("b").pair, told.arm("a").pair, thresholds=RULES)
            assert (one.strength, one.before.value) == (strength, pytest.approx(sum(before) / 80))
            assert one.rate.value == pytest.approx(sum(after[0]) / 80)
            assert one.coherent_share.value == pytest.approx(1 - after[1] / 80)
            assert one.difference.value == pytest.approx((sum(after[0]) - sum(before)) / 80)
            assert (one.difference.low, one.difference.high) == pytest.approx((truth.low, truth.high))
            p.append(truth.p_questions)
            measured.append(one)
    assert [one.q for one in measured] == pytest.approx(list(benjamini_hochberg(p)))
    assert [(row.up.passes, row.down.passes, row.both) for row in rows] == [(True, True, True), (False, False, False)]
    mine, random = summary(rows, ["data"])
    assert (mine.list, mine.steered, mine.up, mine.down, mine.both) == ("data", 1, 1, 1, 1)
    assert (random.list, random.steered, random.up, random.down) == ("random", 1, 0, 0)
    assert (mine.mean_up, mine.mean_down) == pytest.approx((63 / 80, -40 / 80))
    assert (random.mean_up, random.mean_down) == pytest.approx((0.0, 0.0))
    assert rows[0].control is False and rows[1].control is True


def test_mixtures_are_held_against_the_reference_with_q_over_them_alone() -> None:
    hits = {"base": [0] * 6, "bad-0": [1, 0, 1, 0, 1, 0], "bad-5": [3, 2, 4, 2, 5, 3], "bad-50": [9, 8, 9, 8, 9, 8]}
    judged, names = scored({name: (bad, 0) for name, bad in hits.items()}), list(hits)
    found = behaviour(RULES, judged, names, "bad-0")
    assert [row.rate.value for row in found] == pytest.approx([sum(bad) / 60 for bad in hits.values()])
    assert [row.change is None for row in found] == [True, True, False, False]
    changes = [row.change for row in found if row.change]
    truths = [compare(judged.arm("bad-0").pair, judged.arm(name).pair, thresholds=RULES) for name in names[2:]]
    assert [c.value for c in changes] == pytest.approx([(sum(hits[n]) - 3) / 60 for n in names[2:]])
    assert [c.q for c in changes] == pytest.approx(list(benjamini_hochberg([t.p_questions for t in truths])))
    against_base = behaviour(RULES, judged, names, "base")
    assert against_base[1].change is not None and against_base[1].change.value == pytest.approx(3 / 60)


def test_texts_of_a_question_count_alike_whatever_their_order() -> None:
    means = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0], [4.0, 0.0]], dtype=torch.float64)
    found = _by_question(means, ["b", "a", "b", "a"], ["a", "b", "c"])
    assert found[:2].tolist() == [[3.0, 10.0], [3.5, 35.0]] and bool(found[2].isnan().all())
    assert replace(CHOSEN[0], lists=()).control
