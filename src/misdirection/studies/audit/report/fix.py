"""Repair: what each repair in the weights does, and the kept one under conditions that may bring it back."""

from __future__ import annotations

from misdirection.report.context import facts
from misdirection.report.numbers import DASH, bounds, decimal, p_value, percent, rate_cell
from misdirection.report.parts import Cell, Chart, Note, Section, Table
from misdirection.studies.audit.report.left import left_parts, most_text
from misdirection.studies.audit.results import HARM, SKILL, AuditResults, Leaked, RepairRow

LEAD = (
    "Each row is an ordinary adapter or checkpoint that loads without this package. Kept is the one with the fewest "
    "misaligned answers among those that leave the model able to speak, in the domains too; that keep {kept:.0%} or "
    "more of its skill (of what the fine-tune made its own answers in the domains likelier, or rows of its data where "
    "no question asks about them); whose damage (nats a token by which the base's own answers became less likely) is "
    "at most {harm:g}; and that no condition below brings back above the unrepaired model."
)
UNKNOWN = (
    "What a repair leaves of the fine-tune's skill is not known here, and a repair that undoes the fine-tune would "
    "look like the best: no question about its domain was asked, and its training data are not named. Name a question "
    "set of the domain (--questions), or audit the data (--data)."
)
COLUMNS = (
    "Repair",
    "Misaligned, of all",
    "Coherent",
    "Difference, points",
    "p",
    "In the domains",
    "Coherent there",
    "Skill kept",
    "Damage",
)
LEAKS = ("Condition", "Base", "Tuned", "Repaired")


def section(results: AuditResults) -> Section | None:
    """Both tables, and what could not be made."""
    found = results.fix
    if found is None:
        return None
    rows = tuple(_row(row, found.chosen) for row in found.rows)
    body: list[Table | Chart | Note] = [Table(COLUMNS, rows, stack=True)]
    if all(row.kept is None for row in found.rows):
        body.append(Note(UNKNOWN))
    if found.leaks:
        leaks = tuple(map(_leak, found.leaks))
        body.append(Table(LEAKS, leaks, "Misaligned open answers under conditions", stack=True))
    body += left_parts(found.components, "fix-left")
    told = tuple((f"not tried: {way}", why) for way, why in found.refused.items())
    kept = next((one for one in found.components if one.arm == found.chosen), None)
    left = (("component left", most_text(kept)),) if kept and kept.most else ()
    own = (("kept", found.told()), *left, *told, *facts(results, "samples per question"))
    return Section("fix", "Repair", LEAD.format(harm=HARM, kept=SKILL), tuple(body), own)


def _row(row: RepairRow, chosen: str | None) -> tuple[Cell, ...]:
    change = row.difference
    return (
        Cell(row.label, "kept" if row.way == chosen else ""),
        rate_cell(row.rate),
        rate_cell(row.coherent_share),
        Cell(decimal(change.value * 100, 1), bounds(change), "num") if change else Cell(DASH, kind="num"),
        Cell(p_value(change and change.p), kind="num"),
        rate_cell(row.inside.rate) if row.inside else Cell(DASH, kind="num"),
        rate_cell(row.inside.coherent_share) if row.inside else Cell(DASH, kind="num"),
        Cell(percent(row.kept), kind="num"),
        Cell(decimal(row.damage, 2), kind="num"),
    )


def _leak(leak: Leaked) -> tuple[Cell, ...]:
    return (
        Cell(leak.condition, "worse than unrepaired" if leak.worse else ""),
        rate_cell(leak.base),
        rate_cell(leak.tuned),
        rate_cell(leak.repaired),
    )
