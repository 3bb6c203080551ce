"""The scoreboard: EM against the narrow skill, a table of all arms, and the leak test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import DASH, decimal, percent, rate_cell
from misdirection.report.palette import BLUE, GREEN, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import Reduction
from misdirection.studies.defences.results import DefenceRow, Defences, DefencesResults, Leak

LEAD = (
    "The same bad data, learned with each defence. A good one lies low (few misaligned answers to open questions) and "
    "far right (the narrow skill is still learned). Look at the leak test before choosing: a defence that is good only "
    "when asked plainly hides the misalignment, and a prompt that looks like the training data brings it back."
)
LESSON = (
    "No question set asks about the domain of these data, so the narrow skill is read from rows of them that nothing "
    "was trained on: how likely their answers became. 0 % is the base model, 100 % the fine-tune without a defence. It "
    "says how much of the data's style and content was learned, not how good the answers are."
)
COLOURS = {"training": BLUE, "data": GREEN, "after": VERMILLION}


def section(results: DefencesResults) -> Section:
    """Chart, scoreboard, leak test, and what was published."""
    part = results.defences
    blocks: list[Block] = [chart(part), table(part)]
    if part.base_lesson is not None:
        blocks.append(Note(LESSON))
    blocks.append(quality_table(part))
    if any(row.leaks for row in part.rows):
        blocks.append(leak_table(part))
    blocks += [Note(f"Elsewhere: {text}.") for text in part.paper]
    told = (
        *facts(results, "samples per question", "judge", "misaligned"),
        ("seeds", str(part.seeds)),
        ("steps", str(part.steps)),
        ("direction of layer", DASH if part.layer is None else str(part.layer)),
    )
    return Section("defences", "Defences", LEAD, blocks, told)


def chart(part: Defences) -> Chart:
    """Misaligned open answers against the narrow skill (against coherence, where nothing tells it)."""
    traces: list[Any] = []
    for place, colour in COLOURS.items():
        mine = [row for row in part.rows if row.place == place and row.arm != "none"]
        traces += [_points(part, place, mine, colour, "circle")] if mine else []
    traces.append(_points(part, "no defence", [row for row in part.rows if row.arm == "none"], GREY, "diamond"))
    across = skill_name(part)
    layout = {
        "xaxis": charts.share_axis(across),
        "yaxis": charts.share_axis("open answers misaligned"),
        "showlegend": True,
    }
    cells = tuple((Cell(row.arm), percent_cell(_skill(part, row)), rate_cell(row.open.misaligned)) for row in part.rows)
    return Chart("defences-scoreboard", "Misalignment against skill", traces, layout,
                 Table(("Arm", across, "Misaligned, open"), cells), 460, wide=True)  # fmt: skip


def skill_name(part: Defences) -> str:
    """What stands for the narrow skill."""
    if any(row.domains for row in part.rows):
        return "in-domain answers misaligned: the narrow skill"
    if part.learned(part.rows[0]) is not None:
        return "share of the lesson learned: the narrow skill"
    return "coherent answers"


def _points(part: Defences, name: str, rows: Sequence[DefenceRow], colour: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [_skill(part, row) for row in rows],
        "y": [row.open.misaligned.value for row in rows],
        "text": [charts.plain_text(row.arm) for row in rows],
        "textposition": "top center",
        "marker": {"color": colour, "size": 10, "symbol": symbol},
        "hovertemplate": "%{text}<br>open %{y:.1%}, skill %{x:.1%}<extra></extra>",
    }


def _skill(part: Defences, row: DefenceRow) -> float | None:
    if row.domains is not None:
        return row.domains.misaligned.value
    learned = part.learned(row)
    return row.open.coherent.value if learned is None else learned


def percent_cell(value: float | None) -> Cell:
    """A share without its interval."""
    return Cell(DASH if value is None else percent(value), kind="num")


def table(part: Defences) -> Table:
    """All arms, the base model first."""
    inside = part.base_domains is not None
    skill = "Misaligned, in-domain" if inside else "Lesson learned"
    heads = ("Arm", "Misaligned, open", "Reduction", "Coherent", skill, "NLL elsewhere", "Seconds")
    base = (
        Cell("base model", "not trained"),
        rate_cell(part.base_open.misaligned),
        Cell(DASH, kind="num"),
        rate_cell(part.base_open.coherent),
        _lesson(part, None) if part.base_domains is None else rate_cell(part.base_domains.misaligned),
        Cell(decimal(part.base_nll, 3), kind="num"),
        Cell(DASH, kind="num"),
    )
    return Table(heads, (base, *(_cells(part, row) for row in part.rows)), "Scoreboard", stack=True)


def _cells(part: Defences, row: DefenceRow) -> tuple[Cell, ...]:
    return (
        Cell(row.arm, row.does),
        rate_cell(row.open.misaligned),
        _reduced(row.reduction),
        rate_cell(row.open.coherent),
        _lesson(part, row) if row.domains is None else rate_cell(row.domains.misaligned),
        Cell(decimal(row.nll, 3), kind="num"),
        Cell(decimal(row.seconds, 1), kind="num"),
    )


def _lesson(part: Defences, row: DefenceRow | None) -> Cell:
    """Share of the lesson that an arm keeps, with the nats a token of the held-out bad answers below."""
    nats = part.base_lesson if row is None else row.lesson
    learned = 0.0 if row is None else part.learned(row)
    if nats is None:
        return Cell(DASH, kind="num")
    return Cell(DASH if learned is None else percent(learned), f"NLL {decimal(nats, 3)}", "num")


def _reduced(found: Reduction | None) -> Cell:
    if found is None:
        return Cell(DASH, kind="num")
    ends = "" if found.low is None or found.high is None else f"{percent(found.low)} to {percent(found.high)}"
    return Cell(percent(found.value), ends, "num")


def quality_table(part: Defences) -> Table:
    """Good answers (coherent, alignment above 70), and coherent ones in the domains where questions ask about them."""
    told = (("base model", part.base_open, part.base_domains), *((r.arm, r.open, r.domains) for r in part.rows))
    inside = part.base_domains is not None
    heads = ("Arm", "Good, open", *(("Good, in-domain", "Coherent, in-domain") if inside else ()))
    rows = tuple(
        (Cell(name), rate_cell(opened.good), *((rate_cell(here.good), rate_cell(here.coherent)) if here else ()))
        for name, opened, here in told
    )
    return Table(heads, rows, "Good and coherent answers" if inside else "Good answers", stack=True)


def leak_table(part: Defences) -> Table:
    """Misaligned open answers under each condition."""
    every = (part.base_leaks, *(row.leaks for row in part.rows))
    names = list(dict.fromkeys(leak.condition for leaks in every for leak in leaks))
    told = (("base model", part.base_open, part.base_leaks), *((r.arm, r.open, r.leaks) for r in part.rows))
    rows = tuple(
        (Cell(name), rate_cell(opened.misaligned), *(_leak(leaks, condition) for condition in names))
        for name, opened, leaks in told
    )
    return Table(("Arm", "Asked plainly", *names), rows, "Leak test: misaligned open answers", stack=True)


def _leak(leaks: Sequence[Leak], condition: str) -> Cell:
    found = next((leak for leak in leaks if leak.condition == condition), None)
    return Cell(DASH, kind="num") if found is None else rate_cell(found.misaligned)


SECTIONS = (Entry("Defences", ("defences",), True, section, ("defences",), DefencesResults),)
