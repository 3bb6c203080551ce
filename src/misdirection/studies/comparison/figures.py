"""Figures of typed findings side by side: rows of one key in both runs' tables, whatever study they are of.

A row is known by its texts, and by its truth values, layer, coefficient, rank, step and the like where those do not
tell the rows apart. Rates of arms are not among them: they have paired tests of their own (`rates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from misdirection.results import Results
from misdirection.results.rows import Interval
from misdirection.studies.comparison.results import FigureChange, TableFacts

Row = Mapping[str, Any]
Key = tuple[Any, ...]

ELSEWHERE = ("rates", "by_question", "by_rule", "answers", "signs", "pairs", "panel", "checked")
"""Tables of arms and of answers, and those that are made of them."""
NOT_KEYS = ("method", "denominator", "why", "unit", "bounded", "best")
"""Columns of texts and truth values that say how, or what came out, not what a row is of."""
PLACES = ("layer", "coefficient", "rank", "step", "seed", "latent", "place", "fold", "size", "n_rows")
"""Columns of numbers that say where."""
ENDS = ("low", "high", "ceiling", "n", "n_questions", "misaligned", "undecided", "p", "q", "n_pairs")
"""Columns that belong to a figure, and are none by themselves."""


def compare_figures(
    first: Results, second: Results
) -> tuple[tuple[TableFacts, ...], tuple[FigureChange, ...], tuple[str, ...]]:
    """Every table of one name in both: what they share, the figures that differ, and notes.

    Returns:
        Facts of the tables; the figures, by table with the largest differences first; what could not be told apart.
    """
    one, two = first.rows(), second.rows()
    facts: list[TableFacts] = []
    figures: list[FigureChange] = []
    notes: list[str] = []
    for table in (name for name in one if name in two and name.split(".")[0] not in ELSEWHERE):
        columns = _key_columns(one[table], two[table])
        if columns is None:
            notes.append(f"{table}: its rows have no key that tells them apart, so they are not compared")
            continue
        sides = [{_key(row, columns): row for row in rows} for rows in (one[table], two[table])]
        shared = [key for key in sides[0] if key in sides[1]]
        if not shared:
            continue
        rows = [change for key in shared for change in _differing(table, key, columns, sides[0][key], sides[1][key])]
        facts.append(
            TableFacts(
                table=table, shared=len(shared), first=len(sides[0]) - len(shared), second=len(sides[1]) - len(shared),
                differing=len(rows),
            )
        )  # fmt: skip
        figures += sorted(rows, key=lambda row: -abs(row.difference.value or 0.0))
    return tuple(facts), tuple(figures), tuple(notes)


def _key_columns(first: Sequence[Row], second: Sequence[Row]) -> tuple[str, ...] | None:
    """The columns that name the rows of both tables; None where no columns do."""
    rows = [*first, *second]
    names = list(dict.fromkeys(name for row in rows for name in row))
    allowed = [name for name in names if _leaf(name) not in NOT_KEYS]
    chosen = [name for name in allowed if _are(rows, name, (str,))]
    truths = [name for name in allowed if _are(rows, name, (bool,))]
    places = [name for name in names if _leaf(name) in PLACES and _are(rows, name, (int, float))]
    for more in (None, *truths, *(name for name in places if name not in truths)):
        chosen = chosen if more is None else [*chosen, more]
        if chosen and all(len({_key(row, chosen) for row in side}) == len(side) for side in (first, second)):
            return tuple(chosen)
    return None


def _are(rows: Iterable[Row], name: str, kinds: tuple[type, ...]) -> bool:
    """Whether a column holds values of these kinds, or none, and not none alone."""
    values = [row.get(name) for row in rows]
    return any(value is not None for value in values) and all(
        value is None or isinstance(value, kinds) for value in values
    )


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _key(row: Row, columns: Iterable[str]) -> Key:
    return tuple(row.get(name) for name in columns)


def _differing(table: str, key: Key, columns: Sequence[str], first: Row, second: Row) -> Iterable[FigureChange]:
    said = [(name, value) for name, value in zip(columns, key, strict=True) if value not in (None, "")]
    told = ", ".join(_told(name, value) for name, value in said if value is not False)
    for name in first:
        pair = first[name], second.get(name)
        if name in columns or _leaf(name) in ENDS or not all(map(_is_figure, pair)) or pair[0] == pair[1]:
            continue
        one, two = _interval(first, name), _interval(second, name)
        # "rate.value" is the figure "rate"; a column "value" by itself keeps its name.
        figure = name.removesuffix(".value")
        yield FigureChange(
            table=table, row=told or table, figure=figure, first=one, second=two, difference=_difference(one, two)
        )


def _told(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return name if value is True else f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _interval(row: Row, name: str) -> Interval:
    """A figure with the ends that stand beside it in its row, where it is a `value`."""
    before = name.removesuffix("value") if _leaf(name) == "value" else None
    ends = (None, None) if before is None else (row.get(f"{before}low"), row.get(f"{before}high"))
    n = 0 if before is None else row.get(f"{before}n") or 0
    return Interval(value=row[name], low=ends[0], high=ends[1], n=int(n))


def _difference(first: Interval, second: Interval) -> Interval:
    """Second minus first; of two rates with the interval that their own ones give (Newcombe 1998, method 10)."""
    value = float(second.value or 0.0) - float(first.value or 0.0)
    if None in (first.low, first.high, second.low, second.high) or not (first.n and second.n):
        return Interval(value=value, low=None, high=None, n=0)
    a, b, c, d = (float(end or 0.0) for end in (first.low, first.high, second.low, second.high))
    one, two = float(first.value or 0.0), float(second.value or 0.0)
    low = value - ((two - c) ** 2 + (b - one) ** 2) ** 0.5
    high = value + ((d - two) ** 2 + (one - a) ** 2) ** 0.5
    return Interval(value=value, low=low, high=high, n=min(first.n, second.n))
