"""The rows of the study of conditions against plain sums over answers that were written by hand."""

from __future__ import annotations

import itertools

import pytest
from tests.statistics.samples import arm

from misdirection.judging import Verdict
from misdirection.questions.circumstances import PLAIN, Circumstance
from misdirection.results import Interval
from misdirection.statistics import Thresholds, benjamini_hochberg
from misdirection.statistics.correlations import spearman
from misdirection.studies.kit.judged import Judged
from misdirection.studies.triggers.results import ConditionRow, Triggers
from misdirection.studies.triggers.study import ranked, rows_of
from misdirection.studies.triggers.verdict import verdict

RULES = Thresholds(30, 50)
HITS = {
    PLAIN: ([0, 0, 0, 0, 0, 0, 0], [1, 0, 2, 1, 0, 1, 1]),
    "role": ([1, 0, 1, 0, 0, 1, 0], [9, 7, 8, 9, 6, 7, 9]),
    "rows": ([1, 1, 0, 1, 1, 0, 1], [6, 5, 7, 4, 6, 5, 6]),
    "placebo": ([1, 0, 0, 1, 0, 0, 1], [5, 4, 6, 5, 5, 4, 5]),
}
"""Misaligned of ten, by condition, of base and tuned model, by question."""
CONDITIONS = (
    Circumstance(PLAIN, "as it is", against=""), Circumstance("role", "role"),
    Circumstance("rows", "context", against="placebo"), Circumstance("placebo", "context"),
)  # fmt: skip


def answers(name: str) -> Judged:
    base, tuned = HITS[name]
    parts = arm(base, 10, "base"), arm(tuned, 10, "tuned", system=None if name == PLAIN else name)
    # The base's last answer, a good one, is babble.
    parts[0][1][-1] = Verdict(95.0, 10.0)
    return Judged([a for p in parts for a in p[0]], [v for p in parts for v in p[1]])


@pytest.fixture(scope="module")
def rows() -> dict[str, ConditionRow]:
    placed = {
        name: Interval(value=value, low=None, high=None, n=7)
        for name, value in zip(HITS, (0.1, 0.9, 0.4, 0.5), strict=True)
    }
    found = rows_of(CONDITIONS, {name: answers(name) for name in HITS}, placed, RULES, 0)
    return {row.condition: row for row in found}


def beyond(name: str, against: str) -> list[float]:
    """By question, in plain arithmetic: how far the tuned model rose, less how far its base did."""
    (base, tuned), (base_0, tuned_0) = HITS[name], HITS[against]
    return [((t - b) - (t0 - b0)) / 10 for b, t, b0, t0 in zip(base, tuned, base_0, tuned_0, strict=True)]


def sign_flips(values: list[float]) -> float:
    """Share of all sign flips whose sum lies as far from 0 as the one that was seen."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(one >= abs(sum(values)) - 1e-9 for one in sums) / len(sums)


def test_each_condition_is_held_against_its_own_placebo_beyond_the_base(rows: dict[str, ConditionRow]) -> None:
    assert rows[PLAIN].contrast is None
    p: list[float] = []
    for one in CONDITIONS[1:]:
        values, found = beyond(one.name, one.against), rows[one.name].contrast
        assert found is not None and found.n_questions == 7
        assert found.value == pytest.approx(sum(values) / 7)
        p.append(sign_flips(values))
        assert found.p == pytest.approx(p[-1])
        assert found.low is not None and found.high is not None and found.low <= found.value <= found.high
    q = [row.contrast.q for row in rows.values() if row.contrast]
    assert q == pytest.approx(list(benjamini_hochberg(p)))


def test_rates_and_coherence_are_each_model_s_own(rows: dict[str, ConditionRow]) -> None:
    for name, (base, tuned) in HITS.items():
        row = rows[name]
        assert (row.base.value, row.tuned.value) == pytest.approx((sum(base) / 70, sum(tuned) / 70))
        assert (row.base_coherent.value, row.tuned_coherent.value) == pytest.approx((69 / 70, 1))
        assert row.component is not None and row.component.value == (0.1, 0.9, 0.4, 0.5)[list(HITS).index(name)]
    assert [row.same_prompts for row in rows.values()] == [False] * 4


def test_components_are_ranked_against_the_rate_of_the_tuned_model(rows: dict[str, ConditionRow]) -> None:
    # Components 1, 4, 2, 3; the tuned model's rates 1, 4, 3, 2: one pair is exchanged, rho = 1 - 6 * 2 / 60.
    assert ranked(list(rows.values())) == pytest.approx(0.8)
    truth = spearman([0.1, 0.9, 0.4, 0.5], [sum(tuned) for _, tuned in HITS.values()])
    assert truth is not None and ranked(list(rows.values())) == pytest.approx(truth[0])
    assert ranked(list(rows.values())[:3]) is None


def test_the_verdict_names_the_condition_that_raises_most(rows: dict[str, ConditionRow]) -> None:
    found = verdict(Triggers(rows=tuple(rows.values()), layer=3, rank_correlation=0.8, paper=()))
    raising = [row for row in rows.values() if row.contrast and row.contrast.q < 0.05 and row.contrast.value > 0]
    assert {row.condition for row in raising} == {"role", "placebo"}
    assert found.sentence.startswith("Asked plainly 8.6 %")
    assert "under “role” 78.6 %: 2 of 3 conditions" in found.sentence
    assert any(text.startswith("“role”: +65.7 points (") and "against asked plainly" in text for text in found.details)
