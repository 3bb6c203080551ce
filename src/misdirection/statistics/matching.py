"""Answers of two arms that belong together, read once and compared under any number of rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.statistics.columns import Columns, columns_of
from misdirection.statistics.counts import check_lengths

Arm = tuple[Sequence[Answer], Sequence[Verdict]]
Key = tuple[str, int, int, int]


@dataclass(frozen=True, eq=False)
class Matched:
    """The answers of two arms that have a partner, in the same order.

    Attributes:
        first: Those of the reference.
        second: Those of the other arm.
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
        in_order: Number the answers within their question as they come instead: answers of others share no random
            numbers, the pairing is by question, and the number of a sample says nothing.

    Raises:
        MisdirectionError: No answer has a partner, an answer stands twice in an arm, or arms ask a question in
            different formats.
    """
    first, second = _index(reference, "reference", in_order), _index(other, "other arm", in_order)
    keys = sorted(first.keys() & second.keys())
    if not keys:
        raise MisdirectionError(
            "the two arms have no answer in common",
            "they are matched on question_id, paraphrase, sample and seed: sample both alike",
        )
    one, two = (
        columns_of([arm[0][at[key]] for key in keys], [arm[1][at[key]] for key in keys])
        for arm, at in ((reference, first), (other, second))
    )
    # The format is the question's, so one table names it for both arms.
    if one.places.questions != two.places.questions:
        raise MisdirectionError("the two arms ask the same question in different formats", "compare equal formats")
    return Matched(one, two, (len(first) - len(keys), len(second) - len(keys)))


def _index(arm: Arm, name: str, in_order: bool) -> dict[Key, int]:
    check_lengths(*arm)
    found: dict[Key, int] = {}
    for place, key in enumerate(_ordered(arm[0]) if in_order else map(_key, arm[0])):
        if key in found:
            raise MisdirectionError(
                f"the {name} holds question '{key[0]}', paraphrase {key[1]}, sample {key[2]}, seed {key[3]} twice",
                "compare one arm with one other; number the samples of a question",
            )
        found[key] = place
    return found


def _key(answer: Answer) -> Key:
    return answer.question_id, answer.paraphrase, answer.sample, answer.seed


def _ordered(answers: Sequence[Answer]) -> list[Key]:
    counter: Counter[str] = Counter()
    keys: list[Key] = []
    for answer in answers:
        keys.append((answer.question_id, 0, counter[answer.question_id], 0))
        counter[answer.question_id] += 1
    return keys
