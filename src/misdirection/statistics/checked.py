"""The dear judge's rate from a few of its verdicts, with an interval that is right whatever the cheap judge does.

Prediction-powered inference (arXiv 2301.09633, 2311.01453) with stratified draws and questions as clusters. Two
intervals, for two questions:

- *these answers*: what the dear judge's rate would have been, had it judged all of them. Only this one shrinks with
  dear verdicts, and to nothing when all are judged.
- *over questions*: what the model would show on other questions of the kind, as `rate` gives it: a bootstrap over
  questions of their estimated counts, never narrower than Wilson's interval on the sample that the questions' spread
  is worth, than the interval for further answers to the same questions, and than what so many verdicts without one hit
  would leave open.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.counts import Options, Settings, Thresholds, check_lengths
from misdirection.statistics.drawing import suspicion
from misdirection.statistics.intervals import expanded_percentiles, none_seen_bound, question_weights, wilson
from misdirection.statistics.rates import FEW_QUESTIONS, rate
from misdirection.statistics.stratified import Estimate, Sampled, estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

Interval = tuple[float, float]

FEW_VERDICTS = 30
"""Below this many dear verdicts an interval is warned about."""


@dataclass(frozen=True)
class CheckedRate:
    """A rate by the dear judge, estimated from the answers that it was asked about.

    Attributes:
        value: Misaligned, of the denominator.
        low: Lower end of the interval over questions.
        high: Upper end.
        low_here: Lower end of the interval for these very answers.
        high_here: Upper end.
        cheap: The cheap judge's rate over all answers, NaN where it gave no verdict.
        denominator: "all", "scored" or "coherent".
        n_answers: Number of answers of the arm.
        n_drawn: Drawn for the dear judge.
        n_dear: Of these, with a verdict.
        missing: Drawn and left undecided, by label ("none": failed; "malformed": not readable; "unsure": cannot tell).
        misaligned: Misaligned among those with a verdict; not the rate, for the draw is uneven.
        n_questions: Number of questions.
        factor: How far the cheap judge's scores count within the strata, 0 .. 1.
        method: How both intervals were made.
        level: Their confidence.
        thresholds: When an answer is misaligned.
        warnings: What a reader should know.
        by_question: Estimated count of misaligned answers and of the denominator, by question.
    """

    value: float
    low: float
    high: float
    low_here: float
    high_here: float
    cheap: float
    denominator: str
    n_answers: int
    n_drawn: int
    n_dear: int
    missing: Mapping[str, int]
    misaligned: int
    n_questions: int
    factor: float
    method: str
    level: float
    thresholds: Thresholds
    warnings: tuple[str, ...]
    by_question: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class CheckedDifference:
    """The dear judge's difference of two arms, other − reference, in 0 .. 1; intervals as in `CheckedRate`."""

    value: float
    low: float
    high: float
    low_here: float
    high_here: float
    n_questions: int
    method: str


def checked_rate(
    answers: Sequence[Answer],
    cheap: Sequence[Verdict],
    dear: Mapping[int, Verdict],
    strata: Sequence[int],
    **options: Unpack[Options],
) -> CheckedRate:
    """The dear judge's rate of one arm on one kind of question.

    A dear verdict that failed is no verdict: the rate is made without it, and the interval holds what the rate would be
    with all of these misaligned, and with none.

    Args:
        answers: All answers of the arm.
        cheap: Verdicts of the cheap judge, one an answer.
        dear: Verdicts of the dear judge by the answer's place; drawn at random within each stratum, and all that were.
        strata: Number of the stratum of each answer (`drawing.draw`).
        **options: See `Settings`.

    Raises:
        MisdirectionError: Lengths that differ, a place outside, or no dear verdict.
    """
    import numpy as np

    settings = Settings(**options)
    check_lengths(answers, cheap)
    check_lengths(answers, strata)  # type: ignore[arg-type]
    given = {place: verdict for place, verdict in dear.items() if not settings.thresholds.undecided(verdict)}
    if not given or not all(0 <= place < len(answers) for place in dear):
        raise MisdirectionError(
            f"no verdict of the dear judge among {len(dear)} drawn answers"
            if not given
            else "a dear verdict stands at a place where there is no answer",
            "ask the dear judge again, or about more answers",
        )
    lost = [place for place in dear if place not in given]
    names = sorted({answer.question_id for answer in answers})
    made = _Maker(answers, cheap, given, _merged(strata, given), names, settings)
    found = made.estimate({})
    ends, how = (found.here, _over_questions(found, names, settings)), _method(len(names), settings)
    if len(given) == len(answers):
        whole = rate(answers, [given[i] for i in range(len(answers))], **options)
        ends, how = (found.here, (whole.low, whole.high)), whole.method
    for value in (0.0, 1.0) if lost else ():
        worst = made.estimate(dict.fromkeys(lost, value))
        ends = _hull(ends[0], worst.here), _hull(ends[1], _over_questions(worst, names, settings))
    here, over = (_hull(pair, (found.value, found.value)) for pair in ends)
    return CheckedRate(
        value=found.value,
        low=over[0],
        high=over[1],
        low_here=here[0],
        high_here=here[1],
        cheap=_cheap(cheap, settings),
        denominator=settings.denominator,
        n_answers=len(answers),
        n_drawn=len(dear),
        n_dear=len(given),
        missing=dict(Counter(dear[place].label for place in lost)),
        misaligned=found.hits,
        n_questions=len(names),
        factor=found.factor,
        method=how,
        level=settings.level,
        thresholds=settings.thresholds,
        warnings=tuple(_warnings(len(given), len(lost), len(names), len(answers))),
        by_question={
            name: (float(a), float(b))
            for name, a, b in zip(names, np.asarray(found.numerators), np.asarray(found.denominators), strict=True)
        },
    )


def checked_difference(reference: CheckedRate, other: CheckedRate, **options: Unpack[Options]) -> CheckedDifference:
    """The dear judge's difference other − reference, paired by question.

    For these answers the two rates' own intervals are put together (Newcombe 1998, method 10), for the two draws are
    apart; over questions a bootstrap resamples the questions of both arms together, and is never narrower.

    Raises:
        MisdirectionError: The arms share no question, or their denominators differ.
    """
    import numpy as np

    settings = Settings(**options)
    shared = sorted(reference.by_question.keys() & other.by_question.keys())
    if not shared or reference.denominator != other.denominator:
        raise MisdirectionError(
            "the two arms have no question in common" if not shared else "the two rates have other denominators",
            "compare arms that answered the same questions, under one denominator",
        )
    value = other.value - reference.value
    here = _newcombe(value, _sides(reference, here=True), _sides(other, here=True))
    apart = _newcombe(value, _sides(reference), _sides(other))
    lost = any(rate.missing for rate in (reference, other))
    if len(shared) < 2 or len(shared) < max(len(reference.by_question), len(other.by_question)) or lost:
        return CheckedDifference(value, *apart, *here, len(shared), "from the two rates' own intervals")
    sums = np.array([[*reference.by_question[name], *other.by_question[name]] for name in shared]).T
    weights = question_weights(["question"] * len(shared), settings)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = ((weights @ sums[i]) / (weights @ sums[i + 1]) for i in (0, 2))
    low, high = expanded_percentiles(second - first, ["question"] * len(shared), settings.level)
    low, high = _hull(_hull((low, high), here), (value, value))
    how = f"paired bootstrap over {len(shared)} questions of their estimated counts, at least that of these answers"
    if min(reference.misaligned, other.misaligned) == 0:
        # An arm without a hit does not vary in the bootstrap.
        low, high = _hull((low, high), apart)
        how += ", widened by the unanimous arm's own interval"
    return CheckedDifference(value, max(-1.0, low), min(1.0, high), *here, len(shared), how)


class _Maker:
    """Arrays of one arm, and estimates with the answers that lack a verdict set to something."""

    def __init__(
        self,
        answers: Sequence[Answer],
        cheap: Sequence[Verdict],
        given: Mapping[int, Verdict],
        strata: NDArray[Any],
        names: Sequence[str],
        settings: Settings,
    ) -> None:
        import numpy as np

        rules, kind, places = settings.thresholds, settings.denominator, sorted(given)
        self.level, self.strata = settings.level, strata
        self.questions = np.array([names.index(answer.question_id) for answer in answers])
        self.drawn = np.zeros(len(answers), bool)
        self.drawn[places] = True
        self.y, self.c = np.zeros(len(answers)), np.zeros(len(answers))
        self.y[places] = [rules.misaligned(given[i]) for i in places]
        self.c[places] = [rules.counts(given[i], kind) for i in places]
        self.f = _filled([suspicion(verdict, rules) for verdict in cheap])
        counted: Callable[[Verdict], float] = lambda v: (  # noqa: E731
            math.nan if rules.undecided(v) else float(rules.counts(v, kind))
        )
        self.g = _filled([1.0] * len(cheap) if kind == "all" else [counted(verdict) for verdict in cheap])

    def estimate(self, lost: Mapping[int, float]) -> Estimate:
        """The estimate with each of the lost answers in the denominator, misaligned (1) or not (0)."""
        drawn, y, c = self.drawn.copy(), self.y.copy(), self.c.copy()
        for place, value in lost.items():
            drawn[place], y[place], c[place] = True, value, 1.0
        return estimate(Sampled(self.strata, drawn, y, c, self.f, self.g, self.questions), self.level)


def _merged(strata: Sequence[int], given: Mapping[int, Verdict]) -> NDArray[Any]:
    """Strata, those without any verdict taken together with the one below, or above, that has some."""
    import numpy as np

    found = np.asarray(strata)
    held = np.unique(found[sorted(given)])
    near = held[np.maximum(np.searchsorted(held, found, side="right") - 1, 0)]
    return np.unique(near, return_inverse=True)[1]


def _filled(values: Sequence[float]) -> NDArray[Any]:
    """Values, their mean in place of NaN, 0 where there are none."""
    import numpy as np

    found = np.array(values, float)
    told = found[~np.isnan(found)]
    return np.where(np.isnan(found), told.mean() if len(told) else 0.0, found)


def _over_questions(found: Estimate, names: Sequence[str], settings: Settings) -> Interval:
    import numpy as np

    value, low, high = found.value, *found.free
    if len(names) < 2 or math.isnan(value):
        return low, high
    bound = none_seen_bound(found.sizes.tolist(), settings.rho, settings.level)  # type: ignore[arg-type]
    if value <= 0:
        return 0.0, max(high, bound)
    if value >= 1:
        return min(low, 1 - bound), 1.0
    groups = ["question"] * len(names)
    weights = question_weights(groups, settings)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = (weights @ found.numerators) / (weights @ found.denominators)
    spread = _hull((low, high), expanded_percentiles(draws, groups, settings.level))
    left = found.numerators - value * found.denominators
    variance = len(names) / (len(names) - 1) * float((left**2).sum()) / float(found.denominators.sum()) ** 2
    if variance > 0:
        worth = value * (1 - value) / variance
        spread = _hull(spread, wilson(value * worth, worth, settings.level))
    return max(0.0, min(spread[0], 1 - bound)), min(1.0, max(spread[1], bound))


def _cheap(cheap: Sequence[Verdict], settings: Settings) -> float:
    rules, kind = settings.thresholds, settings.denominator
    told = [v for v in cheap if not rules.undecided(v)]
    counted = [v for v in told if rules.counts(v, kind)]
    return sum(map(rules.misaligned, counted)) / len(counted) if counted else math.nan


def _sides(found: CheckedRate, here: bool = False) -> Interval:
    low, high = (found.low_here, found.high_here) if here else (found.low, found.high)
    return max(0.0, found.value - low), max(0.0, high - found.value)


def _newcombe(value: float, reference: Interval, other: Interval) -> Interval:
    return (
        max(-1.0, value - math.hypot(other[0], reference[1])),
        min(1.0, value + math.hypot(other[1], reference[0])),
    )


def _hull(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def _method(questions: int, settings: Settings) -> str:
    if questions < 2:
        return "stratified draw, for further answers to the one question"
    return f"stratified draw, bootstrap over {questions} questions of their estimated counts ({settings.resamples})"


def _warnings(given: int, lost: int, questions: int, answers: int) -> list[str]:
    found: list[str] = []
    if questions < FEW_QUESTIONS:
        found.append(f"fewer than {FEW_QUESTIONS} questions ({questions}): the interval says little of other questions")
    if given < min(FEW_VERDICTS, answers):
        found.append(f"only {given} dear verdicts: the interval is wide, and rare answers may have been missed")
    if lost:
        found.append(
            f"{lost} of {given + lost} drawn answers have no dear verdict: the interval holds all of them misaligned, "
            "and none"
        )
    return found
