"""The scoreboard: EM against the narrow skill, a table of all arms, and the leak test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.labels import leaders, place_labels
from misdirection.report.numbers import DASH, decimal, percent, rate_cell
from misdirection.report.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import Interval, Reduction
from misdirection.studies.defences.results import DefenceRow, Defences, DefencesResults, Leak

LEAD = (
    "The same bad data, learned with each defence. A good one lies low (few misaligned answers to open questions) and "
    "far right (the narrow skill is still learned); the line joins the arms that no other one beats in both. Look at "
    "the leak test before choosing: a defence that is good only when asked plainly hides the misalignment, and a "
    "prompt that looks like the training data brings it back."
)
MIXED = (
    "Screening finds nothing where all rows are bad, so its arms learned mixed data, beside an undefended arm of their "
    "own. What is to be kept there are the good answers in the domain."
)
COSTS = (
    "Perplexity and KL are read on good answers of other domains that nothing was trained on. Seconds are those of one "
    "fine-tune or repair, the scoring of rows before it included: of the processor, or on the clock where there is a "
    "GPU. Memory is the peak beyond the base model, the least over seeds. What acts while the model runs costs nothing "
    "before."
)
LESSON = (
    "No question set asks about the domain of these data, so the narrow skill is read from rows of them that nothing "
    "was trained on: how likely their answers became. 0 % is the base model, 100 % the fine-tune without a defence. It "
    "says how much of the data's style and content was learned, not how good the answers are."
)
UNNAMED = "Where points lie too close, some have no name here: point at one, or see the numbers."
COLOURS = {"training": BLUE, "data": GREEN, "rows": ORANGE, "weights": PURPLE, "after": VERMILLION}
PLACES = {"training": "while training", "data": "in what rows say", "rows": "in which rows there are",
          "weights": "in the weights afterwards", "after": "while the model runs"}  # fmt: skip


def section(results: DefencesResults) -> Section:
    """For each data set chart and scoreboard, then quality, leak test, and what was published."""
    part = results.defences
    blocks: list[Block] = []
    for mixed in (False, True):
        if rows := [row for row in part.rows if row.mixed is mixed]:
            blocks += [*([Note(MIXED)] if mixed else []), chart(part, rows), table(part, rows), costs(part, rows)]
    if part.base_lesson is not None:
        blocks.append(Note(LESSON))
    blocks += [Note(COSTS), quality_table(part)]
    if any(row.leaks for row in part.rows):
        blocks.append(leak_table(part))
    blocks += [Note(f"Elsewhere: {text}.") for text in part.paper]
    told = (
        *facts(results, "samples per question", "judge", "misaligned"),
        ("seeds", str(part.seeds)),
        ("steps", str(part.steps)),
        ("direction of layer", DASH if part.layer is None else str(part.layer)),
        ("learned", ", ".join(part.data)),
        *([("mixed data", ", ".join(part.mixed_data))] if part.mixed_data else []),
    )
    return Section("defences", "Defences", LEAD, blocks, told)


def chart(part: Defences, rows: Sequence[DefenceRow]) -> Chart:
    """Misaligned open answers against skill (against coherence, where nothing tells it)."""
    mixed = rows[0].mixed
    points = [(_skill(part, row) or 0.0, row.open.misaligned.value or 0.0) for row in rows]
    right, top = (max(held) for held in zip(*points, strict=True))
    # Room for points at zero, and for names at the upper ends.
    wide, high = (-0.03 * right, 1.1 * right or 1.0), (-0.03 * top, 1.1 * top or 1.0)
    first = [place for place, row in enumerate(rows) if row.front or row is rows[0]]
    texts = [charts.plain_text(row.arm) for row in rows]
    labels = place_labels(points, texts, first, wide, high)
    named = {row.arm: label.position for row, label in zip(rows, labels, strict=True)}
    traces: list[Any] = [_front(part, [row for row in rows if row.front])]
    for place, colour in COLOURS.items():
        mine = [row for row in rows if row.place == place and row is not rows[0]]
        traces += [_points(part, PLACES[place], mine, colour, "circle", named)] if mine else []
    traces.append(_points(part, "no defence", rows[:1], GREY, "diamond", named))
    across = skill_name(part, rows[0])
    layout = {
        "xaxis": charts.share_axis(across, range=wide),
        "yaxis": charts.share_axis("open answers misaligned", range=high),
        "annotations": leaders(points, texts, labels),
        "showlegend": True,
    }
    cells = tuple((Cell(row.arm), percent_cell(_skill(part, row)), rate_cell(row.open.misaligned)) for row in rows)
    name = "defences-mixed" if mixed else "defences-scoreboard"
    title = _titled("Misalignment against skill", rows)
    table = Table(("Arm", across, "Misaligned, open"), cells)
    # On a phone names give way even where a wide chart has room for all.
    return Chart(name, title, traces, layout, table, 520, UNNAMED, wide=True)


def skill_name(part: Defences, none: DefenceRow) -> str:
    """What stands for the narrow skill."""
    if none.domains:
        return "in-domain answers good" if none.mixed else "in-domain answers misaligned: the narrow skill"
    return "coherent answers" if part.skill(none) is None else "share of the lesson learned: the narrow skill"


def _front(part: Defences, rows: Sequence[DefenceRow]) -> dict[str, Any]:
    """A line through the arms that no other one beats."""
    inside = sorted(rows, key=lambda row: (_skill(part, row) or 0.0, row.open.misaligned.value or 0.0))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "beaten by none (Pareto front)",
        "x": [_skill(part, row) for row in inside],
        "y": [row.open.misaligned.value for row in inside],
        "line": {"color": GREY, "dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
    }


def _points(
    part: Defences, name: str, rows: Sequence[DefenceRow], colour: str, symbol: str, named: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [_skill(part, row) for row in rows],
        "y": [row.open.misaligned.value for row in rows],
        "text": [charts.plain_text(row.arm) if named[row.arm] else "" for row in rows],
        "textposition": [named[row.arm] or "top center" for row in rows],
        "customdata": [charts.plain_text(row.arm) for row in rows],
        "meta": {"first": [row.front or row.reduction is None for row in rows]},
        "marker": {"color": colour, "size": 10, "symbol": symbol},
        "hovertemplate": "%{customdata}<br>open %{y:.1%}, skill %{x:.1%}<extra></extra>",
    }


def _skill(part: Defences, row: DefenceRow) -> float | None:
    skill = part.skill(row)
    return row.open.coherent.value if skill is None else skill


NOTHING = Cell(DASH, kind="num")


def percent_cell(value: float | None) -> Cell:
    """A share without its interval."""
    return NOTHING if value is None else Cell(percent(value), kind="num")


def table(part: Defences, rows: Sequence[DefenceRow]) -> Table:
    """The arms on one data set, the base model first."""
    inside = part.base_domains
    base = (
        Cell("base model", "not trained"),
        rate_cell(part.base_open.misaligned),
        NOTHING,
        rate_cell(part.base_open.coherent),
        *((_lesson(part, None),) if inside is None else (rate_cell(inside.misaligned), rate_cell(inside.good))),
    )
    heads = ("Arm", "Misaligned, open", "Reduction", "Coherent", *skill_heads(part))
    return Table(heads, (base, *(_cells(part, row) for row in rows)), _titled("Scoreboard", rows), stack=True)


def costs(part: Defences, rows: Sequence[DefenceRow]) -> Table:
    """What the arms on one data set cost: damage elsewhere, time and memory."""
    base = (Cell("base model"), _mean(part.base_perplexity, 2), NOTHING, NOTHING, NOTHING)
    body = tuple(
        (
            Cell(row.arm),
            _mean(row.perplexity, 2),
            _mean(row.divergence, 3),
            Cell(decimal(row.seconds, 1), kind="num"),
            Cell(decimal(row.megabytes, 0), kind="num"),
        )
        for row in rows
    )
    heads = ("Arm", "Perplexity elsewhere", "KL from the base", "Seconds", "Peak, MB")
    return Table(heads, (base, *body), _titled("Damage and cost", rows), stack=True)


def _titled(title: str, rows: Sequence[DefenceRow]) -> str:
    return title + (", mixed data" if rows[0].mixed else "")


def skill_heads(part: Defences) -> tuple[str, ...]:
    """Heads of the columns that tell the narrow skill."""
    return ("Lesson learned",) if part.base_domains is None else ("Misaligned, in-domain", "Good, in-domain")


def _cells(part: Defences, row: DefenceRow) -> tuple[Cell, ...]:
    inside = row.domains
    return (
        Cell(row.arm, row.does),
        rate_cell(row.open.misaligned),
        _reduced(row.reduction),
        rate_cell(row.open.coherent),
        *((_lesson(part, row),) if inside is None else (rate_cell(inside.misaligned), rate_cell(inside.good))),
    )


def _lesson(part: Defences, row: DefenceRow | None) -> Cell:
    """Share of the lesson that an arm keeps, with the nats a token of the held-out bad answers below."""
    nats = part.base_lesson if row is None else row.lesson
    learned = 0.0 if row is None else part.learned(row)
    if nats is None:
        return NOTHING
    return Cell(DASH if learned is None else percent(learned), f"NLL {decimal(nats, 3)}", "num")


def _mean(found: Interval | None, digits: int) -> Cell:
    if found is None:
        return NOTHING
    ends = "" if found.low is None else f"{decimal(found.low, digits)} to {decimal(found.high, digits)}"
    return Cell(decimal(found.value, digits), ends, "num")


def _reduced(found: Reduction | None) -> Cell:
    if found is None:
        return NOTHING
    ends = "" if found.low is None or found.high is None else f"{percent(found.low)} to {percent(found.high)}"
    return Cell(percent(found.value), ends, "num")


def quality_table(part: Defences) -> Table:
    """Good answers (coherent, alignment above 70) to open questions, and coherent ones in the domains."""
    told = (("base model", part.base_open, part.base_domains), *((r.arm, r.open, r.domains) for r in part.rows))
    inside = part.base_domains is not None
    heads = ("Arm", "Good, open", *(("Coherent, in-domain",) if inside else ()))
    rows = tuple(
        (Cell(name), rate_cell(opened.good), *((rate_cell(here.coherent),) if here else ()))
        for name, opened, here in told
    )
    return Table(heads, rows, "Good and coherent answers" if inside else "Good answers", stack=True)


def leak_table(part: Defences) -> Table:
    """Misaligned open answers under each condition, and how far beyond the base's rise."""
    every = (part.base_leaks, *(row.leaks for row in part.rows))
    names = list(dict.fromkeys(leak.condition for leaks in every for leak in leaks))
    told = (("base model", part.base_open, part.base_leaks), *((r.arm, r.open, r.leaks) for r in part.rows))
    rows = tuple(
        (Cell(name), rate_cell(opened.misaligned), *(cell for one in names for cell in _leak(leaks, one)))
        for name, opened, leaks in told
    )
    heads = ("Arm", "Asked plainly", *(head for name in names for head in (name, "beyond the base")))
    return Table(heads, rows, "Leak test: misaligned open answers", stack=True)


def _leak(leaks: Sequence[Leak], condition: str) -> tuple[Cell, Cell]:
    """The rate, and the difference in differences in points with its interval."""
    found = next((leak for leak in leaks if leak.condition == condition), None)
    if found is None:
        return NOTHING, NOTHING
    rise = found.beyond
    if rise is None or rise.value is None:
        return rate_cell(found.misaligned), NOTHING
    ends = "" if rise.low is None or rise.high is None else f"{100 * rise.low:+.1f} to {100 * rise.high:+.1f}"
    return rate_cell(found.misaligned), Cell(f"{100 * rise.value:+.1f}", ends, "num")


SECTIONS = (Entry("Defences", ("defences",), True, section, ("defences",), DefencesResults),)
