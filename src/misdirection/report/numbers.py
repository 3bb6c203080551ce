"""Numbers as the report writes them: always with their interval, their counts and the name of their denominator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from misdirection.report.parts import Cell

if TYPE_CHECKING:
    from misdirection.results import Difference, RateRow, Reduction

NBSP = "\u00a0"
DASH = "\u2013"
MINUS = "\u2212"
FAMILY = "a change is found where q < 0.05; the interval beside it is its own comparison's, not the family's"
"""What a table says that shows q, which is over a family of comparisons, beside intervals, which are not."""
DENOMINATORS = {"all": "of all answers", "scored": "of scored answers", "coherent": "of coherent answers"}


def known(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: float | None, digits: int = 1) -> str:
    """A share (0 .. 1) in percent; a dash when it is not known."""
    return f"{_signed(value * 100, digits)}{NBSP}%" if value is not None and known(value) else DASH


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits; whole numbers in full; text as it is; a dash for None."""
    if value is None:
        return DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return DASH
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", NBSP).replace("-", MINUS)
    return f"{value:.{digits}g}".replace("-", MINUS, 1) if abs(value) < 1000 else _signed(value, 0)


def decimal(value: Any, digits: int = 2) -> str:
    """A number with so many decimals; a dash when it is not known."""
    return _signed(value, digits) if known(value) else DASH


def fields_of(row: Mapping[str, Any] | RateRow | Difference | Reduction) -> Mapping[str, Any]:
    """The fields of a row by name: a typed one's, or those of a mapping as findings without types hold it."""
    return row if isinstance(row, Mapping) else vars(row)


def bounds(row: Mapping[str, Any] | RateRow | Difference | Reduction | None) -> str:
    """The interval of a share, in percent, without the sign."""
    part = None if row is None else fields_of(row)
    if part is None or not (known(part.get("low")) and known(part.get("high"))):
        return ""
    return f"[{_signed(part['low'] * 100, 1)},{NBSP}{_signed(part['high'] * 100, 1)}]"


def rate_value(row: Mapping[str, Any] | RateRow) -> str:
    """A rate or share in percent; where many answers are undecided, from none of them to all of them."""
    rate = fields_of(row)
    value, ceiling = rate.get("value"), rate.get("ceiling")
    if not rate.get("bounded") or not known(value):
        return percent(value)
    return f"{_signed(value * 100, 1)} to {percent(ceiling)}"


def rate_text(row: Mapping[str, Any] | RateRow | None) -> str:
    """A rate in one line: share, interval, counts and denominator."""
    if not row:
        return DASH
    rate = fields_of(row)
    named = DENOMINATORS.get(str(rate.get("denominator")), str(rate.get("denominator") or ""))
    pieces = [rate_value(rate), bounds(rate)]
    return f"{' '.join(p for p in pieces if p)} ({counts(rate)}) {named}".strip()


def counts(row: Mapping[str, Any] | RateRow) -> str:
    """Numerator of denominator, and how many answers of it are undecided."""
    rate = fields_of(row)
    told = f"{number(rate.get('misaligned'))} of {number(rate.get('n'))}"
    return told + (f", {number(rate['undecided'])} undecided" if rate.get("undecided") else "")


def rate_cell(rate: Mapping[str, Any] | RateRow | None, kind: str = "num") -> Cell:
    """A rate as a cell: the share, below it interval and counts."""
    if not rate:
        return Cell(DASH, kind=kind)
    # Where the column is narrow, the line breaks between interval and counts, not within them.
    pieces = [p for p in (bounds(rate), counts(rate).replace(" ", NBSP)) if p]
    return Cell(rate_value(rate).replace(" ", NBSP), ", ".join(pieces), kind)


def points_cell(change: Difference | None) -> Cell:
    """A difference of two rates in points, with its sign and interval."""
    if change is None:
        return Cell(DASH, kind="num")
    return Cell(("+" if change.value > 0 else "") + decimal(100 * change.value, 1), bounds(change), "num")


def moved_cell(change: Difference | None) -> Cell:
    """The same in a column whose head says that it is of points."""
    if change is None:
        return Cell(DASH, kind="num")
    ends = f"{decimal(100 * change.low, 1)} to {decimal(100 * change.high, 1)}"
    return Cell(decimal(100 * change.value, 1), ends, "num")


def p_value(value: Any) -> str:
    """A p value; very small ones as a bound."""
    if not known(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def setting(value: Any) -> str:
    """A setting as text: numbers in full, lists and mappings joined with commas."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {setting(v)}" for k, v in cast(Mapping[Any, Any], value).items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(setting(v) for v in cast(Sequence[Any], value))
    return str(value)


def seconds(value: Any) -> str:
    """A duration in seconds, or minutes and seconds."""
    if not known(value):
        return DASH
    if value < 60:
        return f"{value:.1f}{NBSP}s"
    return f"{int(value) // 60}{NBSP}min {int(value) % 60}{NBSP}s"


def shorten(text: Any, limit: int) -> str:
    """The first characters of a text on one line, with an ellipsis when something was cut."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "\u2026"


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    # A rounded "-0.0" would claim a sign that the figure no longer has.
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("-", MINUS)
