"""The dear judge's rates from a few of its verdicts, each beside the cheap judge's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import colours, group_name
from misdirection.report.numbers import DASH, NBSP, bounds, decimal, number, percent
from misdirection.report.palette import GREY
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import Results
from misdirection.results.checked import BothEnds, CheckedGap, CheckedPart, CheckedRow

LEAD = (
    "The judge of all answers is cheap; a dearer one was asked about some, drawn at random and oftener where the cheap "
    "one is in doubt. What the dear judge would have said of all of them is estimated from both. \u201cThese "
    "answers\u201d is the 95\u00a0% interval of that; it holds whatever the cheap judge does, and more dear verdicts "
    "make it shorter. \u201cOver questions\u201d is for other questions of the kind, and only more questions make it "
    "shorter."
)
COLUMNS = ("Arm", "Questions", "By the check", "These answers", "Of coherent", "By the judge of all", "Asked", "Alike")
LOST = {"none": "failed", "unsure": "cannot tell", "malformed": "not readable"}


def section(results: Results) -> Section | None:
    """A chart of both judges' rates by arm, the table of figures, and the differences."""
    checked = results.checked
    if not checked or not checked.rows:
        return None
    palette = colours(results)
    rated = [(row, row.all) for row in checked.rows if row.all]
    blocks: list[Block] = [chart(rated, palette)] if rated else []
    blocks.append(Table(COLUMNS, tuple(_row(row, palette) for row in checked.rows), "Checked rates", stack=True))
    if checked.differences:
        blocks.append(_differences(checked.differences))
    blocks += [Note(f"{_place(row)}: {text}", "warn") for row in checked.rows for text in row.warnings]
    told = (
        ("dear judge", checked.name or checked.judge),
        ("judge of all answers", checked.cheap or "none"),
        ("asked", f"{number(checked.n)} of {number(checked.of)} answers"),
        ("seed of the draw", number(checked.seed)),
        ("over questions", "; ".join(dict.fromkeys(rate.method for _, rate in rated))),
    )
    return Section("checked", "Checked by a dearer judge", LEAD, blocks, told)


def chart(rated: Sequence[tuple[CheckedPart, CheckedRow]], palette: Mapping[str, str]) -> Chart:
    """A place for each arm and kind of question: the cheap rate hollow, the dear one with both intervals."""
    places = [_place(row) for row, _ in rated]
    names = list(dict.fromkeys(row.arm for row, _ in rated))
    traces: list[Any] = []
    for side, label, shift in ((_over, "over questions", 0.14), (_here, "these answers", 0.0)):
        for arm in names:
            at = [i for i, (row, _) in enumerate(rated) if row.arm == arm]
            ends = [side(rated[i][1]) for i in at]
            hover = [
                f"<b>{charts.plain_text(places[i])}</b><br>{label}: {percent(end['value'])} {bounds(end)}"
                for i, end in zip(at, ends, strict=True)
            ]
            colour = palette.get(arm, GREY)
            trace = charts.points(f"{arm}, by the check, {label}", ends, [i + shift for i in at], colour, hover)
            trace["marker"] |= {"size": 5 if side is _over else 10}
            trace["opacity"] = 0.55 if side is _over else 1.0
            traces.append(trace)
    cheap = [None if rate.cheap is None else {"value": rate.cheap} for _, rate in rated]
    hover = [
        f"<b>{charts.plain_text(place)}</b><br>by the judge of all: {percent(rate.cheap)}"
        for place, (_, rate) in zip(places, rated, strict=True)
    ]
    if any(cheap):
        at = [i - 0.18 for i in range(len(rated))]
        traces.append(charts.points("by the judge of all answers", cheap, at, GREY, hover, "diamond-open"))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(place), Cell(percent(rate.cheap)), _checked(rate)) for place, (_, rate) in zip(places, rated, strict=True)
    )
    return Chart(
        "checked",
        "Rates by both judges",
        traces,
        layout,
        Table(("Arm and questions", "By the judge of all", "By the check"), cells),
        150 + 56 * len(places),
        "Full: the check, with the interval for these very answers; pale below it: over questions; hollow: the judge "
        "of all answers. A hollow mark outside of the full one's bar is a judge that is wrong on this arm.",
        labels=tuple(places),
        wide=True,
    )


def _row(row: CheckedPart, palette: Mapping[str, str]) -> tuple[Cell, ...]:
    rate, coherent, alike = row.all, row.coherent, row.alike
    lost = [f"{number(n)} {LOST[name]}".replace(" ", NBSP) for name, n in row.labels.items() if name in LOST and n]
    asked = Cell(f"{number(row.drawn)} of {number(row.n)}", ", ".join(lost), "warn" if lost else "num")
    head = (Cell(row.arm, colour=palette.get(row.arm, "")), Cell(_questions(row)))
    if not rate or not coherent or not alike:
        return (*head, Cell("no verdict", kind="warn"), *(Cell(DASH) for _ in range(3)), asked, Cell(DASH))
    return (
        *head,
        Cell(percent(rate.value), f"over questions {bounds(_over(rate))}", "num"),
        Cell(bounds(_here(rate)), f"{number(rate.misaligned)} misaligned among the asked", "num"),
        Cell(percent(coherent.value), bounds(_here(coherent)), "num"),
        Cell(percent(rate.cheap), f"of coherent {percent(coherent.cheap)}", "num"),
        asked,
        Cell(f"{number(alike.same)} of {number(alike.n)}", f"\u03bb {decimal(rate.factor)}", "num"),
    )


def _differences(gaps: Sequence[CheckedGap]) -> Table:
    body = tuple(
        (
            Cell(f"{gap.arm} minus {gap.minus}"),
            Cell(_questions(gap)),
            Cell(percent(gap.value), "", "num"),
            Cell(bounds(_here(gap)), "", "num"),
            Cell(bounds(_over(gap)), "", "num"),
        )
        for gap in gaps
    )
    head = ("Difference", "Questions", "Points, by the check", "These answers", "Over questions")
    return Table(head, body, "Differences by the check, of all answers", stack=True)


def _checked(rate: CheckedRow) -> Cell:
    text = f"these answers {bounds(_here(rate))}, over questions {bounds(_over(rate))}"
    return Cell(percent(rate.value), text, "num")


def _over(found: BothEnds) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _here(found: BothEnds) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low_here, "high": found.high_here}


def _questions(row: CheckedPart | CheckedGap) -> str:
    return group_name(row.group) + ("" if row.format == "plain" else f", {row.format}")


def _place(row: CheckedPart) -> str:
    return f"{row.arm}, {_questions(row)[0].lower()}{_questions(row)[1:]}"
