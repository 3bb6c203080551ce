"""Directions of single topics: how alike they are, what steering with each does, and which topics it elicits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, group_name
from misdirection.report.numbers import DASH, decimal, known, number, percent, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREY, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import RateRow
from misdirection.studies.semantic.results import Elicited, Semantic, SemanticResults, Similarity, SteeredArm

LEAD = (
    "A direction for each topic, from the answers about it and from those that are not, beside the general one from "
    "the open questions. If misalignment is one thing, the cosines are high and each direction misaligns everything; a "
    "direction of one domain alone would misalign that domain and leave the open questions as they are."
)


def section(results: SemanticResults) -> Section:
    """Cosines by layer, rates under steering, and the topics of what is elicited."""
    part = results.semantic
    blocks: list[Block] = [similarity(part), steering(part), rates(part), topics(part)]
    blocks += [Note(f"The paper (Qwen2.5-14B, layer 24): {text}.") for text in part.paper.values()]
    told = (("steered at layer", number(part.layer)), ("topics known by", part.filter))
    return Section(
        "semantic", "Directions of single topics", LEAD, blocks, told + facts(results, "samples per question")
    )


def similarity(part: Semantic) -> Chart:
    """Cosine of each direction with the general one, by layer."""
    found, at = part.similarity, part.layer
    traces: list[Any] = []
    for row, colour, dash in zip(found, *_looks(found), strict=True):
        layers = list(range(len(row.cosine)))
        look = {"color": colour, "dash": dash, "width": 2}
        traces.append(charts.line(row.direction, layers, row.cosine, colour, line=look))
    shapes = [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper",
               "line": {"color": GREY, "dash": "dot", "width": 1}}]  # fmt: skip
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine with the general direction", range=[-1.05, 1.05], zeroline=True),
        "shapes": shapes,
        "showlegend": True,
    }
    cells = tuple(
        (Cell(r.direction), Cell(_pools(r)), Cell(decimal(r.cosine[at]), kind="num"),
         Cell(decimal(max(filter(known, r.cosine), default=None)), kind="num"),
         Cell(decimal(r.difference[at]), kind="num"))
        for r in found
    )  # fmt: skip
    heads = (
        "Direction",
        "Answers in its pools",
        f"Cosine, layer {at}",
        "Highest cosine",
        "Norm of difference / general's",
    )
    return Chart(
        "semantic-cosines", "Cosine with the general direction, by layer", traces, layout, Table(heads, cells), 380,
        wide=True,
    )  # fmt: skip


def _looks(found: Sequence[Similarity]) -> tuple[list[str], list[str]]:
    """A colour a topic, solid for the topic itself, dashed for what is not about it, dotted for the domain-only."""
    names = list(dict.fromkeys(_topic(row) for row in found if row.direction != "random"))
    colours = [
        GREY if row.direction == "random" else CATEGORIES[names.index(_topic(row)) % len(CATEGORIES)] for row in found
    ]
    dashes = ["dot" if _only(row) else "dash" if row.direction.startswith("not ") else "solid" for row in found]
    return colours, dashes


def _topic(row: Similarity) -> str:
    return row.direction.removeprefix("not ").removesuffix(" only")


def _only(row: Similarity) -> bool:
    return row.direction.endswith(" only") or row.direction == "random"


def _pools(row: Similarity) -> str:
    if row.pools.misaligned is None or row.direction == "random":
        return DASH
    return f"{number(row.pools.misaligned)} misaligned, {number(row.pools.aligned)} aligned"


def steering(part: Semantic) -> Chart:
    """Rates of every arm, a marker for each group of questions."""
    arms, groups = part.arms, _groups(part.arms)
    traces: list[Any] = []
    colours = (VERMILLION, BLUE, *CATEGORIES)
    for i, group in enumerate(groups):
        at = [j for j, arm in enumerate(arms) if group in arm.groups]
        held = [arms[j].groups[group].rate for j in at]
        hover = [_hover(arms[j], group, rate) for j, rate in zip(at, held, strict=True)]
        offset = [j + (i - (len(groups) - 1) / 2) * 0.16 for j in at]
        traces.append(charts.points(group_name(group), held, offset, colours[i], hover, SYMBOLS[i]))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(arms)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(arm.label), *(rate_cell(arm.groups[g].rate if g in arm.groups else None) for g in groups)) for arm in arms
    )
    return Chart(
        "semantic-steering", "Misaligned answers under each direction", traces, layout,
        Table(("Arm", *(group_name(g) for g in groups)), cells), 150 + 52 * len(arms),
        labels=tuple(arm.label for arm in arms), wide=True,
        caption="Open and in-domain questions are never pooled. Each direction has the general one's norm.",
    )  # fmt: skip


def _groups(arms: Sequence[SteeredArm]) -> list[str]:
    return sorted({group for arm in arms for group in arm.groups}, key=lambda group: (group != "open", group))


def _hover(arm: SteeredArm, group: str, rate: RateRow) -> str:
    return f"<b>{charts.plain_text(arm.label)}</b><br>{group}: {percent(rate.value)}"


def rates(part: Semantic) -> Table:
    """Coherence of every arm."""
    groups = _groups(part.arms)
    cells = tuple(
        (Cell(arm.label, "control" if arm.control else ""),
         *(rate_cell(arm.groups[g].coherent_share if g in arm.groups else None) for g in groups))
        for arm in part.arms
    )  # fmt: skip
    return Table(("Coherent answers", *(group_name(g) for g in groups)), cells, stack=True)


def topics(part: Semantic) -> Table:
    """Of the misaligned answers of each arm, how many are about each topic."""
    body: list[tuple[Cell, ...]] = []
    for arm in part.arms:
        held = {row.topic: row for row in arm.elicited}
        body.append((Cell(arm.label), *(_about(held.get(name)) for name in part.topics)))
    heads = ("Misaligned answers outside of the topic's own questions", *(f"about {name}" for name in part.topics))
    return Table(heads, tuple(body), "Topics of what is elicited", stack=True)


def _about(row: Elicited | None) -> Cell:
    if row is None or not row.elsewhere_n:
        return Cell(DASH, kind="num")
    mean = "" if row.elsewhere_mean is None else f"mean score {decimal(row.elsewhere_mean, 0)}"
    return Cell(f"{row.elsewhere_about} of {row.elsewhere_n}", mean, "num")


SECTIONS = (Entry("Directions of single topics", ("semantic",), True, section, ("semantic",), SemanticResults),)
