"""Adapters scaled by role: the paper's arms at several doses, beside the same with the roles shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import (
    known,
    number,
    p_value,
    percent,
    points_cell,
    rate_cell,
    rate_text,
)
from misdirection.report.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import RateRow
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.arms import AdapterArm, AdjustedDifference, ArmKind, MarkedShare
from misdirection.studies.adapters.results.interventions import Scaling

LEAD = (
    "Each layer's adapter is multiplied by a factor of its own. If the split into general and domain-specific layers "
    "is right, the domain's layers alone give bad answers about the domain, the general ones alone bad answers about "
    "everything, and the domain's against the general ones good answers about the domain; the same factors dealt out "
    "to other layers (roles shuffled, grey) must not. The paper's factors are the largest dose; where they leave no "
    "language (few coherent answers), read the smaller ones."
)
COLOURS = {"base": BLUE, "untouched": VERMILLION, "domain": PURPLE, "general": ORANGE, "domain-aligned": GREEN}


@dataclass(frozen=True)
class Bar:
    """What a bar shows of an arm that is no row of findings."""

    arm: str
    label: str
    kind: ArmKind
    control: bool
    rate: RateRow
    coherent_share: RateRow | None
    difference: AdjustedDifference | None = None
    identical: float | None = None


def section(results: AdaptersResults) -> Section | None:
    """Bars of every arm, and a table with topic and relaxed labels."""
    part = results.adapter_scaling
    if not part or not part.arms:
        return None
    blocks: list[Block] = [
        *notes(part.words, part.notes),
        bars("adapter-scaling", "Misaligned and coherent answers to the open questions, by arm", part.arms),
    ]
    if inside := [row.inside for row in part.arms if row.inside]:
        blocks.append(bars("adapter-scaling-inside", f"The same on questions about the domain ({part.topic})", inside))
    blocks += [topics(part), paper(part.paper)]
    facts = tuple(
        (f"layers: {role}", ", ".join(layer for layer, one in part.roles.items() if one == role) or "none")
        for role in ("general", "domain", "neither")
    )
    facts += (("answers an arm", number(part.arms[0].rate.n)),)
    return Section("adapter-scaling", "Adapters scaled by role", LEAD, blocks, facts)


def notes(words: Sequence[str], missing: Sequence[str]) -> list[Block]:
    """What a part shows in plain words, and what the study could not do."""
    every = [*((text, "info") for text in words), *((text, "warn") for text in missing)]
    return [Note(f"{text[:1].upper()}{text[1:]}.", kind) for text, kind in every]


def paper(text: str) -> Note:
    """The paper's figures, in a line."""
    return Note(f"The paper (Qwen2.5-14B): {text}.")


def bars(key: str, title: str, arms: Sequence[AdapterArm | Bar]) -> Chart:
    """A bar for each arm's misaligned answers with its interval, and a diamond for its coherent ones."""
    kinds = [kind_of(row) for row in arms]
    traces: list[Any] = []
    for kind in dict.fromkeys(kinds):
        at = [i for i, k in enumerate(kinds) if k == kind and known(arms[i].rate.value)]
        if at:
            traces.append(_bars(kind, [arms[i] for i in at], at))
    at = list(range(len(arms)))
    hover = [
        f"coherent, {charts.plain_text(row.label)}<br>{percent(row.coherent_share and row.coherent_share.value)}"
        for row in arms
    ]
    traces.append(charts.points("coherent", [r.coherent_share for r in arms], at, "#B5A642", hover, "diamond-open"))
    untouched = next((r.rate.value for r in arms if r.kind == "untouched"), None)
    layout = {
        "xaxis": charts.share_axis("share of all answers", range=[0, 1.02]),
        "yaxis": charts.label_axis(len(arms)),
        "shapes": [charts.level(untouched, "x")] if known(untouched) else [],
        "bargap": 0.35,
        "showlegend": True,
    }
    return Chart(
        key,
        title,
        traces,
        layout,
        changes(arms),
        150 + 30 * len(arms),
        "Bars: misaligned, with the 95 % interval over questions. Diamonds: coherent. Dotted: the adapter as it is.",
        labels=tuple(row.label for row in arms),
        wide=True,
    )


def kind_of(row: AdapterArm | Bar) -> str:
    """What names the colour of an arm."""
    if row.control:
        return "control"
    if row.kind in ("base", "untouched"):
        return row.kind
    name = row.arm.rsplit("-", 1)[0]
    return name if name in COLOURS else "arm"


def _bars(kind: str, arms: Sequence[AdapterArm | Bar], at: Sequence[int]) -> charts.Trace:
    values = [row.rate.value for row in arms]
    low, high = [row.rate.low for row in arms], [row.rate.high for row in arms]
    return {
        "type": "bar",
        "orientation": "h",
        "name": {"untouched": "adapter as it is", "domain-aligned": "domain, aligned"}.get(kind, kind),
        "x": values,
        "y": list(at),
        "width": 0.6,
        "error_x": charts.errors(values, low, high, "ink"),
        "marker": {
            "color": COLOURS.get(kind, GREY if kind == "control" else BLUE),
            "opacity": 0.85,
            "pattern": {"shape": "/" if kind == "control" else "", "fillmode": "overlay", "fgcolor": "#fff",
                        "fgopacity": 0.6},
        },
        "text": [f"<b>{charts.plain_text(row.label)}</b><br>{rate_text(row.rate)}" for row in arms],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def changes(arms: Sequence[AdapterArm | Bar]) -> Table:
    """Rates, coherence and the paired change against the adapter as it is."""
    columns = ("Arm", "Misaligned", "Coherent", "Difference, points", "p, adjusted", "Same words")
    return Table(columns, tuple(map(_change, arms)), stack=True)


def _change(row: AdapterArm | Bar) -> tuple[Cell, ...]:
    kind, change = kind_of(row), row.difference
    p = None if change is None else change.p if change.p_adjusted is None else change.p_adjusted
    return (
        Cell(row.label, "control" if row.control else "",
             colour=COLOURS.get(kind, GREY if kind == "control" else BLUE)),
        rate_cell(row.rate),
        rate_cell(row.coherent_share),
        points_cell(change),
        Cell(p_value(p), kind="num"),
        Cell(percent(row.identical, 0), kind="num"),
    )  # fmt: skip


def topics(part: Scaling) -> Table:
    """The paper's labels for scaled adapters, and what the answers are about."""
    topic = part.topic
    columns = ("Arm", "Misaligned (relaxed)", f"... and {topic}", "Aligned", f"of these {topic}")
    rows = tuple(
        (Cell(row.label), *map(_marked, (row.misaligned_relaxed, row.misaligned_topic, row.aligned, row.aligned_topic)))
        for row in part.arms
    )
    caption = (
        f"Open questions by the paper's relaxed labels (coherence from 25, aligned from 70), and the topic {topic}"
    )
    return Table(columns, rows, caption, stack=True)


def _marked(share: MarkedShare | None) -> Cell:
    return rate_cell(share and vars(share))
