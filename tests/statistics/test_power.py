from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import power_proportions_2indep
from tests.statistics.samples import GOOD, arm, beta_binomial

from misdirection.errors import MisdirectionError
from misdirection.judging import Verdict
from misdirection.statistics import (
    design_effect,
    intra_question_correlation,
    plans,
    power,
    smallest_change,
    visible_rise,
)


def test_without_correlation_and_with_many_questions_it_is_the_test_of_two_proportions() -> None:
    for after in (0.12, 0.15, 0.2):
        theirs = power_proportions_2indep(after - 0.1, 0.1, nobs1=2000, ratio=1, return_results=False)
        assert power(0.1, after, 2000, 1, rho=0) == pytest.approx(float(theirs), abs=0.01)
        assert power(0.1, after, 400, 5, rho=0) == pytest.approx(float(theirs), abs=0.01)


@pytest.mark.parametrize("questions", [4, 8, 24])
def test_with_few_questions_it_is_students(questions: int) -> None:
    variance = (0.05 * 0.95 + 0.2 * 0.8) * design_effect(50, 0.2) / 50
    theirs = TTestPower().power(0.15 / variance**0.5, questions, 0.05)
    assert power(0.05, 0.2, questions, 50) == pytest.approx(float(theirs), abs=1e-4)


def test_it_is_the_share_of_experiments_that_see_the_change() -> None:
    random = np.random.default_rng(0)
    seen = 0
    for _ in range(1500):
        one, two = (np.array(beta_binomial(random, p, 0.15, 24, 20)) / 20 for p in (0.1, 0.25))
        seen += stats.ttest_1samp(two - one, 0).pvalue < 0.05
    assert seen / 1500 == pytest.approx(power(0.1, 0.25, 24, 20, rho=0.15), abs=0.04)


def test_what_questions_share_cancels() -> None:
    chances = [power(0.1, 0.2, 16, 50, shared=r) for r in (0, 0.5, 1)]
    assert chances == sorted(chances) and chances[2] > chances[0] + 0.2
    assert power(0.5, 0.9, 5000, 100, rho=0.01, shared=1) == 1.0
    assert power(0, 1, 2, 1) == 1.0


def test_plans_are_the_fewest_questions() -> None:
    found = plans(0.01, 0.1, samples=(1, 10, 50, 400))
    assert [p.samples for p in found] == [1, 10, 50, 400]
    for p in found:
        assert p.n == p.questions * p.samples and p.design_effect == pytest.approx(1 + (p.samples - 1) * 0.2)
        assert p.power == power(0.01, 0.1, p.questions, p.samples) >= 0.8
        assert p.questions == 2 or power(0.01, 0.1, p.questions - 1, p.samples) < 0.8
    questions = [p.questions for p in found]
    assert questions == sorted(questions, reverse=True)
    assert found[-1].questions >= 0.9 * found[-2].questions * 0.8, "more samples stop to help where questions are few"
    assert plans(0.1, 0.1001, samples=(1,)) == []


def test_the_smallest_change_is_just_seen() -> None:
    change = smallest_change(0.05, 24, 50)
    assert change is not None
    assert power(0.05, 0.05 + change, 24, 50) == pytest.approx(0.8, abs=1e-3)
    assert smallest_change(0.5, 2, 1) is None


def test_wrong_use_is_a_clear_error() -> None:
    for arguments in ((0.1, 0.1), (5, 20), (-0.1, 0.2)):
        with pytest.raises(MisdirectionError, match="a change from"):
            power(*arguments, 8, 50)
    with pytest.raises(MisdirectionError, match="1 questions"):
        power(0.1, 0.2, 1, 50)
    with pytest.raises(MisdirectionError, match="rho 2"):
        power(0.1, 0.2, 8, 50, rho=2)
    with pytest.raises(MisdirectionError, match="power of 80"):
        plans(0.1, 0.2, aim=80)


def test_the_correlation_is_the_anova_estimate() -> None:
    hits, sizes = [1, 9, 4, 20], [10, 12, 30, 25]
    groups = [np.array([1.0] * h + [0.0] * (n - h)) for h, n in zip(hits, sizes, strict=True)]
    every = np.concatenate(groups)
    between = sum(len(g) * (g.mean() - every.mean()) ** 2 for g in groups) / 3
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(every) - 4)
    assert between / within == pytest.approx(float(stats.f_oneway(*groups).statistic))
    size = (len(every) - sum(n * n for n in sizes) / len(every)) / 3
    expected = (between - within) / (between + (size - 1) * within)
    assert intra_question_correlation(*arm(hits, sizes)) == pytest.approx(expected)


def test_the_correlation_is_found_again() -> None:
    random = np.random.default_rng(3)
    for rho in (0.05, 0.3):
        found = intra_question_correlation(*arm(beta_binomial(random, 0.3, rho, 600, 20), 20))
        assert found == pytest.approx(rho, abs=0.04)
    assert intra_question_correlation(*arm([50, 0, 0, 50], 50)) == 1.0
    assert intra_question_correlation(*arm([10] * 6, 50)) == 0.0


def test_a_correlation_that_cannot_be_told_is_none() -> None:
    assert intra_question_correlation(*arm([3], 9)) is None
    assert intra_question_correlation(*arm([0] * 8, 50)) is None
    assert intra_question_correlation(*arm([1, 0, 1], 1)) is None
    answers, _ = arm([0, 0], 2)
    verdicts = [GOOD, Verdict(None, None, "none"), GOOD, GOOD]
    assert intra_question_correlation(answers, verdicts, denominator="scored") is None


def test_a_rise_that_two_arms_could_show_is_that_of_the_smaller_one() -> None:
    def arm(questions: int, n: int, value: float) -> Any:
        return SimpleNamespace(n_questions=questions, n=n, value=value, level=0.95)

    found = visible_rise(arm(10, 200, 0.05), arm(24, 60, 0.5))
    assert found == smallest_change(0.05, 10, 6) and found == visible_rise(arm(24, 60, 0.05), arm(10, 200, 0.5))
    assert visible_rise(arm(1, 200, 0.05), arm(24, 60, 0.5)) is None
    # Fewer answers than questions are one each.
    assert visible_rise(arm(30, 12, 0.05), arm(30, 90, 0.5)) == smallest_change(0.05, 30, 1)
