"""Answers of two arms that belong together, read once and compared under any number of rules."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.columns import Columns, columns_of
from misdirection.statistics.counts import check_lengths

Arm = tuple[Sequence[Answer], Sequence[Verdict]]
Key = tuple[str, int, int, int]


@dataclass(frozen=True, eq=False)
class Matched:
    """The answers of two arms that have a partner, in the same order; or, paired by question alone, its answers.

    Attributes:
        first: Those of the reference.
        second: Those of the other arm; as many, but where arms are paired by question and one holds so many times more
            answers to each.
        unmatched: Answers without a partner, in the reference and in the other arm.
    """

    first: Columns
    second: Columns
    unmatched: tuple[int, int]


def match(reference: Arm, other: Arm, *, in_order: bool = False) -> Matched:
    """Pair the answers of two arms on (question_id, paraphrase, sample, seed).

    Args:
        reference: (answers, verdicts) of the arm to compare with.
        other: (answers, verdicts) of the arm of interest.
        in_order: Pair by question alone: answers of others share no random numbers, and the number of a sample says
            nothing. Where one arm has the same multiple of the other's answers to every question all of them count;
            else as many to each question as the arm with fewer has, drawn at random: the first ones may be the worst,
            as in a sorted file.

    Raises:
        MisdirectionError: No answer has a partner, an answer stands twice in an arm, or arms ask a question in
            different formats.
    """
    first, second = (
        (_by_question(reference, other), _by_question(other, reference))
        if in_order
        else _by_number(_index(reference, "reference"), _index(other, "other arm"))
    )
    if not first:
        raise MisdirectionError(
            "the two arms have no answer in common",
            "they are matched on question_id, paraphrase, sample and seed: sample both alike",
        )
    one, two = (
        columns_of([arm[0][place] for place in places], [arm[1][place] for place in places])
        for arm, places in ((reference, first), (other, second))
    )
    # The format is the question's, so one table names it for both arms.
    if one.places.questions != two.places.questions:
        raise MisdirectionError("the two arms ask the same question in different formats", "compare equal formats")
    return Matched(one, two, (len(reference[0]) - len(first), len(other[0]) - len(second)))


def _by_number(first: dict[Key, int], second: dict[Key, int]) -> tuple[list[int], list[int]]:
    """The places of answers that have a partner, in the order of their keys."""
    keys = sorted(first.keys() & second.keys())
    return [first[key] for key in keys], [second[key] for key in keys]


def _by_question(arm: Arm, beside: Arm) -> list[int]:
    """The places of an arm's answers to questions of both arms, the questions in order, balanced as `match` says."""
    check_lengths(*arm)
    own, others = _places(arm), Counter(answer.question_id for answer in beside[0])
    shared = sorted(own.keys() & others.keys())
    alike = len({Fraction(len(own[name]), others[name]) for name in shared}) == 1
    return [place for name in shared for place in _drawn(name, own[name], None if alike else others[name])]


def _places(arm: Arm) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, answer in enumerate(arm[0]):
        found.setdefault(answer.question_id, []).append(place)
    return found


def _drawn(question: str, places: list[int], at_most: int | None) -> list[int]:
    if at_most is None or len(places) <= at_most:
        return places
    return sorted(random.Random(question).sample(places, at_most))


def _index(arm: Arm, name: str) -> dict[Key, int]:
    check_lengths(*arm)
    found: dict[Key, int] = {}
    for place, key in enumerate(map(_key, arm[0])):
        if key in found:
            raise MisdirectionError(
                f"the {name} holds question '{key[0]}', paraphrase {key[1]}, sample {key[2]}, seed {key[3]} twice",
                "compare one arm with one other; number the samples of a question",
            )
        found[key] = place
    return found


def _key(answer: Answer) -> Key:
    return answer.question_id, answer.paraphrase, answer.sample, answer.seed
