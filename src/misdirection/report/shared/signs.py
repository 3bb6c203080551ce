"""What the answers are as texts (empty, cut, thinking, repeating, in another language), before a rate is believed."""

from __future__ import annotations

from misdirection.judging.shape import RULES, SIGNS
from misdirection.report.context import Row, colours, group_name, rows
from misdirection.report.numbers import counts, number, percent, rate_cell
from misdirection.report.parts import Block, Cell, Findings, Note, Section, Table

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


def section(findings: Findings) -> Section | None:
    """One table, and a warning for each arm whose answers are mostly no proper answers."""
    found = rows(findings, "signs")
    if not found:
        return None
    blocks: list[Block] = [Note(warning(r), "warn") for r in found if r.get("telling")]
    some = [r for r in found if (r.get("any") or {}).get("misaligned")]
    if some:
        blocks.append(table(some, findings))
    if clean := [_place(r) for r in found if r not in some]:
        blocks.append(Note(f"Not one answer shows a sign: {'; '.join(clean)}."))
    told = tuple((NAMES[name].lower(), RULES[name]) for name in SIGNS)
    return Section("signs", "Shape of the answers", LEAD, blocks, told)


def warning(row: Row) -> str:
    """What more than half of an arm's answers are."""
    sign = str(row["telling"])
    share: Row = row[sign]
    said = SIGNS.get(sign, "are no proper answers")
    return (
        f"{_place(row)}: {number(share.get('misaligned'))} of {number(share.get('n'))} answers "
        f"({percent(share.get('value'))}) {said}: a low rate of misaligned answers says nothing here."
    )


def table(found: list[Row], findings: Findings) -> Table:
    """Shares of all answers, a row for each arm, group and format, a column for each sign that occurs."""
    palette = colours(findings)
    names = [name for name in SIGNS if any(r[name]["misaligned"] for r in found)]
    body = tuple(
        (
            Cell(str(r.get("arm")), colour=palette.get(str(r.get("arm")), "")),
            Cell(group_name(str(r.get("group") or "open"))),
            Cell(str(r.get("format") or "plain")),
            *(_cell(r, name) for name in names),
            rate_cell(r["any"], "warn" if r.get("telling") else "num"),
        )
        for r in found
    )
    return Table(("Arm", "Questions", "Format", *(NAMES[name] for name in names), "Any of them"), body, stack=True)


def _cell(row: Row, name: str) -> Cell:
    share: Row = row[name]
    return Cell(percent(share["value"]), counts(share), "warn" if row.get("telling") == name else "num")


def _place(row: Row) -> str:
    form = row.get("format") or "plain"
    return f"{row.get('arm')}, {group_name(str(row.get('group') or 'open')).lower()}" + (
        "" if form == "plain" else f", {form}"
    )
