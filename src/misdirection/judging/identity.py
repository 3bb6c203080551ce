"""What a row of a table is known by: its question, the cluster of intervals; and rows that stand there twice."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from misdirection.judging.columns import Columns
from misdirection.judging.rows import Row
from misdirection.judging.scales import number_of

_POINT_ZERO = re.compile(r"\d+\.0|")


def identity_of(columns: Columns, rows: Sequence[Row]) -> tuple[Callable[[Row], str], str, list[str]]:
    """What a row's question is known by: its id, or its text where the ids say nothing of the question."""
    by_text: Callable[[Row], str] = lambda row: text_of(columns.get(row, "question")).strip()  # noqa: E731
    if not columns.has("question_id"):
        return by_text, "questions told apart by their text", []
    name = columns.of["question_id"]
    by_id: Callable[[Row], str] = lambda row: text_of(columns.get(row, "question_id")).strip()  # noqa: E731
    if all(_POINT_ZERO.fullmatch(by_id(row)) for row in rows):
        # pandas writes whole numbers as 3.0 where one is missing; the other arm's file says 3.
        by_id = lambda row: text_of(columns.get(row, "question_id")).strip().removesuffix(".0")  # noqa: E731
    ids, texts = {by_id(row) for row in rows}, {by_text(row) for row in rows} - {""}
    if texts and len(ids) == len(rows) and len(texts) <= len(ids) / 2:
        told = f"questions told apart by their text: '{name}' has {len(ids)} ids for {many(len(texts), 'text')}"
        return by_text, told, [f"'{name}' numbers the rows: the question's text is the cluster of the interval"]
    warned: list[str] = []
    if texts and len(ids) >= 2 * len(texts):
        warned = [f"'{name}' has {len(ids)} ids for {many(len(texts), 'text')} of questions: the interval takes them "
                  "for different questions; without that column the text is the cluster"]  # fmt: skip
    if len(ids) == 1 and len(texts) > 1:
        warned = [f"'{name}' is the same in all rows, and {len(texts)} texts stand under it: one cluster, no interval "
                  "over questions; without that column the text is the cluster"]  # fmt: skip
    return by_id, "", warned


def doubled(rows: Sequence[Row], columns: Columns) -> list[str]:
    """Rows that say in every column what an earlier one says, where that is no chance.

    It is none for a long text, for a score with decimals, and where all rows stand there equally often; a short answer
    with a round score may well come twice.
    """
    names = [name for name in columns.names if name not in columns.numbering]
    seen = Counter(tuple(text_of(row.get(name)) for name in names) for row in rows)
    again = sum(count - 1 for count in seen.values())
    if math.gcd(*seen.values()) == 1:
        again = sum(count - 1 for key, count in seen.items() if count > 1 and _telling(key))
    if again < 2:
        return []
    return [f"{again} of {len(rows)} rows are the same in every column as an earlier one, and each counts: "
            "was a table put in twice?"]  # fmt: skip


def _telling(cells: Sequence[str]) -> bool:
    """Whether a row is one that hardly comes twice."""
    return max(map(len, cells)) >= 80 or any((n := number_of(cell)) is not None and n != int(n) for cell in cells)


def text_of(value: Any) -> str:
    """A cell as text."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def many(count: int, what: str) -> str:
    """A number of things in words."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
