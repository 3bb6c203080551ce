"""Directions of single topics: how alike they are, what steering with each does, and which topics it elicits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, group_name
from misdirection.report.numbers import decimal, known, number, percent, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREY, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Findings, Note, Section, Table

LEAD = (
    "A direction for each topic, from the answers about it and from those that are not, beside the general one from "
    "the open questions. If misalignment is one thing, the cosines are high and each direction misaligns everything; a "
    "direction of one domain alone would misalign that domain and leave the open questions as they are."
)


def section(findings: Findings) -> Section | None:
    """Cosines by layer, rates under steering, and the topics of what is elicited."""
    part: Row | None = findings.get("semantic")
    if not part:
        return None
    blocks: list[Block] = [similarity(part), steering(part), rates(part), topics(part)]
    paper: Mapping[str, str] = part.get("paper") or {}
    blocks += [Note(f"The paper (Qwen2.5-14B, layer 24): {text}.") for text in paper.values()]
    told = (("steered at layer", number(part.get("layer"))), ("topics known by", str(part.get("filter"))))
    return Section(
        "semantic", "Directions of single topics", LEAD, blocks, told + facts(findings, "samples per question")
    )


def similarity(part: Row) -> Chart:
    """Cosine of each direction with the general one, by layer."""
    found: Sequence[Row] = part.get("similarity") or []
    traces: list[Any] = []
    for row, colour, dash in zip(found, *_looks(found), strict=True):
        layers = list(range(len(row["cosine"])))
        traces.append(
            charts.line(
                str(row["direction"]), layers, row["cosine"], colour, line={"color": colour, "dash": dash, "width": 2}
            )
        )
    shapes = [{"type": "line", "x0": part["layer"], "x1": part["layer"], "y0": 0, "y1": 1, "yref": "paper",
               "line": {"color": GREY, "dash": "dot", "width": 1}}]  # fmt: skip
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine with the general direction", range=[-1.05, 1.05], zeroline=True),
        "shapes": shapes,
        "showlegend": True,
    }
    at = part["layer"]
    cells = tuple(
        (Cell(str(r["direction"])), Cell(_pools(r)), Cell(decimal(r["cosine"][at]), kind="num"),
         Cell(decimal(max(r["cosine"])), kind="num"), Cell(decimal(r["difference"][at]), kind="num"))
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


def _looks(found: Sequence[Row]) -> tuple[list[str], list[str]]:
    """A colour a topic, solid for the topic itself, dashed for what is not about it, dotted for the domain-only."""
    names = list(dict.fromkeys(_topic(row) for row in found if row["direction"] != "random"))
    colours = [
        GREY if row["direction"] == "random" else CATEGORIES[names.index(_topic(row)) % len(CATEGORIES)]
        for row in found
    ]
    dashes = ["dot" if _only(row) else "dash" if str(row["direction"]).startswith("not ") else "solid" for row in found]
    return colours, dashes


def _topic(row: Row) -> str:
    return str(row["direction"]).removeprefix("not ").removesuffix(" only")


def _only(row: Row) -> bool:
    return str(row["direction"]).endswith(" only") or row["direction"] == "random"


def _pools(row: Row) -> str:
    pools: Row = row.get("pools") or {}
    if pools.get("misaligned") is None or row["direction"] == "random":
        return "\u2013"
    return f"{number(pools['misaligned'])} misaligned, {number(pools['aligned'])} aligned"


def steering(part: Row) -> Chart:
    """Rates of every arm, a marker for each group of questions."""
    arms: Sequence[Row] = part["arms"]
    groups = _groups(arms)
    traces: list[Any] = []
    colours = (VERMILLION, BLUE, *CATEGORIES)
    for i, group in enumerate(groups):
        at = [j for j, arm in enumerate(arms) if group in arm["groups"]]
        held = [arms[j]["groups"][group]["rate"] for j in at]
        hover = [_hover(arms[j], group, rate) for j, rate in zip(at, held, strict=True)]
        offset = [j + (i - (len(groups) - 1) / 2) * 0.16 for j in at]
        traces.append(charts.points(group_name(group), held, offset, colours[i], hover, SYMBOLS[i]))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(arms)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(str(arm["label"])), *(rate_cell((arm["groups"].get(g) or {}).get("rate")) for g in groups))
        for arm in arms
    )
    return Chart(
        "semantic-steering", "Misaligned answers under each direction", traces, layout,
        Table(("Arm", *(group_name(g) for g in groups)), cells), 150 + 52 * len(arms),
        labels=tuple(str(arm["label"]) for arm in arms), wide=True,
        caption="Open and in-domain questions are never pooled. Each direction has the general one's norm.",
    )  # fmt: skip


def _groups(arms: Sequence[Row]) -> list[str]:
    return sorted({group for arm in arms for group in arm["groups"]}, key=lambda group: (group != "open", group))


def _hover(arm: Row, group: str, rate: Row) -> str:
    return f"<b>{charts.plain_text(arm['label'])}</b><br>{group}: {percent(rate['value'])}"


def rates(part: Row) -> Table:
    """Coherence of every arm."""
    arms: Sequence[Row] = part["arms"]
    groups = _groups(arms)
    cells = tuple(
        (Cell(str(arm["label"]), "control" if arm.get("control") else ""),
         *(rate_cell((arm["groups"].get(g) or {}).get("coherent_share")) for g in groups))
        for arm in arms
    )  # fmt: skip
    return Table(("Coherent answers", *(group_name(g) for g in groups)), cells, stack=True)


def topics(part: Row) -> Table:
    """Of the misaligned answers of each arm, how many are about each topic."""
    names: Sequence[str] = part["topics"]
    body: list[tuple[Cell, ...]] = []
    for arm in part["arms"]:
        held = {row["topic"]: row for row in arm["elicited"]}
        body.append((Cell(str(arm["label"])), *(_about(held.get(name)) for name in names)))
    heads = ("Misaligned answers outside of the topic's own questions", *(f"about {name}" for name in names))
    return Table(heads, tuple(body), "Topics of what is elicited", stack=True)


def _about(row: Row | None) -> Cell:
    if not row or not row["elsewhere_n"]:
        return Cell("\u2013", kind="num")
    mean = row.get("elsewhere_mean")
    text = f"{row['elsewhere_about']} of {row['elsewhere_n']}"
    return Cell(text, f"mean score {decimal(mean, 0)}" if known(mean) else "", "num")


SECTIONS = (Entry("Directions of single topics", ("semantic",), True, section, ("semantic",)),)
