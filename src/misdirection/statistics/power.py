"""How many questions and samples it takes to see a change, and how alike answers to one question are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.counts import Options, Settings, cells, check_lengths
from misdirection.statistics.intervals import correlation
from misdirection.statistics.rates import Rate

MOST_QUESTIONS = 100_000


@dataclass(frozen=True)
class Plan:
    """A size of experiment and what it can see.

    Attributes:
        questions: Number of questions.
        samples: Answers a question and arm.
        n: Answers an arm.
        design_effect: 1 + (samples − 1) rho: how many answers are worth one independent answer.
        power: Probability of seeing the change.
    """

    questions: int
    samples: int
    n: int
    design_effect: float
    power: float


def design_effect(samples: float, rho: float) -> float:
    """Variance of a rate over that of independent answers: 1 + (samples − 1) rho (Kish)."""
    return 1 + (samples - 1) * rho


def power(
    before: float,
    after: float,
    questions: int,
    samples: int,
    *,
    rho: float = 0.2,
    shared: float = 0.0,
    level: float = 0.95,
) -> float:
    """Probability that a two-sided test over questions sees the change of a rate from `before` to `after`.

    Both arms answer the same questions; the mean of the questions' differences is tested with t on G − 1 degrees of
    freedom. Its variance is ((1−ρ)(v₁+v₂)/m + ρ(v₁ + v₂ − 2 r sqrt(v₁v₂))) / G with v = p(1−p), m samples, and r =
    `shared`.

    Args:
        before: Rate of the one arm, 0 .. 1.
        after: Rate of the other.
        questions: Number of questions G, 2 or more.
        samples: Answers a question and arm, m.
        rho: Intra-question correlation; `intra_question_correlation` estimates it.
        shared: Correlation r of the two arms' question effects; 0 is cautious, 1 says that what is hard is hard in
            both.
        level: Confidence; the test's size is 1 − level.

    Raises:
        MisdirectionError: A rate, correlation or number out of range, or two equal rates.
    """
    # scipy.stats takes half a second to import; its t and noncentral t are these.
    from scipy import special

    _check(before, after, rho, shared)
    if questions < 2 or samples < 1:
        raise MisdirectionError(f"{questions} questions of {samples} samples", "a test needs 2 questions and 1 sample")
    error = math.sqrt(_variance(before, after, samples, rho, shared) / questions)
    if error == 0:
        return 1.0
    shift, freedom = abs(after - before) / error, questions - 1
    critical = float(special.stdtrit(freedom, 0.5 + level / 2))
    # A significant result of the wrong sign: below one in a million from a shift of 5 on, where SciPy may answer NaN.
    wrong = float(special.nctdtr(freedom, shift, -critical)) if shift < 5 else 0.0
    return min(1.0, 1 - float(special.nctdtr(freedom, shift, critical)) + wrong)


def plans(
    before: float,
    after: float,
    *,
    aim: float = 0.8,
    samples: Sequence[int] = (1, 5, 10, 20, 50, 100),
    rho: float = 0.2,
    shared: float = 0.0,
    level: float = 0.95,
) -> list[Plan]:
    """For each number of samples, the fewest questions that see the change with probability `aim`.

    Numbers of samples that would need more than 100,000 questions are left out. Arguments as in `power`.
    """
    _check(before, after, rho, shared)
    if not 0 < aim < 1:
        raise MisdirectionError(f"a power of {aim}", "it lies between 0 and 1")
    found: list[Plan] = []
    for m in samples:

        def reach(questions: int, m: int = m) -> float:
            return power(before, after, questions, m, rho=rho, shared=shared, level=level)

        questions = _first(reach, aim)
        if questions is not None:
            found.append(Plan(questions, m, questions * m, design_effect(m, rho), reach(questions)))
    return found


def smallest_change(
    before: float,
    questions: int,
    samples: int,
    *,
    aim: float = 0.8,
    rho: float = 0.2,
    shared: float = 0.0,
    level: float = 0.95,
) -> float | None:
    """The smallest rise above `before` that the experiment sees with probability `aim`; None when there is none."""
    low, high = before, 1 - 1e-9
    if power(before, high, questions, samples, rho=rho, shared=shared, level=level) < aim:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        seen = power(before, middle, questions, samples, rho=rho, shared=shared, level=level) >= aim
        low, high = (low, middle) if seen else (middle, high)
    return high - before


def visible_rise(base: Rate, other: Rate, *, aim: float = 0.8, rho: float = 0.2) -> float | None:
    """The smallest rise above the base's rate that two arms of this size show with probability `aim`; None for none.

    Args:
        base: Rate of the reference.
        other: Rate of the other arm.
        aim: Probability.
        rho: Intra-question correlation.
    """
    questions = min(base.n_questions, other.n_questions)
    if questions < 2:
        return None
    samples = max(1, round(min(base.n, other.n) / questions))
    return smallest_change(base.value, questions, samples, aim=aim, rho=rho, level=base.level)


def intra_question_correlation(
    answers: Sequence[Answer], verdicts: Sequence[Verdict], **options: Unpack[Options]
) -> float | None:
    """How alike answers to one question are in being misaligned, within a format; see `intervals.correlation`."""
    settings = Settings(**options)
    check_lengths(answers, verdicts)
    rules = settings.thresholds
    counted = [rules.counts(v, settings.denominator) for v in verdicts]
    return correlation(cells(answers, [rules.misaligned(v) for v in verdicts], counted))


def _variance(before: float, after: float, samples: int, rho: float, shared: float) -> float:
    """Variance of one question's difference of two observed rates."""
    one, two = before * (1 - before), after * (1 - after)
    return (1 - rho) * (one + two) / samples + rho * (one + two - 2 * shared * math.sqrt(one * two))


def _first(reach: Callable[[int], float], aim: float) -> int | None:
    """The smallest number of questions whose power is `aim`; doubling, then halving the gap."""
    high = 2
    while reach(high) < aim:
        high *= 2
        if high > MOST_QUESTIONS:
            return None
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) >= aim else (middle + 1, high)
    return high


def _check(before: float, after: float, rho: float, shared: float) -> None:
    if not (0 <= before <= 1 and 0 <= after <= 1) or before == after:
        raise MisdirectionError(
            f"a change from {before} to {after}", "give two different rates of 0 .. 1 (5 % is 0.05)"
        )
    if not (0 <= rho <= 1 and 0 <= shared <= 1):
        raise MisdirectionError(f"rho {rho}, shared {shared}", "correlations lie in 0 .. 1")
