"""The dear judge's rates from a few of its verdicts, each beside the cheap judge's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, colours, group_name, rows
from misdirection.report.numbers import NBSP, bounds, decimal, known, number, percent
from misdirection.report.palette import GREY
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "The judge of all answers is cheap; a dearer one was asked about some, drawn at random and oftener where the cheap "
    "one is in doubt. What the dear judge would have said of all of them is estimated from both. \u201cThese "
    "answers\u201d is the 95\u00a0% interval of that; it holds whatever the cheap judge does, and more dear verdicts "
    "make it shorter. \u201cOver questions\u201d is for other questions of the kind, and only more questions make it "
    "shorter."
)
COLUMNS = ("Arm", "Questions", "By the check", "These answers", "Of coherent", "By the judge of all", "Asked", "Alike")
LOST = {"none": "failed", "unsure": "cannot tell", "malformed": "not readable"}


def section(findings: Findings) -> Section | None:
    """A chart of both judges' rates by arm, the table of figures, and the differences."""
    held: Row | None = findings.get("checked")
    found = rows(held, "rows") if held else []
    if not held or not found:
        return None
    palette = colours(findings)
    told = [row for row in found if row.get("all")]
    blocks: list[Block] = [chart(told, palette)] if told else []
    blocks.append(Table(COLUMNS, tuple(_row(row, palette) for row in found), "Checked rates", stack=True))
    if differences := rows(held, "differences"):
        blocks.append(_differences(differences))
    blocks += [Note(f"{_place(row)}: {text}", "warn") for row in found for text in row.get("warnings") or []]
    facts = [
        ("dear judge", str(held.get("name") or held.get("judge"))),
        ("judge of all answers", str(held.get("cheap") or "none")),
        ("asked", f"{number(held.get('n'))} of {number(held.get('of'))} answers"),
        ("seed of the draw", number(held.get("seed"))),
    ]
    methods = list(dict.fromkeys(str(row["all"]["method"]) for row in told))
    return Section(
        "checked", "Checked by a dearer judge", LEAD, blocks, (*facts, ("over questions", "; ".join(methods)))
    )


def chart(found: Sequence[Row], palette: dict[str, str]) -> Chart:
    """A place for each arm and kind of question: the cheap rate hollow, the dear one with both intervals."""
    places = [_place(row) for row in found]
    names = [name for name in dict.fromkeys(str(row.get("arm")) for row in found)]
    traces: list[Any] = []
    for which, label, shift in (("", "over questions", 0.14), ("_here", "these answers", 0.0)):
        for arm in names:
            at = [i for i, row in enumerate(found) if str(row.get("arm")) == arm]
            rates = [_side(found[i], which) for i in at]
            hover = [f"<b>{charts.plain_text(places[i])}</b><br>{label}: {_text(found[i]['all'], which)}" for i in at]
            colour = palette.get(arm, GREY)
            trace = charts.points(f"{arm}, by the check, {label}", rates, [i + shift for i in at], colour, hover)
            trace["marker"] |= {"size": 5 if which == "" else 10}
            trace["opacity"] = 0.55 if which == "" else 1.0
            traces.append(trace)
    cheap = [{"value": row["all"].get("cheap")} if known(row["all"].get("cheap")) else None for row in found]
    hover = [
        f"<b>{charts.plain_text(place)}</b><br>by the judge of all: {percent(row['all'].get('cheap'))}"
        for place, row in zip(places, found, strict=True)
    ]
    if any(cheap):
        at = [i - 0.18 for i in range(len(found))]
        traces.append(charts.points("by the judge of all answers", cheap, at, GREY, hover, "diamond-open"))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(p), Cell(percent(r["all"].get("cheap"))), _checked(r["all"])) for p, r in zip(places, found, strict=True)
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


def _row(row: Row, palette: dict[str, str]) -> tuple[Cell, ...]:
    arm, rate, coherent = str(row.get("arm")), row.get("all"), row.get("coherent")
    labels: Row = row.get("labels") or {}
    lost = [f"{number(n)} {LOST[name]}".replace(" ", NBSP) for name, n in labels.items() if name in LOST and n]
    asked = Cell(f"{number(row.get('drawn'))} of {number(row.get('n'))}", ", ".join(lost), "warn" if lost else "num")
    head = (Cell(arm, colour=palette.get(arm, "")), Cell(_questions(row)))
    if not rate or not coherent:
        return (*head, Cell("no verdict", kind="warn"), *(Cell("\u2013") for _ in range(3)), asked, Cell("\u2013"))
    alike: Row = row.get("alike") or {}
    return (
        *head,
        Cell(percent(rate.get("value")), f"over questions {bounds(rate)}", "num"),
        Cell(bounds(_side(row, "_here")), f"{number(rate.get('misaligned'))} misaligned among the asked", "num"),
        Cell(percent(coherent.get("value")), bounds(_inside(coherent)), "num"),
        Cell(percent(rate.get("cheap")), f"of coherent {percent(coherent.get('cheap'))}", "num"),
        asked,
        Cell(
            f"{number(alike.get('same'))} of {number(alike.get('n'))}", f"\u03bb {decimal(rate.get('factor'))}", "num"
        ),
    )


def _differences(found: Sequence[Row]) -> Table:
    body = tuple(
        (
            Cell(f"{row.get('arm')} minus {row.get('minus')}"),
            Cell(_questions(row)),
            Cell(percent(row.get("value")), "", "num"),
            Cell(bounds(_inside(row)), "", "num"),
            Cell(bounds(row), "", "num"),
        )
        for row in found
    )
    head = ("Difference", "Questions", "Points, by the check", "These answers", "Over questions")
    return Table(head, body, "Differences by the check, of all answers", stack=True)


def _checked(rate: Row) -> Cell:
    return Cell(
        percent(rate.get("value")), f"these answers {bounds(_inside(rate))}, over questions {bounds(rate)}", "num"
    )


def _side(row: Row, which: str) -> dict[str, Any]:
    rate: Row = row["all"]
    return {"value": rate.get("value"), "low": rate.get(f"low{which}"), "high": rate.get(f"high{which}")}


def _inside(rate: Row) -> dict[str, Any]:
    return {"low": rate.get("low_here"), "high": rate.get("high_here")}


def _text(rate: Row, which: str) -> str:
    return f"{percent(rate.get('value'))} {bounds({'low': rate.get(f'low{which}'), 'high': rate.get(f'high{which}')})}"


def _questions(row: Row) -> str:
    form = row.get("format") or "plain"
    return group_name(str(row.get("group") or "open")) + ("" if form == "plain" else f", {form}")


def _place(row: Row) -> str:
    return f"{row.get('arm')}, {_questions(row)[0].lower()}{_questions(row)[1:]}"
