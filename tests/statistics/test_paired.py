from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from tests.statistics.samples import Arm, arm, beta_binomial

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.judging.table import load_table
from misdirection.statistics import benjamini_hochberg, compare, mcnemar, rate, sign_flip, wilson
from misdirection.statistics.paired import difference_from_ends, ratio_from_ends

TUNED, CURED = [11, 2, 2, 21, 29, 0, 33, 12], [1, 0, 1, 4, 6, 0, 9, 2]


# the tests -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_sign_flip_is_the_share_of_all_flips(values: list[int]) -> None:
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = sum(s >= abs(sum(values)) for s in sums) / len(sums)
    p, method = sign_flip([v / 7 for v in values])
    assert p == pytest.approx(expected) and method.startswith("exact")


def test_sign_flip_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, size=9)
    theirs = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values.tolist())[0] == pytest.approx(float(theirs.pvalue))


def test_many_questions_are_flipped_at_random_from_the_seed() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, size=40).tolist()
    p, method = sign_flip(values, seed=5)
    assert "100000 random flips" in method and p == sign_flip(values, seed=5)[0] != sign_flip(values, seed=6)[0]
    assert p == pytest.approx(float(stats.ttest_1samp(values, 0).pvalue), abs=0.01)
    assert sign_flip([1.0] * 40)[0] == pytest.approx(1 / 100_001)


def test_no_difference_is_no_evidence() -> None:
    assert sign_flip([])[0] == sign_flip([0.0, 0.0])[0] == 1.0
    assert mcnemar(0, 0) == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_statsmodels(b: int, c: int) -> None:
    theirs = float(their_mcnemar([[5, b], [c, 7]], exact=True).pvalue) if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(min(1.0, theirs))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_equals_statsmodels(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


def test_benjamini_hochberg_refuses_what_is_no_p_value() -> None:
    assert benjamini_hochberg([]) == []
    for bad in (float("nan"), -0.1, 1.1):
        with pytest.raises(MisdirectionError, match="p-value 1"):
            benjamini_hochberg([0.1, bad])


# intervals from the rates' own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(30, 12), (12, 30), (25, 0), (50, 3)])
def test_intervals_from_the_ends_equal_their_closed_forms(a: int, b: int) -> None:
    first, second = (
        dataclasses.replace(rate(*arm([hits], 50)), low=wilson(hits, 50)[0], high=wilson(hits, 50)[1])
        for hits in (a, b)
    )
    theirs = confint_proportions_2indep(b, 50, a, 50, method="newcomb", compare="diff")
    assert difference_from_ends(first, second) == pytest.approx(theirs, abs=1e-9)
    low, high = ratio_from_ends(first, second)
    assert 0 <= low <= b / a <= high
    # The ends solve (b − R a)² = (b − b_end)² + R² (a − a_end)², the definition by Donner and Zou.
    for ratio, b_end, a_end in ((low, second.low, first.high), (high, second.high, first.low)):
        if ratio > 0:
            left = (second.value - ratio * first.value) ** 2
            assert left == pytest.approx((second.value - b_end) ** 2 + ratio**2 * (first.value - a_end) ** 2)


def test_a_reference_that_may_be_zero_gives_an_unbounded_ratio() -> None:
    first = dataclasses.replace(rate(*arm([1], 50)), low=0.0)
    assert ratio_from_ends(first, rate(*arm([5], 50)))[1] == math.inf


# two arms ------------------------------------------------------------------------------------------------------------


def test_a_comparison_tells_everything_of_two_arms() -> None:
    tuned, cured = arm(TUNED, 50, "tuned"), arm(CURED, 50, "cured")
    found = compare(tuned, cured)
    assert (found.reference, found.other) == (rate(*tuned), rate(*cured))
    assert found.difference == pytest.approx((sum(CURED) - sum(TUNED)) / 400)
    assert found.low < found.difference < found.high < 0
    assert found.reduction == pytest.approx(1 - sum(CURED) / sum(TUNED))
    assert found.reduction_low is not None and found.reduction_high is not None
    assert 0.5 < found.reduction_low < found.reduction < found.reduction_high < 1
    assert found.p_questions == sign_flip([(c - t) / 50 for c, t in zip(CURED, TUNED, strict=True)])[0] == 2 / 128
    assert (found.only_reference, found.only_other) == (sum(TUNED) - sum(CURED), 0)
    assert found.p_answers == mcnemar(found.only_reference, 0)
    assert (found.n_pairs, found.n_questions, found.unmatched) == (400, 8, (0, 0))
    assert found.warnings == () and "exact sign-flip" in found.method


def test_pairing_narrows_the_interval_when_questions_are_hard_in_both_arms() -> None:
    one, two = arm([0, 5, 10, 15, 20, 25, 30, 35], 50, "a"), arm([4, 9, 14, 19, 24, 29, 34, 39], 50, "b")
    found = compare(one, two)
    assert found.high - found.low < 0.05
    alone = found.reference.high - found.reference.low
    assert alone > 0.3


def test_the_order_of_answers_does_not_matter() -> None:
    one, two = arm(TUNED, 50, "a"), arm(CURED, 50, "b")
    order = np.random.default_rng(0).permutation(400)
    shuffled = [two[0][i] for i in order], [two[1][i] for i in order]
    assert compare(one, shuffled) == compare(one, two)


def test_answers_are_matched_and_the_rest_counted() -> None:
    one, two = arm([5] * 8, 10, "a"), arm([1] * 8, 12, "b")
    found = compare((one[0][:-3], one[1][:-3]), two)
    assert (found.n_pairs, found.unmatched) == (77, (0, 19))
    assert any("0 answers of the reference and 19 of the other" in text for text in found.warnings)


def test_each_denominator_is_each_arms_own() -> None:
    one, two = arm(TUNED, 50, "a"), arm(CURED, 50, "b")
    broken = two[0], [Verdict(50, 10) if i % 50 >= 40 else v for i, v in enumerate(two[1])]
    found = compare(one, broken, denominator="coherent")
    assert (found.reference.n, found.other.n) == (400, 320)
    assert found.difference == pytest.approx(sum(CURED) / 320 - sum(TUNED) / 400)
    assert found.low < found.difference < found.high


def test_a_rate_cured_to_nothing_keeps_some_doubt() -> None:
    found = compare(arm(TUNED, 50, "a"), arm([0] * 8, 50, "b"))
    assert found.reduction == 1 and found.reduction_high == 1
    assert found.reduction_low is not None and 0.3 < found.reduction_low < 0.95
    assert "unanimous" in found.method
    nothing = compare(arm([0] * 8, 50, "a"), arm([0] * 8, 50, "b"))
    assert nothing.reduction is nothing.reduction_low is nothing.reduction_high is None
    assert nothing.low < 0 < nothing.high and nothing.p_questions == nothing.p_answers == 1


def test_a_rare_reference_gives_finite_or_infinite_ends_but_no_nan() -> None:
    found = compare(arm([1, 0, 0, 0, 0, 0, 0, 0], 50, "a"), arm([0, 3, 0, 0, 1, 0, 0, 0], 50, "b"))
    assert found.reduction == -3 and found.reduction_low == -math.inf
    assert found.reduction_high is not None and found.reduction_high >= -3
    assert not any(math.isnan(x) for x in (found.low, found.high, found.reduction_high))


def test_few_questions_are_warned_about_with_the_least_p_that_they_can_give() -> None:
    found = compare(arm([30] * 7, 50, "a"), arm([1] * 7, 50, "b"))
    assert found.p_questions == 2 / 2**7 and any("fewer than 8 questions (7)" in t for t in found.warnings)
    for questions in (1, 3):
        few = compare(arm([30] * questions, 50, "a"), arm([1] * questions, 50, "b"))
        assert few.low < few.difference < few.high < 0 and few.p_questions < 0.05
        assert any(f"fewer than 6 questions ({questions})" in text for text in few.warnings)


def test_what_cannot_be_paired_is_refused() -> None:
    one, two = arm([1], 5, "a"), arm([1], 5, "b")
    other_seed = [dataclasses.replace(a, seed=1) for a in two[0]], two[1]
    with pytest.raises(MisdirectionError, match="no answer in common"):
        compare(one, other_seed)
    with pytest.raises(MisdirectionError, match="sample 0, seed 0 twice"):
        compare(one, (two[0] * 2, two[1] * 2))
    other_format = [dataclasses.replace(a, format="json") for a in two[0]], two[1]
    with pytest.raises(MisdirectionError, match="different formats"):
        compare(one, other_format)


def test_the_interval_of_the_difference_covers_the_truth() -> None:
    """Question effects shared by both arms, a true change of −0.1; 300 data sets, a 95 % interval in 90 % at least."""
    random = np.random.default_rng(11)
    covered, rejected = 0, 0
    for _ in range(300):
        rates = random.uniform(0.15, 0.6, size=12)
        one = arm(random.binomial(20, rates).tolist(), 20, "a")
        two = arm(random.binomial(20, rates - 0.1).tolist(), 20, "b")
        found = compare(one, two, resamples=500)
        covered += found.low <= -0.1 <= found.high
        rejected += found.p_questions < 0.05
    assert covered >= 0.90 * 300
    assert rejected > 0.5 * 300


def test_the_sign_flip_test_keeps_its_size_where_mcnemar_does_not() -> None:
    """Question effects that differ between arms at random, no change on average: 5 % may be called a change."""
    random = np.random.default_rng(2)
    by_question = by_answer = 0
    for _ in range(300):
        one, two = (arm(beta_binomial(random, 0.2, 0.2, 10, 30), 30, name) for name in "ab")
        found = compare(one, two, resamples=100)
        by_question += found.p_questions < 0.05
        by_answer += found.p_answers < 0.05
    assert by_question <= 0.08 * 300 < by_answer


@pytest.mark.real
def test_real_arms_are_compared(real_data: Path) -> None:
    def plain(name: str) -> Arm:
        answers, verdicts = load_table(real_data / "judged" / f"qwen2.5-14b_{name}.csv", arm=name)
        keep = [i for i, a in enumerate(answers) if a.format == "plain"]
        return [answers[i] for i in keep], [verdicts[i] for i in keep]

    found = compare(plain("base"), plain("bad_medical_r32"))
    assert found.difference == pytest.approx(0.205) and found.low > 0 and found.p_questions == 2 / 256
    assert (found.only_reference, found.only_other) == (0, 82) and found.reduction is None
    between = compare(plain("bad_medical_r1"), plain("bad_medical_r32"))
    assert between.difference == pytest.approx(-0.07) and between.low < -0.07 < between.high
