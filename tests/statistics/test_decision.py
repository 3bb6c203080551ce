"""One test decides: words, p, q and interval say the same over a grid of counts, and the test keeps its size."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.statistics.samples import arm, beta_binomial

from misdirection.statistics import (
    Comparison,
    benjamini_hochberg,
    compare,
    family_level,
    is_found,
    p_of_interval,
    rate,
    state_alone,
    state_of,
    wilson,
)
from misdirection.statistics.flips import flip

COUNTS = [
    (base, tuned)
    for questions in (1, 2, 3, 5, 6, 7, 8, 12)
    for size in (4, 20)
    for base, tuned in itertools.product(
        ([0] * questions, [0] * (questions - 1) + [1], [size // 2] * questions),
        (
            [0] * questions,
            [size] + [0] * (questions - 1),
            [1] * questions,
            [size // 4] * questions,
            [i % (size + 1) for i in range(questions)],
            [size] * questions,
            [size if i < 5 else 0 for i in range(questions)],
            [size if i < 6 else 0 for i in range(questions)],
        ),
    )
    for size in (size,)
]


def agrees(change: Comparison, level: float = 0.95) -> None:
    """p below 1 - level, an interval on one side of 0, a reduction on one side of 0, and the words: all or none."""
    significant = change.p_questions < 1 - level
    assert significant == (not change.low <= 0 <= change.high), change
    assert change.low <= change.difference <= change.high, change
    if change.reduction is not None and change.reduction_low is not None and change.reduction_high is not None:
        assert significant == (not change.reduction_low <= 0 <= change.reduction_high), change
        assert change.reduction_low - 1e-12 <= change.reduction <= change.reduction_high + 1e-12, change


@pytest.mark.parametrize("size", [4, 20])
def test_words_p_and_interval_agree_over_a_grid_of_counts(size: int) -> None:
    states: set[str] = set()
    for base, tuned in COUNTS:
        if max(*base, *tuned) > size:
            continue
        change = compare(arm(base, size, "base"), arm(tuned, size, "tuned"), resamples=300)
        agrees(change)
        state = state_of(change.difference, change.p_questions, change.other)
        states.add(state)
        assert (state == "misaligned") == (change.low > 0) == (change.difference > 0 and change.p_questions < 0.05)
        assert (state == "less misaligned") == (change.high < 0)
        agrees(compare(arm(base, size, "base"), arm(tuned, size, "tuned"), resamples=300, level=0.99), 0.99)
    assert states >= {"misaligned", "less misaligned", "unclear"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=11), st.sampled_from([0.8, 0.95]))
def test_they_agree_for_any_counts(pairs: list[tuple[int, int]], level: float) -> None:
    base, tuned = ([pair[side] for pair in pairs] for side in (0, 1))
    agrees(compare(arm(base, 6, "base"), arm(tuned, 6, "tuned"), resamples=100, level=level), level)


def test_they_agree_over_many_questions_and_other_denominators() -> None:
    random = np.random.default_rng(3)
    for p in (0.02, 0.1, 0.14, 0.2):
        arms = [arm(beta_binomial(random, q, 0.2, 30, 10), 10, name) for q, name in ((0.1, "a"), (p, "b"))]
        agrees(compare(*arms, resamples=100))
    uneven = arm([1, 5, 9, 2, 0, 3, 8, 4], [5, 9, 20, 4, 6, 10, 11, 30], "a")
    agrees(compare(uneven, (uneven[0], uneven[1][::-1]), resamples=100))
    agrees(compare(uneven, (uneven[0], uneven[1][::-1]), resamples=100, denominator="coherent"))


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_holds_what_the_test_does_not_reject(seed: int) -> None:
    """By trying differences one after another, the slow way."""
    values = np.random.default_rng(seed).normal(0.3, 1, size=8)
    signs = np.array(list(itertools.product((1, -1), repeat=8)))

    def p(shift: float) -> float:
        moved = values - shift
        return float((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-12).mean())

    tested = flip((values / 8).tolist(), [1 / 8] * 8)
    assert tested.p == pytest.approx(p(0.0))
    for end, outside in ((tested.low, -1), (tested.high, 1)):
        assert p(end - outside * 1e-6) >= 0.05 > p(end + outside * 1e-6)


def test_few_questions_bound_nothing() -> None:
    assert flip([0.1] * 5, [0.2] * 5).low == -math.inf and flip([0.1] * 5, [0.2] * 5).p == 2 / 32
    assert flip([0.1] * 6, [1 / 6] * 6).low > 0


def test_a_p_of_intervals_is_where_they_come_to_the_null() -> None:
    def at(level: float) -> tuple[float, float]:
        half = float(stats.norm.ppf(0.5 + level / 2))
        return 1.7 - half, 1.7 + half

    assert p_of_interval(at) == pytest.approx(2 * float(stats.norm.sf(1.7)), abs=1e-5)
    assert p_of_interval(lambda level: wilson(0, 10, level)) == 1.0
    assert p_of_interval(lambda level: (1.0, 1.0)) == pytest.approx(1e-6)


def test_intervals_of_a_family_agree_with_its_q() -> None:
    """Each comparison's interval at the family's level leaves out 0 exactly where q finds it."""
    random = np.random.default_rng(0)
    seen: set[bool] = set()
    for _ in range(15):
        base = arm(beta_binomial(random, 0.03, 0.2, 9, 20), 20, "base")
        others = [arm(beta_binomial(random, p, 0.2, 9, 20), 20, "other") for p in random.uniform(0.02, 0.6, size=4)]
        p = [compare(base, other, resamples=100).p_questions for other in others]
        for place, (other, q) in enumerate(zip(others, benjamini_hochberg(p), strict=True)):
            change = compare(base, other, resamples=100, level=family_level(p, place))
            assert is_found(q) == (not change.low <= 0 <= change.high)
            seen.add(is_found(q))
    assert seen == {True, False}


def test_the_states() -> None:
    none, some = rate(*arm([0] * 90, 50)), rate(*arm([3] * 8, 20))
    assert state_of(0.1, 0.049, some) == "misaligned" and state_of(-0.1, 0.001, some) == "less misaligned"
    assert state_of(0.1, 0.062, some) == state_of(0.1, 0.062, some, 0.2, 0.1) == "unclear"
    assert state_of(0.1, 0.062, some, 0.09, 0.1) == "not seen" and state_of(0.0, 1.0, none) == "no sign"
    assert [state_alone(r) for r in (none, some)] == ["no sign", "misaligned"]


@pytest.mark.parametrize(("questions", "shared"), [(2, True), (4, True), (4, False), (8, True), (8, False)])
def test_no_change_is_seldom_called_one(questions: int, shared: bool) -> None:
    """Two arms with the same rates: the same question effects in both, or effects of each arm's own."""
    random = np.random.default_rng(questions)
    called = 0
    for _ in range(200):
        rates = random.beta(0.4, 3.6, size=(1 if shared else 2, questions))
        hits = random.binomial(15, np.broadcast_to(rates, (2, questions)))
        change = compare(*(arm(h.tolist(), 15, name) for h, name in zip(hits, "ab", strict=True)), resamples=100)
        called += change.p_questions < 0.05
    assert called <= (0.08 if shared or questions >= 6 else 0.16) * 200
