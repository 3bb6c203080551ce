"""What adapters write and what that does further on, against the direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, known, number
from misdirection.report.palette import BLUE, DIVERGING, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.adapters.report.scaling import notes, paper
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.reading import AnswerKind, DownstreamEffect, WrittenRow

LEAD = (
    "Left, each B beside the direction at its layer: is what the adapter writes the direction itself? Right, what the "
    "adapter changes in later layers beside what adding the direction changes there, on the same answers: do both lead "
    "to the same place? The sign of a B means nothing without the sign of its scalar, so the mean push along the "
    "direction stands in the table."
)
KINDS: tuple[tuple[AnswerKind, str], ...] = (("misaligned", VERMILLION), ("aligned", BLUE))


def section(results: AdaptersResults) -> Section | None:
    """Cosines of B, downstream cosines of the whole adapter, and of each layer's."""
    part = results.adapter_similarity
    if not part:
        return None
    blocks: list[Block] = notes(part.words, part.notes)
    if part.written:
        blocks.append(cosines(part.written))
    if part.effects:
        blocks += [whole(part.effects[0]), each(part.effects[1:])]
    if part.written:
        blocks.append(pushes(part.written))
    blocks.append(paper(part.paper))
    facts = tuple((f"{kind} answers read", number(part.answers[kind])) for kind, _ in KINDS if kind in part.answers)
    facts += (("steering coefficient", number(part.coefficient)), ("random directions", number(part.seeds)))
    return Section("adapter-similarity", "Adapters and the direction", LEAD, blocks, facts)


def cosines(written: Sequence[WrittenRow]) -> Chart:
    """Cosine of each B with the direction at its layer, with what chance gives."""
    names = [f"layer {row.layer}" for row in written]
    at = list(range(len(written)))
    trace = {
        "type": "bar",
        "name": "B",
        "x": at,
        "y": [row.cosine for row in written],
        "marker": {"color": BLUE},
        "width": 0.6,
        "text": [f"{name}: {decimal(row.cosine, 3)}" for name, row in zip(names, written, strict=True)],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
    edges = [row.chance for row in written]
    band = charts.band("95 % of random directions", at, [-e for e in edges], edges, GREY)
    layout = {
        "xaxis": charts.axis("layer", tickvals=at, ticktext=[str(row.layer) for row in written], zeroline=False),
        "yaxis": charts.axis("cosine with the direction", range=[-1.02, 1.02], zeroline=True),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(n), Cell(decimal(r.cosine, 3), kind="num"), Cell(decimal(r.chance, 3), kind="num"))
        for n, r in zip(names, written, strict=True)
    )
    table = Table(("B of", "Cosine", "95 % of random directions below"), cells)
    return Chart("adapter-cosine", "B and the direction at its layer", [*band, trace], layout, table, 360)


def whole(effect: DownstreamEffect) -> Chart:
    """What the whole adapter does, against steering at its middle layer."""
    traces: list[Any] = []
    depth = list(range(len(next(iter(effect.cosine.values())))))
    for kind, colour in KINDS:
        if kind in effect.cosine:
            traces.append(charts.line(f"on {kind} answers", depth, effect.cosine[kind], colour))
    kind = next(iter(effect.random))
    traces.append(charts.dashed("random direction, largest", depth, effect.random[kind]))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine of the differences", zeroline=True),
        "showlegend": True,
    }
    read: list[AnswerKind] = [name for name, _ in KINDS if name in effect.cosine]
    cells = tuple(
        (Cell(number(at), kind="num"), *(Cell(decimal(effect.cosine[k][at], 3), kind="num") for k in read),
         Cell(decimal(effect.random[kind][at], 3), kind="num"))
        for at in depth
        if known(effect.cosine[read[0]][at])
    )  # fmt: skip
    return Chart(
        "adapter-downstream",
        f"All adapters and steering at layer {effect.at}: what they change",
        traces,
        layout,
        Table(("Layer", *(f"On {k} answers" for k in read), "Random direction"), cells),
        360,
    )


def each(effects: Sequence[DownstreamEffect]) -> Chart:
    """Each layer's adapter alone, against steering at its layer, at every later layer."""
    kind = next(iter(effects[0].cosine))
    depth = len(effects[0].cosine[kind])
    trace = {
        "type": "heatmap",
        "x": list(range(depth)),
        "y": list(range(len(effects))),
        "z": [row.cosine[kind] for row in effects],
        "zmin": -1,
        "zmax": 1,
        "colorscale": [list(stop) for stop in DIVERGING],
        "colorbar": {"thickness": 12, "outlinewidth": 0},
        "text": [[f"random: {decimal(v, 2)} at most" for v in row.random[kind]] for row in effects],
        "hovertemplate": "layer %{x}: %{z:.2f}<br>%{text}<extra></extra>",
        "hoverongaps": False,
    }
    labels = tuple(f"adapter of layer {row.layer}" for row in effects)
    layout = {"xaxis": charts.axis("layer", zeroline=False, showgrid=False), "yaxis": charts.label_axis(len(effects))}
    cells = tuple(
        (Cell(name), *(Cell(decimal(v, 2), kind="num") for v in row.cosine[kind]))
        for name, row in zip(labels, effects, strict=True)
    )
    return Chart(
        "adapter-each",
        f"Each adapter alone and steering at its layer: cosine of what they change, {kind} answers",
        [trace],
        layout,
        Table(("Adapter", *(str(layer) for layer in range(depth))), cells),
        130 + 30 * len(effects),
        "Blank before the adapter's own layer.",
        labels,
        wide=True,
    )


def pushes(written: Sequence[WrittenRow]) -> Table:
    """Mean scalar and mean push along the direction, by kind of answer."""
    read: list[AnswerKind] = [kind for kind, _ in KINDS if kind in written[0].push]
    columns = (
        "B of",
        *(f"Mean scalar, {kind}" for kind in read),
        *(f"Push, {kind}" for kind in read),
        "Direction's norm",
    )
    rows = tuple(
        (Cell(f"layer {row.layer}", row.path.rsplit(".", 1)[-1]),
         *(Cell(decimal(row.scalar[k]), kind="num") for k in read),
         *(Cell(decimal(row.push[k]), kind="num") for k in read), Cell(decimal(row.direction), kind="num"))
        for row in written
    )  # fmt: skip
    return Table(columns, rows, "What each adapter itself adds along the direction, a token of the answer", stack=True)
