"""Adapters left out: each, every two, and each alone."""

from __future__ import annotations

from misdirection.report import charts
from misdirection.report.numbers import decimal, known, number, percent, rate_text
from misdirection.report.palette import DIVERGING
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.adapters.report.scaling import Bar, bars
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.interventions import LeaveOut, Matrix

LEAD = (
    "Each layer's adapter is switched off, alone (the diagonal) and with every other (beside it), and the change of "
    "the misaligned rate is shown in points; blue means that the answers got better. A pair that falls by more "
    "than the sum of its two (blue in the second matrix) stood in for each other; one that falls by less (vermillion) "
    "did the same work, or had no further to fall, for a rate ends at 0. One that misaligns alone needs no other."
)


def section(results: AdaptersResults) -> Section | None:
    """The matrix of changes, the interactions, and the bars of leave-one-out and of each alone."""
    part = results.adapter_leave_out
    if not part or not part.arms:
        return None
    blocks: list[Block] = []
    if part.pairs:
        blocks += [
            matrix("adapter-leave-out", "Change of the misaligned rate", part, part.changes),
            matrix("adapter-interaction", "Beyond the sum of the two", part, part.interactions),
        ]
    first = Bar("untouched", "adapter as it is", "untouched", False, part.untouched, None)
    blocks.append(bars("adapter-one", "Each left out, and each alone", [first, *part.arms]))
    facts = (("adapter as it is", rate_text(part.untouched)), ("base", rate_text(part.base)))
    facts += (("pairs", number(len(part.pairs))),) if part.pairs else ()
    facts += (("p values", "adjusted within each kind of arm (Benjamini and Hochberg); intervals are not"),)
    return Section("adapter-leave-out", "Adapters left out", LEAD, blocks, facts)


def matrix(key: str, title: str, part: LeaveOut, values: Matrix) -> Chart:
    """Layer by layer, in points."""
    layers = [str(layer) for layer in part.layers]
    top = max((abs(v) for row in values for v in row if known(v)), default=0.0) or 0.01
    trace = {
        "type": "heatmap",
        "x": list(range(len(layers))),
        "y": list(range(len(layers))),
        "z": [[100 * v if known(v) else None for v in row] for row in values],
        "zmin": -100 * top,
        "zmax": 100 * top,
        "colorscale": [list(stop) for stop in DIVERGING],
        "colorbar": {"thickness": 12, "outlinewidth": 0, "title": {"text": "points", "font": {"size": 11}}},
        "texttemplate": "%{z:.0f}",
        "textfont": {"size": 10},
        "hovertemplate": "%{text}<br>%{z:+.1f} points<extra></extra>",
        "text": [[f"layers {a} and {b}" if a != b else f"layer {a}" for b in layers] for a in layers],
    }
    ticks = {"tickvals": list(range(len(layers))), "ticktext": layers, "zeroline": False, "showgrid": False}
    layout = {
        "xaxis": charts.axis("layer left out", **ticks),
        "yaxis": charts.axis("layer left out", **ticks, range=[len(layers) - 0.5, -0.5]),
        "square": True,
    }
    cells = tuple(
        (Cell(f"layer {a}"), *(Cell(decimal(100 * v, 1) if known(v) else "\u2013", kind="num") for v in row))
        for a, row in zip(layers, values, strict=True)
    )
    coherent = [v for row in part.coherent for v in row if known(v)]
    caption = f"Coherent: at least {percent(min(coherent))} in every arm." if coherent else ""
    return Chart(key, title, [trace], layout, Table(("Points", *layers), cells), 440, caption)
