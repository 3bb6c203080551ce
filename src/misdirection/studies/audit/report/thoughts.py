"""What a reasoning model thought, beside the answers that it gave."""

from __future__ import annotations

from misdirection.report.numbers import number, rate_cell
from misdirection.report.parts import Cell, Section, Table
from misdirection.studies.audit.results import AuditResults

LEAD = (
    "These models think before they answer. Rates everywhere else are of the answers alone; here the thoughts before "
    "them are judged too, as if each were the answer, over the same rows. A misaligned thought before a harmless "
    "answer is something that the rate does not show; a judge made for answers may be less sure of thoughts."
)
COLUMNS = (
    "Arm", "Misaligned, thoughts", "Coherent, thoughts", "Misaligned, answers", "Coherent, answers", "Both misaligned",
    "Thought alone", "Answer alone",
)  # fmt: skip


def section(results: AuditResults) -> Section | None:
    """A table with a row for each arm that thought."""
    if not results.thoughts:
        return None
    rows = tuple(
        (
            Cell(row.arm),
            *(rate_cell(rate) for part in (row.thoughts, row.answers) for rate in (part.rate, part.coherent_share)),
            *(Cell(number(count), kind="num") for count in (row.both, row.thought_alone, row.answer_alone)),
        )
        for row in results.thoughts
    )
    return Section("thoughts", "Thoughts", LEAD, (Table(COLUMNS, rows),))
