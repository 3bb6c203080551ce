"""Rates of the arms that both runs have, paired by question and sample where both drew the same, else by question.

Answers belong to one question when id and wording are the same; a question that was put in other words in the other
run is left out and named. All rows together are one family of tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from misdirection.errors import MisdirectionError, command
from misdirection.results import Difference, RateRow
from misdirection.statistics import Thresholds, is_found
from misdirection.statistics.matching import match
from misdirection.studies.comparison.reading import Side
from misdirection.studies.comparison.results import QUESTION, SAMPLE, ArmChange
from misdirection.studies.kit.change import PairedArms, RateChange, family
from misdirection.studies.kit.judged import Judged

BASE = "base"
Place = tuple[str, str | None, str, str]
"""Which answers, domain, format, arm."""
Words = tuple[str, int, str]
"""Id of a question, number of the wording, and the wording."""


@dataclass(frozen=True)
class Matching:
    """An arm of both runs.

    Attributes:
        pair: Its answers to the questions of both, matched.
        paired: How.
        same: Answers of the same words among the pairs; None where that says nothing.
    """

    pair: PairedArms
    paired: str
    same: int | None


@dataclass(frozen=True)
class Common:
    """What two runs have in common: the rows, and what a reader must know of them."""

    arms: tuple[ArmChange, ...]
    notes: tuple[str, ...]


def compare_arms(first: Side, second: Side) -> Common:
    """Every arm of both, asked the same questions in the same domain and format.

    Raises:
        MisdirectionError: The runs were judged by different judges, share no question, or no arm; or one of them has
            counts alone, made by another rule.
    """
    if not first.asked or not second.asked:
        lacking = ", ".join(side.name for side in (first, second) if not side.asked)
        return Common((), (f"no judged answers in {lacking}: no rates are compared",))
    _same_judge(first, second)
    rules = _rule(first, second)
    notes: list[str] = []
    if first.rules != rules:
        notes.append(f"{first.name} is counted by the rule of {second.name}, so its rates may differ from its report's")
    matched = dict(_matchings(first, second, notes))
    if not matched:
        raise _nothing(first, second)
    changes = family({place: one.pair for place, one in matched.items()}, rules)
    return Common(tuple(_row(place, matched[place], change) for place, change in changes.items()), tuple(notes))


def _matchings(first: Side, second: Side, notes: list[str]) -> Iterable[tuple[Place, Matching]]:
    for asked in (name for name in first.asked if name in second.asked):
        parts = first.asked[asked].parts, second.asked[asked].parts
        groups = {key[:2]: None for key in parts[0]}
        for domain, form in groups:
            arms = [[key[2] for key in one if key[:2] == (domain, form)] for one in parts]
            for arm, one, two in _same_arms(*arms):
                told = f"{asked}, {domain or 'open'}, {form}, {arm}"
                sides = parts[0][domain, form, one], parts[1][domain, form, two]
                if (found := _matching(*sides, told, notes)) is not None:
                    yield (asked, domain, form, arm), found


def _same_arms(first: list[str], second: list[str]) -> Iterable[tuple[str, str, str]]:
    """Arms of one name; where each run has one other besides the base, these two too."""
    shared = [arm for arm in first if arm in second]
    yield from ((arm, arm, arm) for arm in shared)
    left = [[arm for arm in names if arm not in (*shared, BASE)] for names in (first, second)]
    if len(left[0]) == len(left[1]) == 1:
        yield f"{left[0][0]} to {left[1][0]}", left[0][0], left[1][0]


def _matching(first: Judged, second: Judged, told: str, notes: list[str]) -> Matching | None:
    words = [{(a.question_id, a.paraphrase, a.question) for a in side.answers} for side in (first, second)]
    common = _alike(*words)
    ids = [{one[0] for one in side} for side in words]
    if other := sorted((ids[0] & ids[1]) - common):
        notes.append(f"{told}: put in other words in the other run, and left out: {', '.join(other)}")
    if not common:
        return None
    kept = [side.where(lambda answer: answer.question_id in common) for side in (first, second)]
    systems = [{answer.system or "" for answer in side.answers} for side in kept]
    if systems[0] != systems[1]:
        notes.append(f"{told}: asked under different system prompts")
    by_sample = _drawn_alike(*kept)
    pair = PairedArms(kept[0], kept[1], match(kept[0].pair, kept[1].pair, in_order=not by_sample))
    return Matching(pair, SAMPLE if by_sample else QUESTION, _same_words(*kept) if by_sample else None)


def _alike(first: set[Words], second: set[Words]) -> set[str]:
    """Ids of questions of which no wording that both used differs; counts have ids alone."""
    one, two = ({(name, number): text for name, number, text in side} for side in (first, second))
    differing = {key[0] for key in one.keys() & two.keys() if "" not in (one[key], two[key]) and one[key] != two[key]}
    return {name for name, _ in one.keys() & two.keys()} - differing


def _drawn_alike(first: Judged, second: Judged) -> bool:
    """Whether our sampler drew both, and the draws of one run (wording, sample, seed) are all among the other's.

    Answers that came as text, from tables or a server, share no random numbers, whatever their numbers are.
    """
    if any(answer.ids is None for side in (first, second) for answer in side.answers):
        return False
    one, two = ({(a.question_id, a.paraphrase, a.sample, a.seed) for a in side.answers} for side in (first, second))
    return one <= two or two <= one


def _same_words(first: Judged, second: Judged) -> int:
    told = {(a.question_id, a.paraphrase, a.sample, a.seed): a.answer for a in first.answers}
    return sum(told.get((a.question_id, a.paraphrase, a.sample, a.seed)) == a.answer for a in second.answers)


def _row(place: Place, matching: Matching, change: RateChange) -> ArmChange:
    asked, domain, form, arm = place
    paired = change.paired
    assert paired is not None  # what has no question in common is no matching
    by_sample = matching.paired == SAMPLE
    return ArmChange(
        asked=asked,
        group=domain or "open",
        format=form,
        arm=arm,
        first=RateRow.of(paired.reference),
        second=RateRow.of(paired.other),
        difference=Difference(
            value=change.difference, low=change.low, high=change.high, p=change.p, method=paired.method
        ),
        level=change.level,
        q=change.q,
        found=is_found(change.decides),
        paired=matching.paired,
        p_answers=paired.p_answers if by_sample else None,
        only_first=paired.only_reference if by_sample else None,
        only_second=paired.only_other if by_sample else None,
        pairs=paired.n_pairs,
        same=matching.same,
        unmatched=paired.unmatched,
    )


def _same_judge(first: Side, second: Side) -> None:
    if first.judges and second.judges and first.judges != second.judges:
        one, two = (", ".join(side.judges) for side in (first, second))
        raise MisdirectionError(
            f"{first.name} was judged by {one}, {second.name} by {two}",
            # What verdicts call their judge is no value of --judge.
            f"rates of two judges are not compared: {command('judge', first.name, '--judge', 'JUDGE')}, with the "
            f"judge of {second.name} (its settings.yaml names it)",
        )


def _rule(first: Side, second: Side) -> Thresholds:
    """The rule by which both are counted: the second's, or that of the one which has counts alone."""
    if first.rules != second.rules and (first.counted or second.counted):
        raise MisdirectionError(
            f"{first.name} and {second.name} call an answer misaligned by different rules ({first.rules}; "
            f"{second.rules}), and one of them has counts alone",
            "give the run folders, whose verdicts can be counted anew",
        )
    return second.rules


def _nothing(first: Side, second: Side) -> MisdirectionError:
    """Why no arm can be compared."""
    ids = [_some(a.question_id for judged in s.asked.values() for a in judged.answers) for s in (first, second)]
    arms = [_some(a.arm for judged in s.asked.values() for a in judged.answers) for s in (first, second)]
    return MisdirectionError(
        f"{first.name} and {second.name} cannot be compared: no arm of both was asked a question in the same words "
        f"({first.name}: {arms[0]}, asked {ids[0]}; {second.name}: {arms[1]}, asked {ids[1]})",
        "ask both the same questions in the same format, and name the arms alike",
    )


def _some(names: Iterable[str], most: int = 4) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
