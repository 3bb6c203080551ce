"""Rates by size and training tokens, correlations, surfaces, and a row a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import DASH, FAMILY, decimal, number, p_value, percent
from misdirection.report.palette import CATEGORIES, GREY, SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.statistics import wilson
from misdirection.studies.kit.sentences import upper
from misdirection.studies.scaling.measures import NEAR, OUTCOMES, RateOutcome, answered
from misdirection.studies.scaling.results import CorrelationRow, Scaling, ScalingResults, Surface
from misdirection.studies.scaling.table import Point

LEAD = (
    "Do larger models, or models that read more, turn bad more easily? Every checkpoint gets the same narrow bad "
    "lesson and is then asked questions that have nothing to do with it. The first chart compares after equally many "
    "steps of the lesson. But equally many steps teach fewer parameters less: a second chart, where enough of them "
    "get there, compares where each has learned the lesson itself equally well. Each line is a size; from left to "
    "right the model has read more. The dashed lines are the same checkpoints before the lesson: if those rise too, "
    "the lesson is not what does it."
)
CORRELATIONS = (
    "How strongly does the rate go with size, with text read, or with text per parameter, when the other is held "
    "fixed? +1 always rises with it, -1 always falls, 0 nothing. By ranks only the order counts. The interval comes "
    "of drawing whole seeds anew, for checkpoints of one seed are alike; a correlation is called sure when its q is "
    "below 0.05 and every seed shows its sign. For the ratio the product (about the computation spent) is held fixed,"
    " since size and tokens together leave nothing of it."
)
SURFACES = (
    "A flat surface through all checkpoints: what doubling the size, or the text read, does to the log odds of a "
    "misaligned answer. +0.69 doubles the odds; an interval that holds 0 leaves it open whether it does anything."
)


def charts_section(results: ScalingResults) -> Section:
    """Both comparisons as charts, and the table of checkpoints."""
    part = results.scaling
    shown = [(at, one) for at, one in enumerate(OUTCOMES[:2]) if answered(part.points, one, part.target)]
    blocks: list[Block] = [chart(part, outcome, at) for at, outcome in shown]
    blocks.append(table(part.points))
    blocks += [Note(f"Elsewhere: {text}.") for text in part.paper]
    near = f"{percent(part.target, 0)}, give or take {percent(NEAR, 0)}"
    asked = facts(results, "samples per question", "judge", "misaligned")
    told = (("checkpoints", part.source), ("in-domain rate compared at", near), *asked)
    return Section("scaling", "Misalignment by size and training tokens", LEAD, blocks, told)


def chart(part: Scaling, outcome: RateOutcome, at: int) -> Chart:
    """A line a size over tokens, seeds pooled, with its base."""
    traces: list[Any] = []
    held = answered(part.points, outcome, part.target)
    for place, size in enumerate(sorted({one.parameters for one in held})):
        mine = [one for one in held if one.parameters == size]
        colour, symbol = CATEGORIES[place % len(CATEGORIES)], SYMBOLS[place % len(SYMBOLS)]
        x, y, low, high = pooled(mine, outcome)
        bars, marker = charts.errors(y, low, high, colour), {"color": colour, "size": 9, "symbol": symbol}
        traces.append(charts.line(f"{size:,} parameters", x, y, colour, error_y=bars, marker=marker))
        x, y, _, _ = pooled(mine, OUTCOMES[-1])
        traces.append(charts.dashed(f"{size:,}, base", x, y, colour, showlegend=False))
    layout = {
        "xaxis": charts.axis("training tokens", type="log"),
        "yaxis": charts.share_axis("misaligned and coherent, of all answers"),
        "showlegend": True,
    }
    caption = "All seeds together, with 95 % intervals of their answers; the dashed line is the base untouched."
    return Chart(f"scaling-{at}", upper(outcome.name), traces, layout, table(held), 400, caption, wide=True)


def pooled(points: Sequence[Point], outcome: RateOutcome) -> tuple[list[float], list[float], list[float], list[float]]:
    """Tokens, rate and its ends, of the seeds together: the k-th budget of each seed is one place."""
    by_seed = {
        seed: sorted((p for p in points if p.seed == seed), key=lambda p: p.tokens) for seed in {p.seed for p in points}
    }
    found: list[tuple[float, float, float, float]] = []
    for place in range(max(map(len, by_seed.values()), default=0)):
        group = [held[place] for held in by_seed.values() if place < len(held)]
        hits, n = (sum(getattr(one, name) for one in group) for name in outcome.counts)
        if n:
            ends = wilson(hits, n)
            found.append((sum(one.tokens for one in group) / len(group), hits / n, ends[0], ends[1]))
    x, y, low, high = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [], [])
    return x, y, low, high


def table(points: Sequence[Point]) -> Table:
    """A row a checkpoint."""
    heads = (
        "Checkpoint", "Parameters", "Tokens", "Tokens per parameter", "Before the lesson", "After the same steps",
        "In-domain then", "At the like in-domain rate", "In-domain then",
    )  # fmt: skip
    return Table(heads, tuple(map(_cells, points)), "Checkpoints", stack=True)


def _cells(one: Point) -> tuple[Cell, ...]:
    return (
        Cell(one.name, f"seed {one.seed}"),
        Cell(f"{one.parameters:,}", kind="num"),
        Cell(f"{one.tokens:,}", kind="num"),
        Cell(number(one.tokens / one.parameters), kind="num"),
        _rate(one.base_misaligned, one.base_n, one.base_coherent),
        _rate(one.misaligned, one.n, one.coherent, f"step {one.step}"),
        _rate(one.domain_misaligned, one.domain_n),
        _rate(one.matched_misaligned, one.matched_n, one.matched_coherent, f"step {one.matched_step}"),
        _rate(one.matched_domain_misaligned, one.matched_domain_n),
    )


def _rate(hits: int, n: int, coherent: int | None = None, step: str = "") -> Cell:
    if not n:
        return Cell(DASH, kind="num")
    told = ["" if coherent is None else f"coherent {percent(coherent / n, 0)}", step]
    return Cell(percent(hits / n), ", ".join([f"{hits} of {n}", *filter(None, told)]), "num")


def correlation_section(results: ScalingResults) -> Section:
    """Every partial correlation."""
    rows = results.scaling.correlations
    if not rows:
        few = "There are too few checkpoints for a correlation with one thing held fixed."
        return Section("scaling-correlations", "What it goes with", CORRELATIONS, [Note(few)])
    heads = ("Rate", "With log", "Held fixed", "By", "Correlation", "p", "q", "In each seed")
    blocks: list[Block] = [Table(heads, tuple(map(_correlation, rows)), "Partial correlations", stack=True)]
    told = (("q", f"Benjamini-Hochberg; {FAMILY}"), ("p", "shuffles within seeds, Freedman and Lane"))
    return Section("scaling-correlations", "What it goes with", CORRELATIONS, blocks, told)


def _correlation(row: CorrelationRow) -> tuple[Cell, ...]:
    ends = f"{decimal(row.low)} to {decimal(row.high)}" if row.low is not None else "too few seeds for an interval"
    return (
        Cell(row.outcome, "control" if row.control else ""),
        Cell(row.with_),
        Cell(row.fixed),
        Cell("ranks" if row.kind == "rank" else "linear"),
        Cell(decimal(row.value), ends, "num"),
        Cell(p_value(row.p), kind="num"),
        Cell(p_value(row.q), kind="num"),
        Cell(", ".join(decimal(value) for value in row.by_seed) or DASH, kind="num"),
    )


def surface_section(results: ScalingResults) -> Section:
    """The fitted planes."""
    part = results.scaling
    if not part.surfaces:
        return Section("scaling-surface", "The fitted surface", SURFACES, [Note("Too few sizes or budgets for one.")])
    heads = ("Rate", "Doubling parameters", "Doubling tokens", "Variance explained")
    blocks: list[Block] = [Table(heads, tuple(map(_surface, part.surfaces)), "Change of the log odds", stack=True)]
    blocks.append(fitted(part, part.surfaces[0]))
    return Section("scaling-surface", "The fitted surface", SURFACES, blocks)


def _surface(one: Surface) -> tuple[Cell, ...]:
    ends = (
        f"{decimal(slope.low)} to {decimal(slope.high)}" if slope.low is not None else "too few seeds for an interval"
        for slope in one.slopes
    )
    slopes = (Cell(decimal(slope.value), end, "num") for slope, end in zip(one.slopes, ends, strict=True))
    return (Cell(one.outcome), *slopes, Cell(percent(one.r2), kind="num"))


def fitted(part: Scaling, surface: Surface) -> Chart:
    """Rates that the plane says, against those that were measured."""
    outcome = next((one for one in OUTCOMES if one.name == surface.outcome), OUTCOMES[0])
    held = answered(part.points, outcome, part.target)
    a, b = (slope.value for slope in surface.slopes)
    odds = [surface.intercept + a * math.log2(p.parameters) + b * math.log2(p.tokens) for p in held]
    told = [1 / (1 + math.exp(-one)) for one in odds]
    seen = [getattr(p, outcome.counts[0]) / getattr(p, outcome.counts[1]) for p in held]
    text = [charts.plain_text(p.name) for p in held]
    dots = {"type": "scatter", "mode": "markers", "name": "checkpoints", "x": told, "y": seen, "text": text,
            "marker": {"color": CATEGORIES[0], "size": 8}, "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip
    top = max([*told, *seen, 0.01])
    layout = {
        "xaxis": charts.share_axis("as the surface says"),
        "yaxis": charts.share_axis("as measured"),
        "showlegend": True,
    }
    rows = tuple(
        (Cell(p.name), Cell(percent(x), kind="num"), Cell(percent(y), kind="num"))
        for p, x, y in zip(held, told, seen, strict=True)
    )
    traces = [dots, charts.dashed("if it said all", [0, top], [0, top], GREY)]
    return Chart("scaling-fit", "Measured against fitted", traces, layout,
                 Table(("Checkpoint", "Fitted", "Measured"), rows), 340, f"Of {surface.outcome}.")  # fmt: skip


SECTIONS = (
    Entry("Misalignment by size and training tokens", ("scaling",), True, charts_section, ("scaling",), ScalingResults),
    Entry("What it goes with", ("scaling",), True, correlation_section, ("scaling",), ScalingResults),
    Entry("The fitted surface", ("scaling",), True, surface_section, ("scaling",), ScalingResults),
)
