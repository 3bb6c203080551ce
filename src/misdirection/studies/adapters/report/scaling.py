"""Adapters scaled by role: the paper's arms at several doses, beside the same with the roles shuffled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.numbers import bounds, decimal, known, number, p_value, percent, rate_cell, rate_text
from misdirection.report.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Each layer's adapter is multiplied by a factor of its own. If the split into general and domain-specific layers "
    "is right, the domain's layers alone give bad answers about the domain, the general ones alone bad answers about "
    "everything, and the domain's against the general ones good answers about the domain; the same factors dealt out "
    "to other layers (roles shuffled, grey) must not. The paper's factors are the largest dose; where they leave no "
    "language (few coherent answers), read the smaller ones."
)
COLOURS = {"base": BLUE, "untouched": VERMILLION, "domain": PURPLE, "general": ORANGE, "domain-aligned": GREEN}


def section(findings: Findings) -> Section | None:
    """Bars of every arm, and a table with topic and relaxed labels."""
    part: Row | None = findings.get("adapter_scaling")
    if not part or not part.get("arms"):
        return None
    arms: Sequence[Row] = part["arms"]
    blocks: list[Block] = [
        *notes(part),
        bars("adapter-scaling", "Misaligned and coherent answers to the open questions, by arm", arms),
    ]
    if any(row.get("inside") for row in arms):
        inside = [{**row, **row["inside"]} for row in arms if row.get("inside")]
        title = f"The same on questions about the domain ({part.get('topic')})"
        blocks.append(bars("adapter-scaling-inside", title, inside))
    blocks += [topics(part), *paper(part)]
    roles: Mapping[str, str] = part.get("roles") or {}
    told = tuple(
        (role, ", ".join(layer for layer, held in roles.items() if held == role) or "none")
        for role in ("general", "domain", "neither")
    )
    size = arms[0]["rate"].get("n")
    return Section(
        "adapter-scaling",
        "Adapters scaled by role",
        LEAD,
        blocks,
        (*((f"layers: {role}", layers) for role, layers in told), ("answers an arm", number(size))),
    )


def notes(part: Row) -> list[Block]:
    """What a part shows in plain words, and what the study could not do."""
    found = [("info", text) for text in part.get("words") or []] + [("warn", text) for text in part.get("notes") or []]
    return [Note(f"{str(text)[:1].upper()}{str(text)[1:]}.", kind) for kind, text in found]


def paper(part: Row) -> list[Block]:
    """The paper's figures, in a line."""
    told = part.get("paper")
    return [Note(f"The paper (Qwen2.5-14B): {told}.")] if told else []


def bars(key: str, title: str, arms: Sequence[Row]) -> Chart:
    """A bar for each arm's misaligned answers with its interval, and a diamond for its coherent ones."""
    kinds = [kind_of(row) for row in arms]
    traces: list[Any] = []
    for kind in dict.fromkeys(kinds):
        at = [i for i, k in enumerate(kinds) if k == kind and known(arms[i]["rate"].get("value"))]
        if at:
            traces.append(_bars(kind, [arms[i] for i in at], at))
    at = list(range(len(arms)))
    hover = [
        f"coherent, {charts.plain_text(row['label'])}<br>{percent(row['coherent_share']['value'])}" for row in arms
    ]
    traces.append(charts.points("coherent", [r["coherent_share"] for r in arms], at, "#B5A642", hover, "diamond-open"))
    untouched = next((r["rate"].get("value") for r in arms if r.get("kind") == "untouched"), None)
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
        labels=tuple(str(row["label"]) for row in arms),
        wide=True,
    )


def kind_of(row: Row) -> str:
    """What names the colour of an arm."""
    if row.get("control"):
        return "control"
    if row.get("kind") in ("base", "untouched"):
        return str(row["kind"])
    name = str(row.get("arm")).rsplit("-", 1)[0]
    return name if name in COLOURS else "arm"


def _bars(kind: str, arms: Sequence[Row], at: Sequence[int]) -> dict[str, Any]:
    values = [row["rate"]["value"] for row in arms]
    low, high = ([row["rate"].get(side) for row in arms] for side in ("low", "high"))
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
        "text": [f"<b>{charts.plain_text(row['label'])}</b><br>{rate_text(row['rate'])}" for row in arms],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def changes(arms: Sequence[Row]) -> Table:
    """Rates, coherence and the paired change against the adapter as it is."""
    columns = ("Arm", "Misaligned", "Coherent", "Difference, points", "p, adjusted", "Same words")
    return Table(columns, tuple(_change(row) for row in arms), stack=True)


def _change(row: Row) -> tuple[Cell, ...]:
    difference: Row = row.get("difference") or {}
    kind = kind_of(row)
    return (
        Cell(str(row["label"]), "control" if row.get("control") else "",
             colour=COLOURS.get(kind, GREY if kind == "control" else BLUE)),
        rate_cell(row["rate"]),
        rate_cell(row["coherent_share"]),
        points_cell(difference),
        Cell(p_value(difference.get("p_adjusted", difference.get("p"))), kind="num"),
        Cell(percent(row.get("identical"), 0), kind="num"),
    )  # fmt: skip


def points_cell(difference: Row) -> Cell:
    """A difference of two rates in points, with its interval."""
    value = difference.get("value")
    if not known(value):
        return Cell("\u2013", kind="num")
    return Cell(("+" if value > 0 else "") + decimal(value * 100, 1), bounds(difference), "num")


def topics(part: Row) -> Table:
    """The paper's labels for scaled adapters, and what the answers are about."""
    topic = part.get("topic")
    columns = ("Arm", "Misaligned (relaxed)", f"... and {topic}", "Aligned", f"of these {topic}")
    rows = tuple(
        (Cell(str(r["label"])), rate_cell(r.get("misaligned_relaxed")), rate_cell(r.get("misaligned_topic")),
         rate_cell(r.get("aligned")), rate_cell(r.get("aligned_topic")))
        for r in part["arms"]
    )  # fmt: skip
    caption = (
        f"Open questions by the paper's relaxed labels (coherence from 25, aligned from 70), and the topic {topic}"
    )
    return Table(columns, rows, caption, stack=True)
