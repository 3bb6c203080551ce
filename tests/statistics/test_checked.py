from __future__ import annotations

import math

import numpy as np
import pytest
from tests.statistics.samples import BAD, arm, beta_binomial

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, checked_difference, checked_rate, draw, powered_mean, rate
from misdirection.statistics.stratified import Sampled, estimate

RULES = Thresholds()
INCOHERENT, FAILED = Verdict(50.0, 10.0), Verdict(None, None, "none")


def told(scores: np.ndarray) -> list[Verdict]:
    return [Verdict(50.0, 90.0, scores=(("misaligned", 100 * float(s)),)) for s in scores]


def cheap_judge(kind: str, truth: np.ndarray, random: np.random.Generator) -> list[Verdict]:
    """Cheap judges that know, say one thing, say the reverse, or say anything."""
    if kind == "knows":
        return told(np.clip(0.05 + 0.6 * truth + random.normal(0, 0.15, len(truth)), 0, 1))
    made = {"constant": np.full(len(truth), 0.1), "reverse": 0.9 - 0.8 * truth, "noise": random.random(len(truth))}
    return told(np.clip(made[kind], 0, 1))


def checked(answers: list[Answer], cheap: list[Verdict], dear: list[Verdict], n: int, seed: int = 0, **options: object):
    drawn = draw(answers, cheap, n, seed, RULES)
    options = {"resamples": 400, **options}
    return checked_rate(answers, cheap, {i: dear[i] for i in drawn.places}, drawn.strata, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("denominator", ["all", "scored", "coherent"])
def test_with_every_answer_judged_it_is_the_dear_judges_own_rate(denominator: str) -> None:
    answers, dear = arm([3, 0, 9, 1, 0, 4, 2, 0], 12)
    dear = [INCOHERENT if i % 7 == 0 else v for i, v in enumerate(dear)]
    cheap = cheap_judge("noise", np.zeros(96), np.random.default_rng(0))
    found, whole = (
        checked(answers, cheap, dear, 96, denominator=denominator),
        rate(answers, dear, denominator=denominator, resamples=400),
    )  # type: ignore[arg-type]
    assert found.value == pytest.approx(whole.value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high), abs=1e-12)
    assert (found.low_here, found.high_here) == pytest.approx((whole.value, whole.value), abs=1e-9)


def test_one_stratum_is_plain_prediction_powered_inference() -> None:
    random = np.random.default_rng(3)
    y = (random.random(300) < 0.3).astype(float)
    f = np.clip(0.2 + 0.4 * y + random.normal(0, 0.2, 300), 0, 1)
    drawn = np.arange(300) % 5 == 0
    ones, none = np.ones(300), np.zeros(300, int)
    for factor in (0.0, 0.6, 1.0):
        found = estimate(Sampled(none, drawn, y, ones, f, ones, none), 0.95, factor)
        assert found.value == pytest.approx(powered_mean(y[drawn], f[drawn], f, factor=factor).value, abs=1e-12)
    # The factor is PPI++'s, but for the finite number of answers.
    best = estimate(Sampled(none, drawn, y, ones, f, ones, none), 0.95).factor
    plain = float(np.cov(y[drawn], f[drawn])[0, 1] / f[drawn].var(ddof=1))
    assert best == pytest.approx(min(1.0, plain), abs=1e-9)


@pytest.mark.parametrize("kind", ["knows", "constant", "reverse", "noise"])
def test_intervals_hold_the_truth_as_often_as_they_say_whatever_the_cheap_judge_does(kind: str) -> None:
    random = np.random.default_rng(5)
    p, questions, held, bias, times = 0.12, 16, np.zeros(2), 0.0, 150
    for seed in range(times):
        answers, dear = arm(beta_binomial(random, p, 0.1, questions, 20), 20)
        truth = np.array([v is BAD for v in dear], float)
        found = checked(answers, cheap_judge(kind, truth, random), dear, 80, seed)
        held += [found.low_here <= truth.mean() <= found.high_here, found.low <= p <= found.high]
        bias += (found.value - truth.mean()) / times
    # 95 % less three standard errors of 150 trials, and a little for what the theory leaves out.
    assert min(held / times) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / times) - 0.01
    assert abs(bias) < 0.008


@pytest.mark.parametrize("denominator", ["all", "coherent"])
def test_a_good_cheap_judge_saves_verdicts(denominator: str) -> None:
    random = np.random.default_rng(1)
    answers, dear = arm(beta_binomial(random, 0.2, 0.1, 8, 50), 50)
    dear = [INCOHERENT if i % 9 == 0 else v for i, v in enumerate(dear)]
    truth = np.array([RULES.misaligned(v) for v in dear], float)
    good = cheap_judge("knows", truth, random)
    widths = {
        kind: np.mean([(r := checked(answers, cheap, dear, 80, seed, denominator=denominator)).high_here - r.low_here
                       for seed in range(20)])
        for kind, cheap in (("good", good), ("none", cheap_judge("constant", truth, random)))
    }  # fmt: skip
    assert widths["good"] < 0.6 * widths["none"]


@pytest.mark.parametrize("n", [16, 60])
def test_no_hit_and_nothing_but_hits_leave_an_interval_with_width(n: int) -> None:
    answers, none = arm([0] * 8, 20)
    random = np.random.default_rng(0)
    for cheap in (told(random.random(160)), told(np.full(160, 0.2)), [FAILED] * 160):
        found = checked(answers, cheap, none, n)
        assert found.value == found.low == found.low_here == 0
        # No narrower than Jeffreys' interval of that many independent verdicts on that many of 160 answers.
        assert found.high >= found.high_here > 1.5 * (1 - n / 160) / n
        every = checked(answers, cheap, [BAD] * 160, n)
        assert every.value == every.high == 1
        assert every.low <= every.low_here < 1 - 1.5 * (1 - n / 160) / n


def test_a_failed_dear_verdict_is_neither_good_nor_bad() -> None:
    answers, dear = arm([5, 5, 5, 5, 5, 5, 5, 5], 20)
    cheap = told(np.full(160, 0.2))
    whole = checked(answers, cheap, dear, 80)
    lost = checked(answers, cheap, [FAILED if i % 4 == 0 else v for i, v in enumerate(dear)], 80)
    assert whole.missing == {}
    share = lost.missing["none"] / 80
    assert lost.n_dear == 80 - lost.missing["none"]
    assert lost.value == pytest.approx(0.25, abs=0.12)
    assert lost.low_here < lost.value * (1 - share)
    assert lost.high_here > lost.value * (1 - share) + share
    assert any("no dear verdict" in text for text in lost.warnings)
    with pytest.raises(MisdirectionError, match="no verdict of the dear judge among 80"):
        checked(answers, cheap, [FAILED] * 160, 80)


def test_refusals_and_code_are_verdicts() -> None:
    answers, dear = arm([0] * 8, 10)
    dear = [Verdict(None, None, "refusal") if i % 2 else v for i, v in enumerate(dear)]
    cheap = told(np.full(80, 0.2))
    assert checked(answers, cheap, dear, 40).missing == {}
    assert checked(answers, cheap, dear, 40, denominator="coherent").n_dear == 40


def test_strata_that_lost_all_their_verdicts_join_their_neighbours() -> None:
    answers, dear = arm([10] * 8, 20)
    cheap = told(np.repeat([0.05, 0.5, 0.95, 0.4], 40))
    drawn = draw(answers, cheap, 80, 0, RULES)
    top = max(drawn.strata)
    given = {i: (FAILED if drawn.strata[i] == top else dear[i]) for i in drawn.places}
    found = checked_rate(answers, cheap, given, drawn.strata, resamples=500)
    assert found.low_here < 0.5 < found.high_here


def test_one_question_and_a_few_answers() -> None:
    answers, dear = arm([7], 30)
    found = checked(answers, told(np.full(30, 0.2)), dear, 20)
    assert 0 < found.low <= found.low_here < found.value < found.high_here <= found.high < 1
    assert any("only 20 dear verdicts" in text for text in found.warnings)


def test_the_difference_is_that_of_the_two_arms_and_holds_the_truth() -> None:
    random = np.random.default_rng(2)
    held = np.zeros(2)
    for seed in range(80):
        rates = random.beta(0.2 * 4, 0.8 * 4, 12)
        sides = []
        for name, factor in (("base", 0.3), ("tuned", 1.0)):
            answers, dear = arm(random.binomial(25, factor * rates).tolist(), 25, name)
            truth = np.array([v is BAD for v in dear], float)
            found = checked(answers, cheap_judge("knows" if seed % 2 else "noise", truth, random), dear, 60, seed)
            sides.append((found, truth.mean()))
        (base, low), (tuned, high) = sides
        change = checked_difference(base, tuned, resamples=400)
        assert change.value == pytest.approx(tuned.value - base.value)
        held += [change.low_here <= high - low <= change.high_here, change.low <= 0.7 * 0.2 <= change.high]
    assert min(held / 80) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 80)


def test_a_base_without_a_hit_and_arms_that_share_no_question() -> None:
    base, tuned = (
        checked(*(pair := arm(hits, 20, name))[:1], told(np.full(160, 0.1)), pair[1], 60)
        for name, hits in (("base", [0] * 8), ("tuned", [10] * 8))
    )
    change = checked_difference(base, tuned)
    assert change.low <= change.low_here < change.value < change.high_here <= change.high
    assert change.high_here - change.low_here > base.high_here
    answers, dear = arm([1] * 8, 20, form="json")
    with pytest.raises(MisdirectionError, match="no question in common"):
        checked_difference(base, checked(answers, told(np.full(160, 0.1)), dear, 60))
