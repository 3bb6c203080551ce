"""Cures: what taking the direction out of the tuned model does, beside the controls that should do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import bounds, p_value, percent, points_cell, rate_cell, rate_text
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Cell, Chart, Section, Table
from misdirection.studies.audit.report.latents import latent_facts, latent_parts
from misdirection.studies.audit.report.left import left_facts, left_parts
from misdirection.studies.audit.results import AuditResults, Cure

LEAD = (
    "Each row is the tuned model with one operation on its residual stream; the first is the tuned model as it is. A "
    "cure counts when its rate falls, its answers stay coherent, and the controls (grey) leave the rate where it was. "
    "Differences are paired: the arms share questions and random numbers."
)
COLUMNS = ("Arm", "Operation", "Misaligned, of all", "Coherent", "Difference, points", "Reduction", "p")


def section(results: AuditResults) -> Section | None:
    """A chart of the rates and the table of differences."""
    cures = results.cures
    if not cures:
        return None
    table = Table(COLUMNS, tuple(_row(i, cure) for i, cure in enumerate(cures)), stack=True)
    tested = [cure.difference for cure in cures if cure.difference]
    told = (
        ("differences", "; ".join(dict.fromkeys(difference.method for difference in tested))),
        ("p values", f"{len(tested)}, not corrected for their number"),
    )
    own = told if tested else ()
    left = left_parts(results.components or (), "cures-left")
    held = results.latents
    rows = own + left_facts(results.components or ()) + latent_facts(held) + facts(results, "samples per question")
    return Section("cures", "Cures", LEAD, (chart(cures), table, *latent_parts(held), *left), rows)


def chart(cures: Sequence[Cure]) -> Chart:
    """A bar for each arm with its interval; colour and pattern mark what is a control."""
    kinds = [kind_of(i, cure) for i, cure in enumerate(cures)]
    traces: list[Any] = []
    for kind, colour, pattern in (("untouched", VERMILLION, ""), ("cure", BLUE, ""), ("control", GREY, "/")):
        at = [i for i, k in enumerate(kinds) if k == kind and cures[i].rate.value is not None]
        if at:
            traces.append(_bars(kind, [cures[i] for i in at], at, colour, pattern))
    first = cures[0].rate.value
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(cures)),
        "shapes": [] if first is None else [charts.level(first, "x")],
        "bargap": 0.35,
        "showlegend": True,
    }
    cells = tuple((Cell(c.label), Cell(k), rate_cell(c.rate)) for c, k in zip(cures, kinds, strict=True))
    return Chart(
        "cures",
        "Misaligned answers after each operation",
        traces,
        layout,
        Table(("Arm", "Kind", "Misaligned"), cells),
        130 + 44 * len(cures),
        labels=tuple(cure.label for cure in cures),
        wide=True,
    )


def kind_of(index: int, cure: Cure) -> str:
    """One of "untouched" (the first row), "control" and "cure"."""
    if cure.control:
        return "control"
    return "untouched" if index == 0 else "cure"


def _bars(kind: str, cures: Sequence[Cure], at: Sequence[int], colour: str, pattern: str) -> charts.Trace:
    values = [cure.rate.value for cure in cures]
    hover = [
        f"<b>{charts.plain_text(cure.label)}</b><br>{rate_text(cure.rate)}"
        f"<br>coherent {rate_cell(cure.coherent_share).text}"
        for cure in cures
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": kind,
        "x": values,
        "y": list(at),
        "width": 0.6,
        "error_x": charts.errors(values, [c.rate.low for c in cures], [c.rate.high for c in cures], "ink"),
        "marker": {
            "color": colour,
            "opacity": 0.85,
            "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "#fff", "fgopacity": 0.6},
        },
        "text": hover,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _row(index: int, cure: Cure) -> tuple[Cell, ...]:
    difference, reduction = cure.difference, cure.reduction
    kind = kind_of(index, cure)
    colour = {"untouched": VERMILLION, "cure": BLUE, "control": GREY}[kind]
    return (
        Cell(cure.label, kind, colour=colour),
        Cell(cure.operation),
        rate_cell(cure.rate),
        rate_cell(cure.coherent_share),
        points_cell(difference),
        Cell(percent(reduction and reduction.value), bounds(reduction), "num"),
        Cell(p_value(difference and difference.p), kind="num"),
    )
