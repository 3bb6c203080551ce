"""Tables in which several judges speak of the same answers: a rate over all rows counts each answer several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from misdirection.errors import MisdirectionError, command
from misdirection.judging.base import Answer, Verdict


def same_answers_judged_twice(answers: Sequence[Answer], verdicts: Sequence[Verdict], column: str, where: str) -> None:
    """Raise where two judges speak of one answer.

    One answer by chance comes twice to two judges who share the work, so half of the lesser judge's answers must be
    judged by another too.

    Raises:
        MisdirectionError: They do.
    """
    judged: defaultdict[str, set[tuple[object, ...]]] = defaultdict(set)
    for answer, verdict in zip(answers, verdicts, strict=True):
        judged[verdict.judge].add((answer.arm, answer.question_id, answer.paraphrase, answer.answer))
    names = list(judged)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            common = len(judged[one] & judged[other])
            if 2 * common >= min(len(judged[one]), len(judged[other])):
                raise MisdirectionError(
                    f"{where}: '{column}' holds several judges ({', '.join(names[:5])}), and '{one}' and '{other}' "
                    f"both judged {common} answers: a rate would count each of them twice",
                    f"keep one judge's rows for a rate; to compare the judges: {command('agreement', 'FILE')}",
                )
