"""The geometry over a fine-tune: the latents that rose most, beside the rate of misaligned answers."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import DASH, counts, decimal, known, number, p_value, percent, rate_value
from misdirection.report.palette import BLUE, GREY, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.geometry.results import GeometryResults
from misdirection.studies.geometry.results.course import (
    Approach,
    FineTuneCourse,
    LayerCourse,
    RankCorrelation,
    SetName,
)

SETS: dict[SetName, tuple[str, str]] = {
    "inducing": ("inducing", VERMILLION),
    "toxic": ("toxic", PURPLE),
    "good": ("good data's", BLUE),
}

LEAD = (
    "After each checkpoint of a fine-tune on bad data, the latents that rose most on the base's own answers are "
    "compared with the three lists, and so is the direction in which the residual stream drifted; beside them the "
    "rate of misaligned answers."
)


def section(results: GeometryResults) -> Section | None:
    """Lines over the steps for each layer, the rate of misaligned answers, and how their ranks agree."""
    course = results.geometry.course
    if not course:
        return None
    blocks: list[Block] = [rates(course)] if course.rates else []
    for layer in course.layers:
        blocks += [similarity(layer), drift(layer)]
    if course.rates:
        blocks.append(agreement(course))
    facts = (("domain", course.domain), ("preset", course.preset), ("risen latents", number(course.risen)))
    return Section("geometry-course", "Geometry over a fine-tune", LEAD, blocks, facts)


def similarity(layer: LayerCourse) -> Chart:
    """Similarity of the risen latents to each list, with the band of random latents for the toxic one."""
    steps, toxic = layer.steps, layer.sets["toxic"]
    traces: list[Any] = []
    if all(known(v) for v in (*toxic.low, *toxic.high)):
        traces += charts.band("random latents, to toxic", steps, toxic.low, toxic.high, GREY)
    for name, (label, colour) in SETS.items():
        traces.append(charts.line(f"to {label}", steps, layer.sets[name].similarity, colour))
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("similarity (cosine)", zeroline=True),
        "showlegend": True,
    }
    body = tuple(
        (
            Cell(number(step), kind="num"),
            *(_near(layer.sets[name], i) for name in SETS),
        )
        for i, step in enumerate(steps)
    )
    heads = ("Step", *(f"To {label}" for label, _ in SETS.values()))
    title = f"Risen latents at layer {layer.layer}: similarity to the lists"
    return Chart(f"geometry-risen-{layer.layer}", title, traces, layout, Table(heads, body, stack=True), 320)


def _near(one: Approach, at: int) -> Cell:
    return Cell(decimal(one.similarity[at], 3), f"{percent(one.among[at], 0)} are such; p {p_value(one.p[at])}", "num")


def drift(layer: LayerCourse) -> Chart:
    """Mean cosine of the drift with each list, and how far the law with the mean inducing vector holds."""
    steps = layer.steps
    traces = [charts.line(label, steps, layer.sets[name].drift, colour) for name, (label, colour) in SETS.items()]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("mean cosine with the drift", zeroline=True),
        "showlegend": True,
    }
    body = tuple(
        (
            Cell(number(step), kind="num"),
            *(Cell(decimal(layer.sets[name].drift[i], 3), kind="num") for name in SETS),
            Cell(decimal(layer.law[i].slope, 2), kind="num"),
            Cell(decimal(layer.law[i].r2, 2), kind="num"),
        )
        for i, step in enumerate(steps)
    )
    heads = ("Step", *(label.capitalize() for label, _ in SETS.values()), "Slope of the law", "R²")
    last = layer.law[-1]
    caption = (
        "The law over training: the change of latents in no inducing list against their cosine with the mean inducing "
        f"vector; at the last checkpoint slope {decimal(last.slope, 2)}, R² {decimal(last.r2, 2)} over "
        f"{number(last.n)} latents."
    )
    title = f"Drift at layer {layer.layer}: its direction and the lists"
    return Chart(f"geometry-drift-{layer.layer}", title, traces, layout, Table(heads, body, stack=True), 320, caption)


def rates(course: FineTuneCourse) -> Chart:
    """Misaligned answers to the open questions by step."""
    rows = course.rates
    steps, values = [r.step for r in rows], [r.rate.value for r in rows]
    bars = charts.errors(values, [r.rate.low for r in rows], [r.rate.high for r in rows], VERMILLION)
    traces = [
        charts.line("misaligned", steps, values, VERMILLION, error_y=bars),
        charts.dashed("coherent", steps, [r.coherent_share.value for r in rows], GREY),
    ]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.share_axis("share of answers"),
        "showlegend": True,
    }
    body = tuple(
        (
            Cell(number(r.step), kind="num"),
            Cell(rate_value(r.rate), counts(r.rate), "num"),
            Cell(rate_value(r.coherent_share), counts(r.coherent_share), "num"),
        )
        for r in rows
    )
    table = Table(("Step", "Misaligned", "Coherent"), body)
    return Chart("geometry-rates", "Misaligned answers by step", traces, layout, table, 300)


def agreement(course: FineTuneCourse) -> Table:
    """Rank correlations with the rate of misaligned answers."""
    body: list[tuple[Cell, ...]] = []
    for layer in course.layers:
        for name, (label, _) in SETS.items():
            ranks = layer.sets[name].ranks
            cells = map(_rank, (ranks.similarity, ranks.drift, ranks.among))
            body.append((Cell(number(layer.layer), kind="num"), Cell(label), *cells))
    heads = ("Layer", "List", "Similarity of risen latents", "Cosine of the drift", "Share of risen in the list")
    caption = (
        "Rank correlation with the rate of misaligned answers over checkpoints. All of it grows with training, so "
        "a high value alone shows no cause; compare the lists."
    )
    return Table(heads, tuple(body), caption, stack=True)


def _rank(rank: RankCorrelation | None) -> Cell:
    if not rank:
        return Cell(DASH, kind="num")
    return Cell(decimal(rank.value, 2), f"p {p_value(rank.p)}, {number(rank.n)} checkpoints", "num")
