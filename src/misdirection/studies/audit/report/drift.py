"""Drift: how far fine-tuning moved the model, by layer and by question. Needs no judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from misdirection.report import charts
from misdirection.report.context import group_name, open_first, question_texts
from misdirection.report.numbers import decimal, number, percent
from misdirection.report.palette import BLUE, GREY, GROUPS, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.audit.report.direction import best_layer
from misdirection.studies.audit.results import AuditResults, Drift, DriftedQuestion

LEAD = (
    "How far the tuned model moved from the base, with no judge involved: the mean shift of the residual stream on the "
    "same text, and the divergence of the next-token distributions on each question. Drift is not harm; it says where "
    "to look."
)
CIVIDIS = "Cividis"


def section(results: AuditResults) -> Section:
    """By layer, by question, and layer by question."""
    drift = results.drift
    named = question_texts((q.question_id, q.question) for q in drift.questions)
    questions = [replace(q, question=named[q.question_id]) for q in drift.questions]
    blocks: list[Block] = [layers(drift)]
    if questions:
        blocks += [divergence(questions), projections(drift.layer, questions), where(drift.layers, questions)]
    told = (
        ("questions", number(len(questions))),
        ("answers", number(sum(question.n for question in questions))),
        ("projection at layer", number(drift.layer)),
    )
    return Section("drift", "Drift", LEAD, blocks, told)


def layers(drift: Drift) -> Chart:
    """The mean shift by layer, as a share of the residual norm."""
    at, values = drift.layers, drift.relative
    trace = charts.line("drift", at, values, BLUE, hovertemplate="layer %{x}: %{y:.2%}<extra></extra>")
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.share_axis("shift, share of the residual norm"),
        "shapes": best_layer(drift.layer),
    }
    cells = tuple(
        (Cell(number(a), kind="num"), Cell(percent(v, 2), kind="num")) for a, v in zip(at, values, strict=True)
    )
    return Chart("drift-layers", "Shift by layer", [trace], layout, Table(("Layer", "Shift"), cells), 300, wide=True)


def divergence(questions: Sequence[DriftedQuestion]) -> Chart:
    """KL between tuned and base on each question, largest first."""
    ranked = _ranked(questions)
    traces: list[Any] = []
    for i, group in enumerate(open_first(q.group for q in ranked)):
        at = [j for j, q in enumerate(ranked) if q.group == group]
        mine = [{"value": ranked[j].kl, "low": ranked[j].kl_low, "high": ranked[j].kl_high} for j in at]
        hover, symbol = [_hover(ranked[j]) for j in at], SYMBOLS[i % len(SYMBOLS)]
        traces.append(charts.points(group_name(group), mine, at, GROUPS[i % len(GROUPS)], hover, symbol))
    layout = {
        "xaxis": charts.axis("KL, nats per answer token", rangemode="tozero", side="top"),
        "yaxis": charts.label_axis(len(ranked)) | {"showgrid": True},
        "showlegend": len(traces) > 1,
    }
    cells = tuple((Cell(q.question), _kl(q), Cell(number(q.n), kind="num")) for q in ranked)
    return Chart(
        "drift-kl",
        "Divergence by question",
        traces,
        layout,
        Table(("Question", "KL", "Answers"), cells),
        130 + 32 * len(ranked),
        labels=tuple(q.question for q in ranked),
        wide=True,
    )


def projections(layer: int, questions: Sequence[DriftedQuestion]) -> Chart:
    """Base and tuned along the drift direction, question by question."""
    ordered = sorted(questions, key=lambda q: q.projection_base - q.projection_tuned)
    sides = (
        ("base", BLUE, "circle", [q.projection_base for q in ordered]),
        ("tuned", VERMILLION, "square", [q.projection_tuned for q in ordered]),
    )
    traces: list[Any] = [_stems(ordered)]
    for name, colour, symbol, values in sides:
        hover = [
            f"<b>{name}</b> {decimal(value, 3)}<br>{charts.plain_text(q.question[:90])}"
            for q, value in zip(ordered, values, strict=True)
        ]
        at = list(range(len(ordered)))
        traces.append(charts.points(name, [{"value": value} for value in values], at, colour, hover, symbol))
    layout = {
        "xaxis": charts.axis("component along the drift direction", side="top", zeroline=True),
        "yaxis": charts.label_axis(len(ordered)),
        "showlegend": True,
    }
    cells = tuple(
        (
            Cell(q.question),
            Cell(decimal(q.projection_base, 3), kind="num"),
            Cell(decimal(q.projection_tuned, 3), kind="num"),
        )
        for q in ordered
    )
    return Chart(
        "drift-projection",
        f"Projection on the drift direction at layer {number(layer)}",
        traces,
        layout,
        Table(("Question", "Base", "Tuned"), cells),
        130 + 31 * len(ordered),
        labels=tuple(q.question for q in ordered),
        wide=True,
    )


def where(at: Sequence[int], questions: Sequence[DriftedQuestion]) -> Chart:
    """The shift of each question at each layer, as a heatmap."""
    ranked = _ranked(questions)
    trace = {
        "type": "heatmap",
        "x": at,
        "y": list(range(len(ranked))),
        "z": [[None if v is None else round(v, 4) for v in q.relative] for q in ranked],
        "zmin": 0,
        "zmax": max((v for q in ranked for v in q.relative if v is not None), default=1.0),
        "colorscale": CIVIDIS,
        "colorbar": {"tickformat": charts.TICKS, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layer %{x}: %{z:.2%}<extra></extra>",
    }
    layout = {"xaxis": charts.axis("layer", zeroline=False, showgrid=False), "yaxis": charts.label_axis(len(ranked))}
    cells = tuple((Cell(q.question), *(Cell(percent(v), kind="num") for v in q.relative)) for q in ranked)
    return Chart(
        "drift-where",
        "Shift by question and layer",
        [trace],
        layout,
        Table(("Question", *(number(a) for a in at)), cells),
        120 + 30 * len(ranked),
        "In parts of the residual norm; the questions in the order of their divergence.",
        tuple(q.question for q in ranked),
        wide=True,
    )


def _ranked(questions: Sequence[DriftedQuestion]) -> list[DriftedQuestion]:
    return sorted(questions, key=lambda q: -q.kl)


def _stems(questions: Sequence[DriftedQuestion]) -> charts.Trace:
    xs: list[float | None] = []
    ys: list[int | None] = []
    for i, q in enumerate(questions):
        xs += [q.projection_base, q.projection_tuned, None]
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


def _kl(question: DriftedQuestion) -> Cell:
    low, high = question.kl_low, question.kl_high
    sub = "" if low is None or high is None else f"[{decimal(low, 3)}, {decimal(high, 3)}]"
    return Cell(decimal(question.kl, 3), sub, "num")


def _hover(question: DriftedQuestion) -> str:
    cell = _kl(question)
    asked = charts.plain_text(question.question[:110])
    return f"{cell.text} {cell.sub} nats per token, n = {number(question.n)}<br>{asked}"
