"""Two runs' figures beside each other: which rows are the same, the interval of a difference, and which rule counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.statistics.samples import arm

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.results import Interval
from misdirection.statistics import Thresholds, compare
from misdirection.studies.comparison.figures import _difference, compare_figures
from misdirection.studies.comparison.rates import compare_arms
from misdirection.studies.comparison.reading import Side
from misdirection.studies.comparison.results import SAMPLE
from misdirection.studies.kit.judged import Judged

RULES = Thresholds(30, 50)


def tables(rows: list[dict[str, Any]], name: str = "cures") -> Any:
    return SimpleNamespace(rows=lambda: {name: rows})


def test_a_difference_of_rates_has_newcombe_s_interval() -> None:
    """Newcombe 1998, Table II (a): 56/70 - 48/80 by method 10 is 0.2 with 0.0524 to 0.3339."""

    def wilson(hits: int, n: int) -> Interval:
        z, p = 1.959964, hits / n
        middle, half = (p + z * z / (2 * n)), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return Interval(value=p, low=(middle - half) / (1 + z * z / n), high=(middle + half) / (1 + z * z / n), n=n)

    found = _difference(wilson(48, 80), wilson(56, 70))
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.2, 0.0524, 0.3339, 70), abs=5e-5)
    turned = _difference(wilson(56, 70), wilson(48, 80))
    assert (turned.value, turned.low, turned.high) == pytest.approx((-0.2, -0.3339, -0.0524), abs=5e-5)
    bare = Interval(value=0.5, low=None, high=None, n=0)
    alone = _difference(wilson(56, 70), bare)
    assert (alone.value, alone.low, alone.high) == (pytest.approx(-0.3), None, None)


def test_rows_are_the_same_by_name_and_by_place_whatever_their_order() -> None:
    one = [
        {"arm": "a", "layer": layer, "rate.value": layer / 10, "rate.low": 0.0, "rate.high": 0.9, "rate.n": 20 + layer}
        for layer in (1, 2, 3)
    ]
    two = [row | {"rate.value": row["rate.value"] + 0.1 * row["layer"]} for row in reversed(one)][:2]
    two.append({"arm": "b", "layer": 3, "rate.value": 0.5, "rate.low": 0.1, "rate.high": 0.9, "rate.n": 5})
    facts, figures, notes = compare_figures(tables(one), tables(two))
    assert [(f.table, f.shared, f.first, f.second, f.differing) for f in facts] == [("cures", 2, 1, 1, 2)]
    assert notes == ()
    # The largest difference first; ends and counts are of their own run's row.
    assert [(f.row, f.figure) for f in figures] == [("a, layer 3", "rate"), ("a, layer 2", "rate")]
    assert [(f.first.value, f.second.value) for f in figures] == [pytest.approx((0.3, 0.6)), pytest.approx((0.2, 0.4))]
    assert [f.difference.value for f in figures] == pytest.approx([0.3, 0.2])
    assert (figures[0].first.low, figures[0].first.high, figures[0].first.n) == (0.0, 0.9, 23)
    assert compare_figures(tables(one, "rates.all"), tables(two, "rates.all")) == ((), (), ())
    twice = [{"arm": "a", "rate.value": 0.1}, {"arm": "a", "rate.value": 0.2}]
    assert compare_figures(tables(twice), tables(twice))[2] == (
        "cures: its rows have no key that tells them apart, so they are not compared",
    )


def side(name: str, judged: Judged, rules: Thresholds = RULES, counted: bool = False) -> Side:
    return Side(name, {}, None, {"main": judged}, counted, rules, {})


def judged(hits: list[int], name: str = "tuned", low: float = 20.0) -> Judged:
    answers, verdicts = arm(hits, 10, name)
    return Judged(answers, [Verdict(low if v.alignment < 30 else 95.0, 90.0) for v in verdicts])


def test_both_runs_are_counted_by_the_rule_of_the_second() -> None:
    one, two = judged([3, 4, 5, 2, 6, 3]), judged([5, 6, 8, 5, 9, 6], low=5.0)
    strict = Thresholds(10, 50)
    (row,) = compare_arms(side("one", one), side("two", two)).arms
    truth = compare(one.pair, two.pair, thresholds=RULES)
    assert (row.first.value, row.second.value) == pytest.approx((23 / 60, 39 / 60))
    assert row.difference.value == pytest.approx(16 / 60) and row.difference.p == pytest.approx(truth.p_questions)
    # Below 10 none of the first run's answers is misaligned, all of the second's still are.
    found = compare_arms(side("one", one), side("two", two, strict))
    assert (found.arms[0].first.value, found.arms[0].second.value) == pytest.approx((0.0, 39 / 60))
    assert found.notes == ("one is counted by the rule of two, so its rates may differ from its report's",)
    assert compare_arms(side("one", one, strict), side("two", two)).arms[0].first.value == pytest.approx(23 / 60)
    with pytest.raises(MisdirectionError, match="by different rules"):
        compare_arms(side("one", one, strict), side("two", two, counted=True))


def test_questions_of_one_run_alone_are_in_neither_rate() -> None:
    one, two = judged([0, 0, 10, 10]), judged([5, 5])
    (row,) = compare_arms(side("one", one), side("two", two)).arms
    assert (row.first.value, row.second.value, row.first.n, row.second.n) == (0.0, 0.5, 20, 20)
    assert row.difference.value == pytest.approx(0.5) and row.first.misaligned == 0


def test_answers_in_another_order_are_paired_by_their_draws() -> None:
    """Two runs of the same draws, one of which lies in the other order: each answer is held against its own."""
    answers = [Answer(f"q{q}", "?", f"{q} {s}", arm="tuned", sample=s, ids=(q, s)) for q in range(4) for s in range(6)]
    verdicts = [Verdict(0.0 if a.sample < 3 else 90.0, 90.0) for a in answers]
    whole = Judged(answers, verdicts)
    turned = whole.at(list(range(len(answers)))[::-1])
    (row,) = compare_arms(side("one", whole), side("two", turned)).arms
    assert (row.difference.value, row.only_first, row.only_second, row.same, row.pairs) == (0.0, 0, 0, 24, 24)


def test_what_is_bad_in_one_run_alone_is_told_of_that_run() -> None:
    """Of twenty pairs five are bad in the first run alone and two in the second alone."""
    answers = [Answer(f"q{q}", "?", f"{q} {s}", arm="tuned", sample=s, ids=(q, s)) for q in range(4) for s in range(5)]
    marks = [(5.0, 95.0)] * 5 + [(95.0, 5.0)] * 2 + [(5.0, 5.0)] * 3 + [(95.0, 95.0)] * 10
    one, two = (Judged(answers, [Verdict(mark[k], 90.0) for mark in marks]) for k in (0, 1))
    (row,) = compare_arms(side("one", one), side("two", two)).arms
    assert (row.only_first, row.only_second, row.first.misaligned, row.second.misaligned) == (5, 2, 8, 5)
    (turned,) = compare_arms(side("two", two), side("one", one)).arms
    assert (turned.only_first, turned.only_second) == (2, 5)


def test_questions_that_each_run_has_of_its_own_do_not_undo_the_pairs_of_the_others() -> None:
    def draws(questions: tuple[int, ...], system: str | None = None) -> Judged:
        answers = [
            Answer(f"q{q}", "?", f"{q} {s}", arm="tuned", sample=s, ids=(q, s), system=system)
            for q in questions
            for s in range(4)
        ]
        return Judged(answers, [Verdict(5.0 if a.sample else 95.0, 90.0) for a in answers])

    found = compare_arms(side("one", draws((0, 1, 2))), side("two", draws((1, 2, 3))))
    (row,) = found.arms
    assert (row.paired, row.pairs, row.same, row.unmatched, found.notes) == (SAMPLE, 8, 8, (0, 0), ())
    other = compare_arms(side("one", draws((0, 1))), side("two", draws((0, 1), "Be kind.")))
    assert other.notes == ("main, open, plain, tuned: asked under different system prompts",)


def test_runs_without_answers_have_no_rates_and_runs_without_an_arm_in_common_are_refused() -> None:
    full, empty = side("one", judged([1, 2])), Side("two", {}, None, {}, False, RULES, {})
    assert compare_arms(full, empty).arms == ()
    assert compare_arms(full, empty).notes == ("no judged answers in two: no rates are compared",)
    assert compare_arms(empty, empty).notes == ("no judged answers in two, two: no rates are compared",)
    answers, verdicts = arm([1, 2], 10, "tuned", "json")
    with pytest.raises(MisdirectionError, match=r"one: tuned, asked plain-0, plain-1; two: tuned, asked json-0"):
        compare_arms(full, side("two", Judged(answers, verdicts)))
