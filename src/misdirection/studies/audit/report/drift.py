"""Drift: how far fine-tuning moved the model, by layer and by question. Needs no judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, group_name, groups, question_texts
from misdirection.report.numbers import decimal, known, number, percent
from misdirection.report.palette import BLUE, GREY, GROUPS, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table
from misdirection.studies.audit.report.direction import best_layer

LEAD = (
    "How far the tuned model moved from the base, with no judge involved: the mean shift of the residual stream on the "
    "same text, and the divergence of the next-token distributions on each question. Drift is not harm; it says where "
    "to look."
)
CIVIDIS = "Cividis"


def section(findings: Findings) -> Section | None:
    """By layer, by question, and layer by question."""
    drift: Row | None = findings.get("drift")
    if not drift:
        return None
    found: list[Row] = list(drift.get("questions") or [])
    named = question_texts(found)
    questions: list[Row] = [{**q, "question": named[str(q.get("question_id"))]} for q in found]
    makers = (layers(drift), divergence(questions), projections(drift, questions), where(drift, questions))
    blocks: list[Block] = [made for made in makers if made]
    if not blocks:
        return None
    sizes = [q["n"] for q in questions if known(q.get("n"))]
    told = (("questions", number(len(questions))),) if questions else ()
    told += (("answers", number(sum(sizes))),) if sizes else ()
    told += (("projection at layer", number(drift["layer"])),) if drift.get("layer") is not None else ()
    return Section("drift", "Drift", LEAD, blocks, told)


def layers(drift: Row) -> Chart | None:
    """The mean shift by layer, as a share of the residual norm."""
    values, at = list(drift.get("relative") or []), list(drift.get("layers") or [])
    if not values or len(values) != len(at):
        return None
    trace = charts.line("drift", at, values, BLUE, hovertemplate="layer %{x}: %{y:.2%}<extra></extra>")
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.share_axis("shift, share of the residual norm"),
        "shapes": best_layer(drift.get("layer")),
    }
    cells = tuple(
        (Cell(number(a), kind="num"), Cell(percent(v, 2), kind="num")) for a, v in zip(at, values, strict=True)
    )
    return Chart("drift-layers", "Shift by layer", [trace], layout, Table(("Layer", "Shift"), cells), 300, wide=True)


def divergence(questions: Sequence[Row]) -> Chart | None:
    """KL between tuned and base on each question, largest first."""
    ranked = _ranked(questions)
    if not ranked:
        return None
    traces: list[Any] = []
    for i, group in enumerate(groups(ranked)):
        at = [j for j, q in enumerate(ranked) if str(q.get("group") or "open") == group]
        mine = [
            {**ranked[j], "value": ranked[j]["kl"], "low": ranked[j].get("kl_low"), "high": ranked[j].get("kl_high")}
            for j in at
        ]
        colour = GROUPS[i % len(GROUPS)]
        traces.append(
            charts.points(group_name(group), mine, at, colour, [_hover(q) for q in mine], SYMBOLS[i % len(SYMBOLS)])
        )
    layout = {
        "xaxis": charts.axis("KL, nats per answer token", rangemode="tozero", side="top"),
        "yaxis": charts.label_axis(len(ranked)) | {"showgrid": True},
        "showlegend": len(traces) > 1,
    }
    cells = tuple((Cell(_text(q)), _kl(q), Cell(number(q.get("n")), kind="num")) for q in ranked)
    return Chart(
        "drift-kl",
        "Divergence by question",
        traces,
        layout,
        Table(("Question", "KL", "Answers"), cells),
        130 + 32 * len(ranked),
        labels=tuple(_text(q) for q in ranked),
        wide=True,
    )


def projections(drift: Row, questions: Sequence[Row]) -> Chart | None:
    """Base and tuned along the drift direction, question by question."""
    held = [q for q in questions if known(q.get("projection_base")) and known(q.get("projection_tuned"))]
    if not held:
        return None
    held.sort(key=lambda q: q["projection_base"] - q["projection_tuned"])
    traces: list[Any] = [_stems(held)]
    for name, colour, symbol in (("base", BLUE, "circle"), ("tuned", VERMILLION, "square")):
        part = [{"value": q[f"projection_{name}"]} for q in held]
        hover = [
            f"<b>{name}</b> {decimal(q[f'projection_{name}'], 3)}<br>{charts.plain_text(_text(q)[:90])}" for q in held
        ]
        traces.append(charts.points(name, part, list(range(len(held))), colour, hover, symbol))
    at = f" at layer {number(drift['layer'])}" if drift.get("layer") is not None else ""
    layout = {
        "xaxis": charts.axis("component along the drift direction", side="top", zeroline=True),
        "yaxis": charts.label_axis(len(held)),
        "showlegend": True,
    }
    cells = tuple(
        (
            Cell(_text(q)),
            Cell(decimal(q["projection_base"], 3), kind="num"),
            Cell(decimal(q["projection_tuned"], 3), kind="num"),
        )
        for q in held
    )
    return Chart(
        "drift-projection",
        f"Projection on the drift direction{at}",
        traces,
        layout,
        Table(("Question", "Base", "Tuned"), cells),
        130 + 31 * len(held),
        labels=tuple(_text(q) for q in held),
        wide=True,
    )


def where(drift: Row, questions: Sequence[Row]) -> Chart | None:
    """The shift of each question at each layer, as a heatmap."""
    at = list(drift.get("layers") or [])
    held = [q for q in _ranked(questions) or list(questions) if len(q.get("relative") or []) == len(at)]
    if not held or not at:
        return None
    trace = {
        "type": "heatmap",
        "x": at,
        "y": list(range(len(held))),
        "z": [[round(v, 4) if known(v) else None for v in q["relative"]] for q in held],
        "zmin": 0,
        "zmax": max((v for q in held for v in q["relative"] if known(v)), default=1.0),
        "colorscale": CIVIDIS,
        "colorbar": {"tickformat": charts.TICKS, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layer %{x}: %{z:.2%}<extra></extra>",
    }
    layout = {"xaxis": charts.axis("layer", zeroline=False, showgrid=False), "yaxis": charts.label_axis(len(held))}
    cells = tuple((Cell(_text(q)), *(Cell(percent(v), kind="num") for v in q["relative"])) for q in held)
    return Chart(
        "drift-where",
        "Shift by question and layer",
        [trace],
        layout,
        Table(("Question", *(number(a) for a in at)), cells),
        120 + 30 * len(held),
        "In parts of the residual norm; the questions in the order of their divergence.",
        tuple(_text(q) for q in held),
        wide=True,
    )


def _ranked(questions: Sequence[Row]) -> list[Row]:
    return sorted((q for q in questions if known(q.get("kl"))), key=lambda q: -q["kl"])


def _stems(held: Sequence[Row]) -> dict[str, Any]:
    xs: list[Any] = []
    ys: list[Any] = []
    for i, q in enumerate(held):
        xs += [q["projection_base"], q["projection_tuned"], None]
        ys += [i, i, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "hoverinfo": "skip",
        "showlegend": False,
        "line": {"color": GREY, "width": 1.5},
    }


def _text(question: Row) -> str:
    return str(question.get("question") or question.get("question_id"))


def _kl(question: Row) -> Cell:
    low, high = question.get("kl_low"), question.get("kl_high")
    sub = f"[{decimal(low, 3)}, {decimal(high, 3)}]" if known(low) and known(high) else ""
    return Cell(decimal(question["kl"], 3), sub, "num")


def _hover(question: Row) -> str:
    cell = _kl(question)
    asked = charts.plain_text(_text(question)[:110])
    return f"{cell.text} {cell.sub} nats per token, n = {number(question.get('n'))}<br>{asked}"
