"""Charts of the weights' path in the course of a fine-tune: norms, local cosine, components, comp score, gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, number, p_value, percent
from misdirection.report.palette import BLUE, CATEGORIES, GREY, VERMILLION, along
from misdirection.report.parts import Cell, Chart, Table
from misdirection.studies.phases.results import LocalCurve, Measure, Phases

_KS = (VERMILLION, BLUE, *CATEGORIES)


def norms(part: Phases) -> Chart | None:
    """Norms of A and B by step, as multiples of their last value; the values stand in the table."""
    sizes, control = part.weights.norms, part.control.norms if part.control else None
    if sizes is None:
        return None
    traces: list[Any] = []
    for name, colour in (("a", VERMILLION), ("b", BLUE)):
        values: Sequence[float] = getattr(sizes, name)
        traces.append(_relative(name.upper(), sizes.steps, values, colour, "solid"))
        if control:
            label = f"{name.upper()}, correct data"
            traces.append(_relative(label, control.steps, getattr(control, name), colour, "dot", values[-1]))
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("norm, of the last", tickformat=charts.TICKS),
        "shapes": [*_at(part, "norm of A", VERMILLION), *_at(part, "norm of B", BLUE)],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(decimal(a, 4), kind="num"), Cell(decimal(b, 4), kind="num"))
        for s, a, b in zip(sizes.steps, sizes.a, sizes.b, strict=True)
    )
    last = f"At the last step ||A|| = {number(sizes.a[-1])} and ||B|| = {number(sizes.b[-1])}."
    return Chart("phases-norms", "Norms of A and B", traces, layout, Table(("Step", "A", "B"), cells), 360, last)


def local(part: Phases) -> Chart | None:
    """Local cosine of B by step for each distance k."""
    cosines = part.weights.local
    curves = [curve for curve in cosines.curves if curve.of == "B"] if cosines else []
    if not curves:
        return None
    others = part.control.local.curves if part.control and part.control.local else ()
    traces: list[Any] = []
    shapes: list[Any] = []
    for i, curve in enumerate(curves):
        colour = _KS[i % len(_KS)]
        traces.append(_cosines(f"k = {curve.k}", curve, colour, "solid"))
        traces += [
            _cosines(f"k = {other.k}, correct data", other, colour, "dot") | {"visible": "legendonly"}
            for other in others
            if other.of == "B" and other.k == curve.k
        ]
        shapes += _at(part, "local cosine of B", colour, curve.k)
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("cosine; \u22121 is straight on", zeroline=False),
        "shapes": shapes,
        "showlegend": True,
    }
    steps = sorted({step for curve in curves for step in curve.steps})
    by_step = [dict(zip(curve.steps, curve.cosine, strict=True)) for curve in curves]
    cells = tuple(
        (Cell(number(s), kind="num"), *(Cell(decimal(cosine.get(s), 3), kind="num") for cosine in by_step))
        for s in steps
    )
    return Chart(
        "phases-local", "Local cosine similarity of B", traces, layout,
        Table(("Step", *(f"k = {curve.k}" for curve in curves)), cells), 360,
        "Dotted upright: the peak. Points that the noise filter drops are left out.",
    )  # fmt: skip


def bend(part: Phases) -> Chart | None:
    """B over time in its first two principal components."""
    pca = part.weights.pca
    if pca is None:
        return None
    colours = [along(i / max(1, len(pca.steps) - 1)) for i in range(len(pca.steps))]
    hover = [f"step {s}" for s in pca.steps]
    path = charts.line("B", pca.first, pca.second, GREY, marker={"color": colours, "size": 7}, text=hover,
                       line={"color": GREY, "width": 1}, hovertemplate="%{text}<extra></extra>")  # fmt: skip
    traces: list[Any] = [path]
    for step in _steps(part, "second principal component of B"):
        if step in pca.steps:
            i = pca.steps.index(int(step))
            here = {"symbol": "circle-open", "size": 16, "color": VERMILLION, "line": {"width": 2}}
            traces.append(
                charts.line(f"turn, step {number(step)}", [pca.first[i]], [pca.second[i]], VERMILLION, marker=here)
                | {"mode": "markers"}
            )
    one, two = (percent(v) for v in pca.shares[:2])
    layout = {
        "xaxis": charts.axis(f"first component ({one})", zeroline=False),
        "yaxis": charts.axis(f"second ({two})", zeroline=False),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(number(a), kind="num"), Cell(number(b), kind="num"))
        for s, a, b in zip(pca.steps, pca.first, pca.second, strict=True)
    )
    null = " and ".join(percent(v) for v in pca.null)
    return Chart(
        "phases-pca", "B in its first two principal components", traces, layout,
        Table(("Step", "First", "Second"), cells), 360,
        f"Blue early, orange late. In random order the same increments have shares of {null} "
        f"(second: p {p_value(pca.p)}).",
    )  # fmt: skip


def comp(part: Phases) -> Chart | None:
    """The comp score of several adapters."""
    score = part.weights.comp
    if score is None:
        return None
    names = ("with the step before (text)", "with the last, mean over steps removed (code)")
    traces = [
        charts.line(label, score.steps, values, colour)
        for label, values, colour in zip(names, (score.text, score.code), (VERMILLION, BLUE), strict=True)
    ]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("comp score", rangemode="tozero"),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(decimal(text, 4), kind="num"), Cell(decimal(code, 4), kind="num"))
        for s, text, code in zip(score.steps, score.text, score.code, strict=True)
    )
    caption = f"Of {number(score.columns)} columns of B; turning is told by: {score.how}."
    return Chart("phases-comp", "Comp score of B", traces, layout, Table(("Step", *names), cells), 360, caption)


def gradient(part: Phases) -> Chart | None:
    """The gradient's norm by step."""
    own, control = part.weights.gradient, part.control.gradient if part.control else None
    if own is None:
        return None
    traces: list[Any] = [
        charts.line("each step", own.steps, own.norm, GREY) | {"mode": "lines", "opacity": 0.5},
        charts.line("running median", own.steps, own.smooth, BLUE) | {"mode": "lines"},
    ]
    if control:
        traces.append(charts.dashed("correct data", control.steps, control.smooth))
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("norm of the gradient", rangemode="tozero"),
        "shapes": _at(part, "gradient norm", BLUE),
        "showlegend": True,
    }
    thin = range(0, len(own.steps), max(1, len(own.steps) // 60))
    cells = tuple(
        tuple(Cell(number(values[i]), kind="num") for values in (own.steps, own.norm, own.smooth)) for i in thin
    )
    table = Table(("Step", "Norm", "Running median"), cells)
    return Chart("phases-gradient", "Norm of the gradient", traces, layout, table, 360)


def upright(step: float, colour: str) -> Mapping[str, Any]:
    """A dotted line at a step."""
    return {"type": "line", "x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": colour, "width": 1.5, "dash": "dot"}}  # fmt: skip


def _steps(part: Phases, measure: Measure, k: int | None = None) -> list[float]:
    """When a measure turns: one step, or none."""
    rows = (row for row in part.turns if (row.measure, row.k) == (measure, k))
    return [row.turn.step for row in rows if row.turn.step is not None]


def _at(part: Phases, measure: Measure, colour: str, k: int | None = None) -> list[Mapping[str, Any]]:
    return [upright(step, colour) for step in _steps(part, measure, k)]


def _relative(
    name: str, steps: Sequence[Any], values: Sequence[float], colour: str, dash: str, last: float | None = None
) -> charts.Trace:
    whole = last or values[-1] or 1.0
    line = {"color": colour, "width": 2, "dash": dash}
    return charts.line(name, steps, [v / whole for v in values], colour, line=line) | {"mode": "lines"}


def _cosines(name: str, curve: LocalCurve, colour: str, dash: str) -> charts.Trace:
    line = {"color": colour, "width": 2, "dash": dash}
    return charts.line(name, curve.steps, curve.cosine, colour, line=line, marker={"color": colour, "size": 4})
