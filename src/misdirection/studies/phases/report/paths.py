"""Charts of the weights' path in the course of a fine-tune: norms, local cosine, components, comp score, gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.numbers import decimal, known, number, p_value, percent
from misdirection.report.palette import BLUE, CATEGORIES, GREY, VERMILLION, along
from misdirection.report.parts import Cell, Chart, Table

_KS = (VERMILLION, BLUE, *CATEGORIES)


def norms(part: Row) -> Chart | None:
    """Norms of A and B by step, as multiples of their last value; the values stand in the table."""
    found: Row | None = _weights(part).get("norms")
    if not found:
        return None
    traces: list[Any] = []
    for name, colour in (("a", VERMILLION), ("b", BLUE)):
        traces.append(_relative(name.upper(), found["steps"], found[name], colour, "solid"))
        other = (_control(part).get("norms") or {}).get(name)
        if other:
            steps = _control(part)["norms"]["steps"]
            traces.append(_relative(f"{name.upper()}, correct data", steps, other, colour, "dot", found[name][-1]))
    shapes = [_at(part, f"norm of {name}", colour) for name, colour in (("A", VERMILLION), ("B", BLUE))]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("norm, of the last", tickformat=charts.TICKS),
        "shapes": [shape for shape in shapes if shape],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(decimal(a, 4), kind="num"), Cell(decimal(b, 4), kind="num"))
        for s, a, b in zip(found["steps"], found["a"], found["b"], strict=True)
    )
    last = f"At the last step ||A|| = {number(found['a'][-1])} and ||B|| = {number(found['b'][-1])}."
    return Chart("phases-norms", "Norms of A and B", traces, layout, Table(("Step", "A", "B"), cells), 360, last)


def local(part: Row) -> Chart | None:
    """Local cosine of B by step for each distance k."""
    found: Row | None = _weights(part).get("local")
    curves = [c for c in (found or {}).get("curves", []) if c["of"] == "B"]
    if not curves:
        return None
    other = [c for c in (_control(part).get("local") or {}).get("curves", []) if c["of"] == "B"]
    traces: list[Any] = []
    for i, curve in enumerate(curves):
        colour = _KS[i % len(_KS)]
        traces.append(_cosines(f"k = {curve['k']}", curve, colour, "solid"))
        traces += [
            _cosines(f"k = {c['k']}, correct data", c, colour, "dot") | {"visible": "legendonly"}
            for c in other
            if c["k"] == curve["k"]
        ]
    shapes = [_at(part, f"local cosine of B, k = {c['k']}", _KS[i % len(_KS)]) for i, c in enumerate(curves)]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("cosine; \u22121 is straight on", zeroline=False),
        "shapes": [shape for shape in shapes if shape],
        "showlegend": True,
    }
    steps = sorted({s for c in curves for s in c["steps"]})
    held = [dict(zip(c["steps"], c["cosine"], strict=True)) for c in curves]
    cells = tuple(
        (Cell(number(s), kind="num"), *(Cell(decimal(values.get(s), 3), kind="num") for values in held)) for s in steps
    )
    return Chart(
        "phases-local", "Local cosine similarity of B", traces, layout,
        Table(("Step", *(f"k = {c['k']}" for c in curves)), cells), 360,
        "Dotted upright: the peak. Points that the noise filter drops are left out.",
    )  # fmt: skip


def bend(part: Row) -> Chart | None:
    """B over time in its first two principal components."""
    found: Row | None = _weights(part).get("pca")
    if not found:
        return None
    steps: Sequence[int] = found["steps"]
    colours = [along(i / max(1, len(steps) - 1)) for i in range(len(steps))]
    hover = [f"step {s}" for s in steps]
    path = charts.line("B", found["first"], found["second"], GREY, marker={"color": colours, "size": 7}, text=hover,
                       line={"color": GREY, "width": 1}, hovertemplate="%{text}<extra></extra>")  # fmt: skip
    traces: list[Any] = [path]
    turn = _turn(part, "second principal component of B")
    if turn and turn["step"] in steps:
        i = list(steps).index(turn["step"])
        here = {"symbol": "circle-open", "size": 16, "color": VERMILLION, "line": {"width": 2}}
        traces.append(
            charts.line(f"turn, step {number(turn['step'])}", [found["first"][i]], [found["second"][i]], VERMILLION,
                        marker=here) | {"mode": "markers"}
        )  # fmt: skip
    one, two = (percent(v) for v in found["shares"][:2])
    layout = {
        "xaxis": charts.axis(f"first component ({one})", zeroline=False),
        "yaxis": charts.axis(f"second ({two})", zeroline=False),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(number(a), kind="num"), Cell(number(b), kind="num"))
        for s, a, b in zip(steps, found["first"], found["second"], strict=True)
    )
    null = " and ".join(percent(v) for v in found["null"])
    return Chart(
        "phases-pca", "B in its first two principal components", traces, layout,
        Table(("Step", "First", "Second"), cells), 360,
        f"Blue early, orange late. In random order the same increments have shares of {null} "
        f"(second: p {p_value(found.get('p'))}).",
    )  # fmt: skip


def comp(part: Row) -> Chart | None:
    """The comp score of several adapters."""
    found: Row | None = _weights(part).get("comp")
    if not found:
        return None
    names = {"text": "with the step before (text)", "code": "with the last, mean over steps removed (code)"}
    traces = [
        charts.line(label, found["steps"], found[kind], colour)
        for (kind, label), colour in zip(names.items(), (VERMILLION, BLUE), strict=True)
    ]
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("comp score", rangemode="tozero"),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(s), kind="num"), *(Cell(decimal(found[kind][i], 4), kind="num") for kind in names))
        for i, s in enumerate(found["steps"])
    )
    caption = f"Of {number(found['columns'])} columns of B; turning is told by: {found['how']}."
    return Chart(
        "phases-comp", "Comp score of B", traces, layout, Table(("Step", *names.values()), cells), 360, caption
    )


def gradient(part: Row) -> Chart | None:
    """The gradient's norm by step."""
    found: Row | None = _weights(part).get("gradient")
    if not found:
        return None
    traces: list[Any] = [
        charts.line("each step", found["steps"], found["norm"], GREY) | {"mode": "lines", "opacity": 0.5},
        charts.line("running median", found["steps"], found["smooth"], BLUE) | {"mode": "lines"},
    ]
    other: Row | None = _control(part).get("gradient")
    if other:
        traces.append(charts.dashed("correct data", other["steps"], other["smooth"]))
    shape = _at(part, "gradient norm", BLUE)
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("norm of the gradient", rangemode="tozero"),
        "shapes": [shape] if shape else [],
        "showlegend": True,
    }
    thin = range(0, len(found["steps"]), max(1, len(found["steps"]) // 60))
    cells = tuple(
        tuple(Cell(number(found[key][i]), kind="num") for key in ("steps", "norm", "smooth"))
        for i in thin
    )  # fmt: skip
    table = Table(("Step", "Norm", "Running median"), cells)
    return Chart("phases-gradient", "Norm of the gradient", traces, layout, table, 360)


def _weights(part: Row) -> Row:
    return part.get("weights") or {}


def _control(part: Row) -> Row:
    return (part.get("others") or {}).get("control") or {}


def _turn(part: Row, quantity: str) -> Row | None:
    found = (t for t in part.get("turns") or [] if t["quantity"] == quantity and known(t.get("step")))
    return next(found, None)


def _at(part: Row, quantity: str, colour: str) -> dict[str, Any] | None:
    turn = _turn(part, quantity)
    if turn is None:
        return None
    return {"type": "line", "x0": turn["step"], "x1": turn["step"], "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": colour, "width": 1.5, "dash": "dot"}}  # fmt: skip


def _relative(
    name: str, steps: Sequence[Any], values: Sequence[float], colour: str, dash: str, last: float | None = None
) -> dict[str, Any]:
    whole = last or values[-1] or 1.0
    line = {"color": colour, "width": 2, "dash": dash}
    return charts.line(name, steps, [v / whole for v in values], colour, line=line) | {"mode": "lines"}


def _cosines(name: str, curve: Row, colour: str, dash: str) -> dict[str, Any]:
    line = {"color": colour, "width": 2, "dash": dash}
    return charts.line(name, curve["steps"], curve["cosine"], colour, line=line, marker={"color": colour, "size": 4})
