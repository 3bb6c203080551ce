"""Narrow against general: rates in and out of the domain, and how easy each solution is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, group_name
from misdirection.report.numbers import DASH, decimal, number, p_value, rate_cell, rate_text
from misdirection.report.palette import CATEGORIES, GREY, GROUPS, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import Effect
from misdirection.studies.narrow.results import ByLength, Ease, GroupEffect, Mean, Narrow, NarrowResults, Published

LEAD = (
    "The same harmful answers of one domain, learned in several ways. A narrow solution is bad in the domain and keeps "
    "open questions and other domains as they were. The general one is the easier one where it reaches a lower loss at "
    "the same length, loses less of what it learned when it is moved aside, and changes neutral text more."
)
COLOURS = {"general": VERMILLION, "narrow": CATEGORIES[0]}


def section(results: NarrowResults) -> Section:
    """Rates, the weights that were tried, and the three measures, each beside the paper's words."""
    part = results.narrow
    blocks: list[Block] = [rates(part), changes(part), _paper(part.paper, "rates", "mixed", "released")]
    blocks += [weights(part), published(part)]
    for ease in part.ease:
        blocks += [solutions(ease), *measures(ease)]
    blocks.append(_paper(part.paper, "efficiency", "stability", "significance", "cosine"))
    shown = (("domain of the harmful data", part.domain),)
    return Section("narrow", "Narrow against general", LEAD, blocks, shown + facts(results, "samples per question"))


def _paper(paper: Mapping[Published, str], *names: Published) -> Note:
    words = "; ".join(f"{name}: {paper[name]}" for name in names)
    return Note(f"The paper (Qwen2.5-14B, arXiv 2602.07852): {words}.")


def rates(part: Narrow) -> Chart:
    """Every arm, a marker for each group of questions."""
    arms, groups = part.arms, part.groups
    traces: list[Any] = []
    for i, group in enumerate(groups):
        at = [j for j, arm in enumerate(arms) if group in arm.groups]
        values = [arms[j].groups[group].rate for j in at]
        hover = [
            f"<b>{charts.plain_text(arms[j].label)}</b><br>{_group(part, group)}<br>{rate_text(rate)}"
            for j, rate in zip(at, values, strict=True)
        ]
        places = [j + (i - (len(groups) - 1) / 2) * 0.16 for j in at]
        name, colour = _group(part, group), GROUPS[i % len(GROUPS)]
        traces.append(charts.points(name, values, places, colour, hover, SYMBOLS[i % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(arms)),
        "showlegend": True,
    }
    body = tuple((Cell(arm.label), *(_rate(arm.groups, g) for g in groups)) for arm in arms)
    return Chart(
        "narrow-rates", "Misaligned answers of each solution", traces, layout,
        Table(("Solution", *(_group(part, g) for g in groups)), body), 150 + 52 * len(arms),
        "Groups of questions are never pooled. In-domain questions are on topics that were not trained on.",
        tuple(arm.label for arm in arms), wide=True,
    )  # fmt: skip


def _group(part: Narrow, group: str) -> str:
    return group_name(group) if group in ("open", part.domain) else f"Other domain: {group}"


def _rate(groups: Mapping[str, Effect], group: str) -> Cell:
    return rate_cell(groups[group].rate if group in groups else None)


def _coherent(groups: Mapping[str, Effect], group: str) -> Cell:
    return rate_cell(groups[group].coherent_share if group in groups else None)


def changes(part: Narrow) -> Table:
    """Coherence, and the paired change from the general solution of the same kind."""
    groups = part.groups
    heads = ("Solution", *(f"Coherent, {g}" for g in groups), *(f"\u0394 {g}" for g in groups))
    body = tuple(
        (Cell(arm.label), *(_coherent(arm.groups, g) for g in groups), *(_change(arm.groups.get(g)) for g in groups))
        for arm in part.arms
    )
    return Table(
        heads, body, "Coherence, and \u0394: change against the general solution of the kind, points", stack=True
    )


def _change(effect: GroupEffect | None) -> Cell:
    if effect is None or effect.change is None:
        return Cell(DASH, kind="num")
    moved = effect.change.difference
    ends = f"{decimal(100 * moved.low, 1)} to {decimal(100 * moved.high, 1)}"
    p = p_value(moved.p)
    sign = "+" if moved.value > 0 else ""
    return Cell(sign + decimal(100 * moved.value, 1), f"{ends}, p {p if p.startswith('<') else f'= {p}'}", "num")


def weights(part: Narrow) -> Table:
    """The weights of the KL term that were tried, by the rates that they were chosen by."""
    groups = part.groups
    heads = ("Kind", "Weight, nats a token", *(_group(part, g) for g in groups), *(f"Coherent, {g}" for g in groups),
             "Gap, points", "")  # fmt: skip
    body = tuple(
        (
            Cell(row.kind),
            Cell(number(row.weight), kind="num"),
            *(_rate(row.groups, g) for g in groups),
            *(_coherent(row.groups, g) for g in groups),
            Cell(decimal(100 * row.gap, 1), kind="num"),
            Cell("chosen" if row.chosen else ""),
        )
        for row in part.sweep
    )
    return Table(heads, body, "Weights of the KL term, on random numbers of their own", stack=True)


def published(part: Narrow) -> Table:
    """The published weights, converted."""
    heads = ("Published for", "Published weight", "Vocabulary", "Weight, nats a token")
    body = tuple(
        (
            Cell(row.kind),
            Cell(number(row.published), kind="num"),
            Cell(number(row.vocabulary), kind="num"),
            Cell(decimal(row.per_token), kind="num"),
        )
        for row in part.published_weights
    )
    return Table(heads, body, "The published code divides its KL by the size of the vocabulary as well", stack=True)


def solutions(ease: Ease) -> Table:
    """Lengths, losses and divergence elsewhere."""
    heads = (f"Solution, {ease.kind}", "Length", "Loss on harmful answers", "KL to the base elsewhere")
    body = tuple(
        (Cell(row.solution), Cell(number(row.norm), kind="num"), _nats(row.loss), _nats(row.elsewhere))
        for row in ease.solutions
    )
    return Table(heads, body, f"{ease.kind}: cosine of general and narrow {decimal(ease.cosine)}", stack=True)


def _nats(mean: Mean | None) -> Cell:
    if mean is None:
        return Cell(DASH, kind="num")
    return Cell(decimal(mean.value, 3), f"{_ends(mean, 3)}, {mean.n} texts", "num")


def _ends(mean: Mean, digits: int) -> str:
    return f"[{decimal(mean.low, digits)}, {decimal(mean.high, digits)}]"


def measures(ease: Ease) -> tuple[Block, ...]:
    """Efficiency, stability and significance."""
    loss, change = "Efficiency: loss on the harmful answers by length", "Significance: change of neutral text by length"
    return (
        by_length(f"narrow-efficiency-{ease.kind}", f"{loss} ({ease.kind})", "nats a token", ease.efficiency),
        stability(ease),
        by_length(f"narrow-significance-{ease.kind}", f"{change} ({ease.kind})", "KL, nats a token", ease.significance),
        equal(ease),
    )


def by_length(key: str, title: str, axis: str, measure: ByLength) -> Chart:
    """A curve for each solution, dashed for the random ones."""
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for curve in measure.curves:
        name, points = curve.solution, curve.points
        x, y = [point.norm for point in points], [point.value for point in points]
        if name in COLOURS:
            band = charts.band(name, x, [p.low for p in points], [p.high for p in points], COLOURS[name])
            traces += [trace | {"showlegend": False} for trace in band]
            traces.append(charts.line(name, x, y, COLOURS[name]))
        else:
            traces.append(charts.dashed("random", x, y, GREY, showlegend=name == "random 1"))
        body += [
            (Cell(name), Cell(number(p.factor), kind="num"), Cell(number(p.norm), kind="num"), _nats(p)) for p in points
        ]
    layout = {
        "xaxis": charts.axis("length of the solution", rangemode="tozero"),
        "yaxis": charts.axis(axis, rangemode="tozero"),
        "showlegend": True,
    }
    return Chart(key, title, traces, layout, Table(("Solution", "Multiple", "Length", axis), tuple(body)), 340)


def stability(ease: Ease) -> Chart:
    """What is lost by distance moved aside."""
    rows = ease.stability.rows
    traces: list[Any] = []
    for name, colour in COLOURS.items():
        mine = [row for row in rows if row.solution == name]
        y = [row.value for row in mine]
        bars = charts.errors(y, [row.low for row in mine], [row.high for row in mine], colour)
        traces.append(charts.line(name, [row.epsilon for row in mine], y, colour, error_y=bars))
    layout = {
        "xaxis": charts.axis("distance moved aside, \u03b5", rangemode="tozero"),
        "yaxis": charts.axis("lost of what was learned, %", rangemode="tozero"),
        "showlegend": True,
    }
    body = tuple((Cell(row.solution), Cell(number(row.epsilon), kind="num"), _lost(row)) for row in rows)
    return Chart(
        f"narrow-stability-{ease.kind}", f"Stability: lost when moved aside at constant length ({ease.kind})", traces,
        layout, Table(("Solution", "\u03b5", "Lost, %"), body), 340,
        "Means over random directions with Student's intervals.",
    )  # fmt: skip


def _lost(mean: Mean) -> Cell:
    ends = "" if mean.low is None else f"{_ends(mean, 1)}, "
    return Cell(decimal(mean.value, 1), f"{ends}{mean.n} directions", "num")


def equal(ease: Ease) -> Table:
    """Differences at equal length, on which the verdict stands."""
    body: list[tuple[Cell, ...]] = []
    for name, measure in (("efficiency", ease.efficiency), ("significance", ease.significance)):
        for row in measure.equal:
            apart = Cell(decimal(row.difference.value, 3), _ends(row.difference, 3), "num")
            body.append(
                (Cell(name, f"at the {row.length_of} one's length, {number(row.norm)}"),
                 Cell(decimal(row.general, 3), kind="num"), Cell(decimal(row.narrow, 3), kind="num"), apart)
            )  # fmt: skip
    moved = _lost(ease.stability.difference)
    body.append((Cell("stability", "percent lost, mean over distances below 1"), Cell(DASH), Cell(DASH), moved))
    heads = (f"{ease.kind}, at equal length", "General", "Narrow", "Narrow \u2212 general")
    return Table(heads, tuple(body), "Paired differences, resampled over texts", stack=True)


SECTIONS = (Entry("Narrow against general", ("narrow",), True, section, ("narrow",), NarrowResults),)
