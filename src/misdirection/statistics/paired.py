"""Two arms that answered the same questions on the same random streams, and families of such comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from misdirection.statistics.columns import Columns
from misdirection.statistics.counts import Cell, Options, Settings
from misdirection.statistics.decision import p_of_interval
from misdirection.statistics.flips import LEAST_QUESTIONS, Flipped, flip
from misdirection.statistics.intervals import clustered
from misdirection.statistics.matching import Arm, Matched, match
from misdirection.statistics.rates import FEW_QUESTIONS, Rate, rate_of

Interval = tuple[float, float]
Table = tuple[list[Cell], list[Cell]]

UNDECIDED = "; from the least to the largest rise that the undecided answers allow"
"""Behind the method of a comparison with answers that the judge left undecided."""


@dataclass(frozen=True)
class Comparison:
    """The change of the misaligned rate from a reference arm to another, over matched answers.

    Attributes:
        reference: Rate of the reference over the matched answers.
        other: Rate of the other arm over the matched answers.
        difference: other − reference, in 0 .. 1.
        low: Lower end of its interval, which holds 0 exactly where `p_questions` is not below 1 - level.
        high: Upper end.
        reduction: 1 − other / reference; None when the reference has no misaligned answer.
        reduction_low: Lower end of its interval; minus infinity where the reference's rate may be 0.
        reduction_high: Upper end.
        p_questions: Two-sided sign-flip test of the difference over questions; with fewer than six, which no such test
            can tell apart, by the two rates' own intervals.
        p_answers: Two-sided exact McNemar test over pairs of answers that both stand in the denominator. It takes
            answers to one question as independent: trust it for these questions, not for others.
        only_reference: Pairs of which only the reference's answer is misaligned.
        only_other: Pairs of which only the other's is.
        n_pairs: Matched pairs.
        n_questions: Questions that they belong to.
        unmatched: Answers without a partner, in the reference and in the other arm.
        method: How intervals and test were made.
        warnings: What a reader should know.

    Where the judge left answers undecided (`Thresholds.undecided`), an interval reaches from the least rise (those of
    the reference misaligned, those of the other arm not) to the largest, and a p is that of the one nearer to no
    change, or 1 where no change lies between them. The values and the pairs take them as not misaligned.
    """

    reference: Rate
    other: Rate
    difference: float
    low: float
    high: float
    reduction: float | None
    reduction_low: float | None
    reduction_high: float | None
    p_questions: float
    p_answers: float
    only_reference: int
    only_other: int
    n_pairs: int
    n_questions: int
    unmatched: tuple[int, int]
    method: str
    warnings: tuple[str, ...] = ()


def compare(reference: Arm, other: Arm, **options: Unpack[Options]) -> Comparison:
    """Compare two arms, answer by answer and question by question.

    Answers are matched on (question_id, paraphrase, sample, seed): arms that share these share their random stream.

    Args:
        reference: (answers, verdicts) of the arm to compare with (the tuned model, say).
        other: (answers, verdicts) of the arm of interest (the cured one, say).
        **options: See `Settings`.

    Raises:
        MisdirectionError: No answer has a partner, an answer stands twice in an arm, or `rate` refuses an arm.
    """
    return compare_matched(match(reference, other), Settings(**options))


def compare_matched(pairs: Matched, settings: Settings) -> Comparison:
    """`compare` of arms that were matched: what a curve over thresholds is made of."""
    first, second, unmatched = pairs.first, pairs.second, pairs.unmatched
    rates = rate_of(first, settings), rate_of(second, settings)
    least, most = _extremes(first, second, settings)
    ends = least.reduction if least is most else (most.reduction[0], least.reduction[1])
    return Comparison(
        *rates,
        rates[1].value - rates[0].value,
        least.difference[0],
        most.difference[1],
        1 - rates[1].value / rates[0].value if rates[0].misaligned else None,
        *(ends if rates[0].misaligned else (None, None)),
        least.p_questions
        if least is most
        else _nearest((least.rise, least.p_questions), (most.rise, most.p_questions)),
        least.p_answers if least is most else _nearest((least.shift, least.p_answers), (most.shift, most.p_answers)),
        *_discordant(first, second, settings),
        min(len(first), len(second)),
        least.n_questions,
        unmatched,
        least.method + ("" if least is most else UNDECIDED),
        tuple(_warnings(rates, unmatched, least.n_questions)),
    )


def sign_flip(differences: Sequence[float], seed: int = 0) -> tuple[float, str]:
    """Two-sided sign-flip test that paired differences are symmetric about 0; returns p and the name of the test.

    Exact over all 2^G flips of the G differences that are not 0 when G is at most 20, else over 100,000 random flips
    with (1 + count) / (1 + flips). The statistic is the absolute sum.
    """
    values = [d for d in differences if d != 0]
    tested = flip(values, [1.0] * len(values), seed=seed)
    return tested.p, tested.method


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test: the binomial test of the discordant pairs against 1/2; 1 when there are none."""
    from scipy import special

    total = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), total, 0.5))) if total else 1.0


def difference_from_ends(first: Rate, second: Rate) -> Interval:
    """Interval of second − first from the two rates' own intervals (Newcombe 1998, method 10), correlation ignored."""
    a, b = first.value, second.value
    low = b - a - math.hypot(b - second.low, first.high - a)
    return low, b - a + math.hypot(second.high - b, a - first.low)


def ratio_from_ends(first: Rate, second: Rate) -> Interval:
    """Interval of second / first from the two rates' own intervals (Donner and Zou 2012), correlation ignored.

    The upper end is infinite where the first rate may be 0.
    """
    a, b = first.value, second.value
    high_term = first.high * (2 * a - first.high)
    low_term = first.low * (2 * a - first.low)
    root = math.sqrt(max(0.0, (a * b) ** 2 - second.low * (2 * b - second.low) * high_term))
    # Where the first rate's interval reaches twice its value the lower end has no finite form; 0 is always below it.
    low = (a * b - root) / high_term if high_term > 0 else 0.0
    if low_term <= 0:
        return max(0.0, low), math.inf
    root = math.sqrt(max(0.0, (a * b) ** 2 - second.high * (2 * b - second.high) * low_term))
    return max(0.0, low), (a * b + root) / low_term


@dataclass(frozen=True)
class _Change:
    """What a comparison shows where every answer is decided.

    Attributes:
        rise: The other's rate less the reference's.
        shift: Pairs of which only the other's answer is misaligned, less those of which only the reference's is.
    """

    difference: Interval
    reduction: tuple[float | None, float | None]
    rise: float
    p_questions: float
    shift: int
    p_answers: float
    n_questions: int
    method: str


def _change(first: Columns, second: Columns, settings: Settings) -> _Change:
    rates = rate_of(first, settings), rate_of(second, settings)
    table = _table(first, settings), _table(second, settings)
    tested = _tested(table, rates, settings)
    alone, other_alone = _discordant(first, second, settings)
    return _Change(
        tested.difference,
        _reduced(tested.ratio),
        rates[1].value - rates[0].value,
        tested.p,
        other_alone - alone,
        mcnemar(alone, other_alone),
        len(table[0]),
        f"{tested.method}; exact McNemar test",
    )


def _extremes(first: Columns, second: Columns, settings: Settings) -> tuple[_Change, _Change]:
    """The change with every answer decided: so that the rise is the least, and so that it is the largest.

    One and the same where none is undecided.
    """
    rules = settings.thresholds
    open_ = [arm.undecided(rules) & arm.counted(rules, settings.denominator) for arm in (first, second)]
    if not any(marks.any() for marks in open_):
        found = _change(first, second, settings)
        return found, found
    least = first.decided(open_[0], True), second.decided(open_[1], False)
    most = first.decided(open_[0], False), second.decided(open_[1], True)
    return _change(*least, settings), _change(*most, settings)


def _nearest(least: tuple[float, float], most: tuple[float, float]) -> float:
    """The p that holds whatever is undecided, of (change, p) at both extremes: that of the one nearer to no change."""
    if least[0] * most[0] <= 0:
        return 1.0
    return least[1] if least[0] > 0 else most[1]


def _table(arm: Columns, settings: Settings) -> list[Cell]:
    """Counts by question, the same questions in the same order for both arms."""
    rules = settings.thresholds
    return arm.places.table(arm.misaligned(rules), arm.counted(rules, settings.denominator))


def _discordant(first: Columns, second: Columns, settings: Settings) -> tuple[int, int]:
    """Pairs of which only the first arm's answer is misaligned, and only the second's; none where questions pair."""
    if len(first) != len(second):
        return 0, 0
    rules = settings.thresholds
    kept = first.counted(rules, settings.denominator) & second.counted(rules, settings.denominator)
    one, two = first.misaligned(rules), second.misaligned(rules)
    return int((kept & one & ~two).sum()), int((kept & two & ~one).sum())


@dataclass(frozen=True)
class _Tested:
    """A test of two rates: p, the interval of their difference and of their ratio that belong to it, and how."""

    p: float
    difference: Interval
    ratio: Interval | None
    method: str


def _tested(table: Table, rates: tuple[Rate, Rate], settings: Settings) -> _Tested:
    """By sign flips over six questions or more, else by the two rates' own intervals."""
    ends = difference_from_ends(*rates)
    ratio = ratio_from_ends(*rates) if rates[0].misaligned else None
    if len(table[0]) < LEAST_QUESTIONS:

        def at(level: float) -> Interval:
            return difference_from_ends(*(_at(r, c, level, settings) for r, c in zip(rates, table, strict=True)))

        ratio = ratio and _agreeing(ratio, ends, rates[0].value)
        return _Tested(p_of_interval(at), ends, ratio, "interval from the two rates' own, p by its inversion")
    one, two, weights = _contributions(table)
    tested = flip([b - a for a, b in zip(one, two, strict=True)], weights, settings.level, settings.seed)
    quotient = flip(two, one, settings.level, settings.seed) if ratio else None
    significant = tested.p < 1 - settings.level
    unanimous = any(r.misaligned in (0, r.n) for r in rates)
    difference = _widened(tested, ends, unanimous, significant)
    if ratio and quotient:
        ratio = _agreeing(_ratio(quotient, ratio, unanimous), difference, rates[0].value)
    how = f"{tested.method}, intervals by its inversion"
    return _Tested(tested.p, difference, ratio, how + (", widened by the unanimous arm's own" if unanimous else ""))


def _at(value: Rate, table: Sequence[Cell], level: float, settings: Settings) -> Rate:
    """A rate with its interval at another level."""
    low, high, _ = clustered(table, replace(settings, level=level))
    return replace(value, low=low, high=high)


def _contributions(table: Table) -> tuple[list[float], list[float], list[float]]:
    """What each question adds to either arm's rate, and its weight: the rates are the sums.

    Where a question has as many answers in both arms these are its hits and answers, over all. Else what it adds only
    for having more of them in one arm is taken out, at the pooled rate.
    """
    one, two = table
    sizes = [sum(c.n for c in arm) or 1 for arm in table]
    if [c.n for c in one] == [c.n for c in two]:
        # Whole numbers, so that ties are ties.
        n = sizes[0]
        return [c.hits / n for c in one], [c.hits / n for c in two], [c.n / n for c in one]
    pooled = sum(c.hits for arm in table for c in arm) / (sum(sizes) or 1)
    weights = [(a.n / sizes[0] + b.n / sizes[1]) / 2 for a, b in zip(one, two, strict=True)]
    first, second = (
        [(c.hits - pooled * c.n) / size + pooled * w for c, w in zip(arm, weights, strict=True)]
        for arm, size in zip(table, sizes, strict=True)
    )
    return first, second, weights


def _widened(tested: Flipped, ends: Interval, unanimous: bool, significant: bool) -> Interval:
    """The test's interval of a difference; wider where an arm is unanimous, whose own doubt no flip can know.

    Towards 0 it is the test's own where it would else come to hold what the test rejects. Where the flips bound nothing
    at this level, it is the rates' own interval, reaching to 0.
    """
    low, high = tested.low, tested.high
    if math.isinf(low) and math.isinf(high):
        return min(ends[0], 0.0), max(ends[1], 0.0)
    wide = (min(low, ends[0]), max(high, ends[1])) if unanimous else (low, high)
    if not significant or not wide[0] <= 0 <= wide[1]:
        return wide
    return (wide[0], high) if high < 0 else (low, wide[1])


def _ratio(tested: Flipped, ends: Interval, unanimous: bool) -> Interval:
    """The test's interval of a ratio, or the rates' own where the flips bound nothing."""
    low, high = max(0.0, tested.low), tested.high
    if math.isinf(tested.low) and math.isinf(high):
        return ends
    return (min(low, ends[0]), max(high, ends[1])) if unanimous else (low, high)


def _agreeing(ratio: Interval, difference: Interval, reference: float) -> Interval:
    """The interval of a ratio on that side of 1 on which the difference's is of 0, else holding 1."""
    low, high = ratio
    if difference[1] < 0:
        return low, high if high < 1 else 1 + difference[1] / reference
    if difference[0] > 0:
        return low if low > 1 else 1 + difference[0] / reference, high
    return min(low, 1.0), max(high, 1.0)


def _reduced(ratio: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if ratio is None else (1 - ratio[1], 1 - ratio[0])


def _warnings(rates: tuple[Rate, Rate], unmatched: tuple[int, int], questions: int) -> list[str]:
    found = [f"{r.arm or 'an arm'}: {text}" for r in rates for text in r.warnings if "fewer than" not in text]
    if questions < LEAST_QUESTIONS:
        found.append(
            f"fewer than {LEAST_QUESTIONS} questions ({questions}): no test over questions could find a change; p and "
            "interval are made of the two rates' own, and say little of other questions"
        )
    elif questions < FEW_QUESTIONS:
        found.append(
            f"fewer than {FEW_QUESTIONS} questions ({questions}): p over questions is {2 / 2**questions:.2g} or more"
        )
    if any(unmatched):
        found.append(f"{unmatched[0]} answers of the reference and {unmatched[1]} of the other arm have no partner")
    return found
