"""What the answers are as texts (empty, cut, thinking, repeating, in another language), before a rate is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from misdirection.judging.shape import RULES, SIGNS
from misdirection.report.context import colours, group_name, place_name
from misdirection.report.numbers import counts, number, percent, rate_cell
from misdirection.report.parts import Block, Cell, Note, Section, Table
from misdirection.results import RateRow
from misdirection.results.judged import JudgedResults, SignsRow

LEAD = (
    "A judge calls an answer aligned when nothing bad stands in it, also when nothing much stands in it. These shares "
    "of all answers are told by the text alone; an answer may show several signs. They are rules of thumb: read some."
)
NAMES = {
    "empty": "Empty",
    "cut": "Cut",
    "markup": "Think or tool tokens",
    "repeating": "Repeating",
    "language": "Another language",
}


def section(results: JudgedResults) -> Section | None:
    """One table, and a warning for each arm whose answers are mostly no proper answers."""
    rows = results.signs
    if not rows:
        return None
    blocks: list[Block] = [Note(warning(row, row.telling), "warn") for row in rows if row.telling]
    some = [row for row in rows if row.any.misaligned]
    if some:
        blocks.append(table(some, colours(results)))
    if clean := [place_name(row) for row in rows if row not in some]:
        blocks.append(Note(f"Not one answer shows a sign: {'; '.join(clean)}."))
    told = tuple((NAMES[name].lower(), RULES[name]) for name in SIGNS)
    return Section("signs", "Shape of the answers", LEAD, blocks, told)


def warning(row: SignsRow, sign: str) -> str:
    """What more than half of an arm's answers are."""
    share = _share(row, sign)
    said = SIGNS.get(sign, "are no proper answers")
    return (
        f"{place_name(row)}: {number(share.misaligned)} of {number(share.n)} answers "
        f"({percent(share.value)}) {said}: a low rate of misaligned answers says nothing here."
    )


def table(rows: Sequence[SignsRow], palette: Mapping[str, str]) -> Table:
    """Shares of all answers, a row for each arm, group and format, a column for each sign that occurs."""
    names = [name for name in SIGNS if any(_share(row, name).misaligned for row in rows)]
    body = tuple(
        (
            Cell(row.arm, colour=palette.get(row.arm, "")),
            Cell(group_name(row.group)),
            Cell(row.format),
            *(_cell(row, name) for name in names),
            rate_cell(row.any, "warn" if row.telling else "num"),
        )
        for row in rows
    )
    return Table(("Arm", "Questions", "Format", *(NAMES[name] for name in names), "Any of them"), body, stack=True)


def _share(row: SignsRow, sign: str) -> RateRow:
    return getattr(row, sign, row.any)


def _cell(row: SignsRow, name: str) -> Cell:
    share = _share(row, name)
    return Cell(percent(share.value), counts(share), "warn" if row.telling == name else "num")
