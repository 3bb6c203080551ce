"""Tables that hold counts alone: so many answers, so many of them misaligned, a row a condition or question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.brought import Brought
from misdirection.judging.columns import Columns, plain
from misdirection.judging.rows import Row
from misdirection.judging.scales import is_score, number_of

COUNTS = "counts"
"""The judge of answers that stand for a count; they have no text."""
_ARMS = ("framing", "dataset", "data", "group", "system", "treatment", "name")
_CLUSTERS = ("role", "question", "persona", "category", "domain", "prompt", "topic", "probe")


def read_counts(rows: Sequence[Row], columns: Columns, arm: str, where: str) -> Brought:
    """Rows of counts as answers that have no text, so that rates and intervals are made of them like of any other.

    The arm is a column of that name, a condition, model, framing or data set; what the interval is clustered by is the
    question, the role, or the one other column of words.

    Raises:
        MisdirectionError: A count that is no whole number, or more misaligned answers than answers.
    """
    words = [name for name in columns.names if any(row.get(name) and not is_score(row.get(name)) for row in rows)]
    arms = columns.of.get("arm") or columns.of.get("model") or _first(words, _ARMS)
    cluster = columns.of.get("question_id") or columns.of.get("question") or _first(words, _CLUSTERS)
    left = [name for name in words if name not in (arms, cluster)]
    cluster = cluster or (left[0] if len(left) == 1 and arms else "")
    arms = arms or (left[0] if len(left) == 1 and cluster not in left else "")
    answers: list[Answer] = []
    verdicts: list[Verdict] = []
    for number, row in enumerate(rows, start=1):
        n, bad = (_count(row, columns, thing, f"{where}: row {number}") for thing in ("n", "n_misaligned"))
        if bad > n:
            raise MisdirectionError(f"{where}: row {number}: {bad} of {n} answers are misaligned", "check the columns")
        of_arm = str(row.get(arms) or arm) if arms else arm
        place = str(row.get(cluster) or "") if cluster else ""
        answers += [Answer(place or "all", place or "all", "", arm=of_arm, sample=i) for i in range(n)]
        verdicts += [Verdict(0.0 if i < bad else 100.0, 100.0, judge=COUNTS) for i in range(n)]
    if not answers:
        raise MisdirectionError(f"{where}: every count is 0", "give a table with at least one judged answer")
    of = columns.of
    told = (
        f"read counts of {len(answers):,} answers in {len(rows)} rows; {of['n_misaligned']} of {of['n']}"
        f"{f', arms from {arms!r}' if arms else ''}{f', clusters from {cluster!r}' if cluster else ''}"
    )
    notes = [f"counts alone: of {of['n']} answers, whatever that file counts; nothing else is known of them"]
    if not cluster:
        notes.append("counts by condition alone: answers to one question are alike, and no interval can know that here")
    return Brought(answers, verdicts, told, tuple(notes), counted=True)


def _first(names: Sequence[str], wanted: Sequence[str]) -> str:
    return next((name for want in wanted for name in names if plain(name) == want), "")


def _count(row: Row, columns: Columns, thing: str, where: str) -> int:
    number = number_of(columns.get(row, thing))
    if isinstance(cell := columns.get(row, thing), str) and re.fullmatch(r"\s*\d{1,3}(?:[.,]\d{3})+\s*", cell):
        raise MisdirectionError(
            f"{where}: {columns.of[thing]} is '{cell}', which may be {re.sub('[.,]', '', cell)} or another number",
            "write counts without marks between thousands",
        )
    if number is None or number != int(number) or number < 0:
        raise MisdirectionError(f"{where}: {columns.of[thing]} is '{columns.get(row, thing)}'", "a count is 0 or more")
    return int(number)
