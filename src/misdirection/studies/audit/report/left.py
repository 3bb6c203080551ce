"""The component along the direction behind every layer, measured again after each removal or repair."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report import charts
from misdirection.report.numbers import DASH, decimal, number
from misdirection.report.palette import BLUE, CATEGORIES, GREY, VERMILLION
from misdirection.report.parts import Cell, Chart, Table
from misdirection.studies.audit.removals import alone_text
from misdirection.studies.audit.results import ComponentLeft

CAPTION = (
    "The misaligned answers that the direction was made of, read again under each arm: 1 is where the tuned model has "
    "them, 0 where it has its aligned answers, along each layer's own direction. What acts at one layer alone is "
    "dotted: what rises behind it was written back."
)
COLUMNS = ("Arm", "Most", "Behind layer", "Behind the last")


def left_parts(left: Sequence[ComponentLeft], anchor: str) -> tuple[Chart, ...]:
    """The chart with its table; nothing where nothing was measured."""
    if not left:
        return ()
    layers = list(range(len(left[0].values)))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("0 aligned, 1 misaligned", zeroline=True),
        "showlegend": True,
    }
    table = Table(COLUMNS, tuple(map(_row, left)))
    traces = [_line(one, layers, colour) for one, colour in zip(left, _colours(left), strict=True)]
    # The controls are one entry of the legend.
    for place, trace in enumerate(trace for one, trace in zip(left, traces, strict=True) if one.control):
        trace |= {"name": "controls", "legendgroup": "controls", "showlegend": place == 0}
    title = "Component along the direction, measured again"
    return (Chart(anchor, title, traces, layout, table, 560, CAPTION, wide=True),)


def most_text(one: ComponentLeft) -> str:
    """How much of the component of misaligned answers is left, where it is largest and behind the last layer."""
    assert one.most is not None
    last = decimal(one.values[-1], 2)
    return f"at most {one.most[0]:.2f} behind layer {one.most[1]}, {last} behind the last (1 before the repair)"


def left_facts(left: Sequence[ComponentLeft]) -> tuple[tuple[str, str], ...]:
    """A sentence for each removal at one layer alone."""
    return tuple(("written back", alone_text(one)) for one in left if one.at is not None)


def _colours(left: Sequence[ComponentLeft]) -> list[str]:
    """The untouched model comes first; controls are grey; the others in turn."""
    free = iter([BLUE, *CATEGORIES] * len(left))
    return [VERMILLION if not i else GREY if one.control else next(free) for i, one in enumerate(left)]


def _line(one: ComponentLeft, layers: Sequence[int], colour: str) -> charts.Trace:
    name = charts.plain_text(one.label)
    style = {"color": colour, "width": 1 if one.control else 2, "dash": "solid" if one.at is None else "dot"}
    hover = f"layer %{{x}}: %{{y:.2f}}<extra>{name}</extra>"
    return charts.line(one.label, layers, one.values, colour, hovertemplate=hover) | {"line": style}


def _row(one: ComponentLeft) -> tuple[Cell, ...]:
    most = one.most
    return (
        Cell(one.label, "control" if one.control else ""),
        Cell(decimal(most[0], 2) if most else DASH, kind="num"),
        Cell(number(most[1]) if most else DASH, kind="num"),
        Cell(decimal(one.values[-1], 2), kind="num"),
    )
