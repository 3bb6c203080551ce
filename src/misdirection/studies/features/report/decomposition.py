"""Directions and adapters as a few latents, beside random vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, number, percent
from misdirection.report.palette import CATEGORIES, GREY, ORANGE
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.decomposition import (
    DecomposedVector,
    Decomposition,
    ListAgreement,
    Method,
    ThroughActivations,
    VectorKind,
)

LEAD = (
    "A direction that is made of a few latents is explained by few of them; a random vector of the same norm needs "
    "more, but not all, for there are more latents than dimensions. OMP takes latents in either direction, NNLS only "
    "adds them."
)
METHODS: dict[Method, tuple[str, str, str]] = {
    "omp": ("orthogonal matching pursuit", "solid", GREY),
    "nnls": ("non-negative", "dot", ORANGE),
}
DIRECTIONS: tuple[VectorKind, ...] = ("mean difference", "file")
AT = (4, 8, 16, 32)
NAMED = 8


def section(results: FeaturesResults) -> Section | None:
    """Curves of explained variance, the latents of each vector, and the decomposition through activations."""
    part = results.latent_decomposition
    if not part:
        return None
    directions = [row for row in part.rows if row.kind in DIRECTIONS]
    adapters = [row for row in part.rows if row.kind not in DIRECTIONS]
    blocks: list[Block] = []
    if directions:
        blocks.append(curves("directions", f"Directions at layer {part.layer}", directions, part, ("omp", "nnls")))
        blocks.append(table(directions, part, "Directions as latents"))
    if through := [(row, row.through) for row in part.rows if row.through]:
        blocks.append(activations(through))
    if adapters:
        blocks.append(curves("adapters", "What adapters near the layer write and read", adapters, part, ("omp",)))
        blocks.append(table(adapters, part, "Adapters as latents"))
    blocks += map(Note, part.notes)
    facts = (("layer", number(part.layer)), ("latents at most", number(part.most)),
             ("random vectors", number(part.random["omp"].n)))  # fmt: skip
    return Section("latent-decomposition", "Directions as latents", LEAD, blocks, facts)


def curves(
    key: str, title: str, rows: Sequence[DecomposedVector], part: Decomposition, methods: Sequence[Method]
) -> Chart:
    """Explained variance against the number of latents, a line a vector and method, with the random band."""
    traces: list[Any] = []
    for method in methods:
        name, _, colour = METHODS[method]
        random = part.random[method]
        x = list(range(1, len(random.mean) + 1))
        traces += charts.band(f"random vectors, {name}", x, random.low, random.high, colour)
        traces.append(charts.dashed("their mean", x, random.mean, colour, showlegend=False))
    tunes = list(dict.fromkeys(row.tune or row.name for row in rows))
    named: set[str] = set()
    for row in rows:
        tune = row.tune or row.name
        colour = CATEGORIES[tunes.index(tune) % len(CATEGORIES)]
        for method in methods:
            label = f"{tune}, {METHODS[method][0]}" if len(methods) > 1 else f"{tune}, {row.kind}"
            dash = METHODS[method][1] if row.kind != "A" else "dash"
            y = row.methods[method].explained
            look = {"line": {"color": colour, "width": 2, "dash": dash}, "showlegend": label not in named}
            hover = {"hovertemplate": f"{charts.plain_text(row.name)}: %{{x}} latents, %{{y:.0%}}<extra></extra>"}
            traces.append(charts.line(label, range(1, len(y) + 1), y, colour, **look, **hover) | {"mode": "lines"})
            named.add(label)
    layout = {
        "xaxis": charts.axis("latents", rangemode="tozero", zeroline=False),
        "yaxis": charts.axis("variance explained", tickformat=charts.TICKS, range=[0, 1.02]),
        "showlegend": True,
    }
    return Chart(
        f"decomposition-{key}", f"{title}: variance explained by so many latents", traces, layout,
        table(rows, part, ""), 460, wide=True,
    )  # fmt: skip


def table(rows: Sequence[DecomposedVector], part: Decomposition, caption: str) -> Table:
    """Share explained by 4, 8, 16 ... latents by both methods, and the first latents."""
    at = [k for k in AT if k <= part.most]
    cells = [
        (Cell(row.name, f"norm {number(row.norm)}" + _rank(row)),
         *_shares({name: one.explained for name, one in row.methods.items()}, at), _first(row))
        for row in rows
    ]  # fmt: skip
    random: dict[Method, Sequence[float]] = {name: one.mean for name, one in part.random.items()}
    cells.append((Cell("random vectors", "mean"), *_shares(random, at), Cell("\u2013")))
    heads = ("Vector", *(f"{k} latents" for k in at), f"First {NAMED}, OMP")
    return Table(heads, tuple(cells), caption, stack=True)


def _rank(row: DecomposedVector) -> str:
    return f"; leading pair of {row.rank}" if row.rank > 1 else ""


def _first(row: DecomposedVector) -> Cell:
    omp, nnls = (", ".join(map(str, row.methods[name].latents[:NAMED])) for name in METHODS)
    return Cell(omp, f"NNLS: {nnls}")


def _shares(curves: Mapping[Method, Sequence[float]], at: Sequence[int]) -> list[Cell]:
    return [Cell(_share(curves["omp"], k), f"NNLS {_share(curves['nnls'], k)}", "num") for k in at]


def _share(curve: Sequence[float], at: int) -> str:
    """The share that so many latents explain; a curve that ended earlier keeps its last value."""
    return percent(curve[min(at, len(curve)) - 1], 0) if curve else "\u2013"


def activations(rows: Sequence[tuple[DecomposedVector, ThroughActivations]]) -> Table:
    """The same directions by the change of every latent's mean activation, and how far the two agree."""
    cells = tuple(
        (Cell(row.name), Cell(decimal(through.cosine, 3), kind="num"), Cell(percent(through.explained, 0), kind="num"),
         *(_agreement(row.methods[method].agreement) for method in METHODS),
         Cell(", ".join(map(str, through.latents[:NAMED]))))
        for row, through in rows
    )  # fmt: skip
    heads = ("Direction", "Cosine", "Explained", "Shared with OMP", "Shared with NNLS", f"Largest {NAMED} parts")
    return Table(heads, cells, "Through activations: change of each latent's mean times its decoder vector", stack=True)


def _agreement(one: ListAgreement | None) -> Cell:
    if one is None:
        return Cell("\u2013", kind="num")
    return Cell(percent(one.overlap, 0), f"chance {percent(one.chance, 0)}; same sign {percent(one.signs, 0)}", "num")
