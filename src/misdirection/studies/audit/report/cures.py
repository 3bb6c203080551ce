"""Cures: what taking the direction out of the tuned model does, beside the controls that should do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, rows
from misdirection.report.numbers import bounds, decimal, known, p_value, percent, rate_cell, rate_text
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Cell, Chart, Findings, Section, Table

LEAD = (
    "Each row is the tuned model with one operation on its residual stream; the first is the tuned model as it is. A "
    "cure counts when its EM falls, its answers stay coherent, and the controls (grey) leave EM where it was. "
    "Differences are paired: the arms share questions and random numbers."
)
COLUMNS = ("Arm", "Operation", "Misaligned, of all", "Coherent", "Difference, points", "Reduction", "p")


def section(findings: Findings) -> Section | None:
    """A chart of the rates and the table of differences."""
    found = rows(findings, "cures")
    if not found:
        return None
    table = Table(COLUMNS, tuple(_row(i, cure) for i, cure in enumerate(found)), stack=True)
    methods = dict.fromkeys(
        str((c.get("difference") or {}).get("method")) for c in found if (c.get("difference") or {}).get("method")
    )
    known_facts = (("differences", "; ".join(methods)),) if methods else ()
    tested = sum(1 for c in found if known((c.get("difference") or {}).get("p")))
    known_facts += (("p values", f"{tested}, not corrected for their number"),) if tested else ()
    return Section("cures", "Cures", LEAD, (chart(found), table), known_facts + facts(findings, "samples per question"))


def chart(found: Sequence[Row]) -> Chart:
    """A bar for each arm with its interval; colour and pattern mark what is a control."""
    kinds = [kind_of(i, cure) for i, cure in enumerate(found)]
    traces: list[Any] = []
    for kind, colour, pattern in (("untouched", VERMILLION, ""), ("cure", BLUE, ""), ("control", GREY, "/")):
        at = [i for i, k in enumerate(kinds) if k == kind and known((found[i].get("rate") or {}).get("value"))]
        if at:
            traces.append(_bars(kind, [found[i] for i in at], at, colour, pattern))
    first = (found[0].get("rate") or {}).get("value")
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(found)),
        "shapes": [charts.level(first, "x")] if known(first) else [],
        "bargap": 0.35,
        "showlegend": True,
    }
    cells = tuple((Cell(_label(c)), Cell(k), rate_cell(c.get("rate"))) for c, k in zip(found, kinds, strict=True))
    return Chart(
        "cures",
        "Misaligned answers after each operation",
        traces,
        layout,
        Table(("Arm", "Kind", "Misaligned"), cells),
        130 + 44 * len(found),
        labels=tuple(_label(c) for c in found),
        wide=True,
    )


def kind_of(index: int, cure: Row) -> str:
    """One of "untouched" (the first row), "control" and "cure"."""
    if cure.get("control"):
        return "control"
    return "untouched" if index == 0 else "cure"


def _bars(kind: str, cures: Sequence[Row], at: Sequence[int], colour: str, pattern: str) -> dict[str, Any]:
    values = [c["rate"]["value"] for c in cures]
    low, high = ([c["rate"].get(side) for c in cures] for side in ("low", "high"))
    hover = [
        f"<b>{charts.plain_text(_label(c))}</b><br>{rate_text(c['rate'])}"
        f"<br>coherent {rate_cell(c.get('coherent_share')).text}"
        for c in cures
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": kind,
        "x": values,
        "y": list(at),
        "width": 0.6,
        "error_x": charts.errors(values, low, high, "ink"),
        "marker": {
            "color": colour,
            "opacity": 0.85,
            "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "#fff", "fgopacity": 0.6},
        },
        "text": hover,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _row(index: int, cure: Row) -> tuple[Cell, ...]:
    difference: Row = cure.get("difference") or {}
    reduction: Row = cure.get("reduction") or {}
    kind = kind_of(index, cure)
    colour = {"untouched": VERMILLION, "cure": BLUE, "control": GREY}[kind]
    return (
        Cell(_label(cure), kind, colour=colour),
        Cell(str(cure.get("operation") or "none")),
        rate_cell(cure.get("rate")),
        rate_cell(cure.get("coherent_share")),
        _points(difference),
        Cell(percent(reduction.get("value")), bounds(reduction), "num"),
        Cell(p_value(difference.get("p")), kind="num"),
    )


def _points(difference: Row) -> Cell:
    value = difference.get("value")
    if not known(value):
        return Cell("\u2013", kind="num")
    assert value is not None
    sign = "+" if value > 0 else ""
    return Cell(sign + decimal(value * 100, 1), bounds(difference), "num")


def _label(cure: Row) -> str:
    return str(cure.get("label") or cure.get("arm"))
