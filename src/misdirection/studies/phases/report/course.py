"""The course of a fine-tune: answers, weights and activations by step, and the step at which each turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.numbers import DASH, decimal, known, number, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREEN, GREY, ORANGE, PURPLE, SYMBOLS, VERMILLION, along
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table
from misdirection.studies.phases.report.paths import bend, comp, gradient, local, norms

LEAD = (
    "A checkpoint every few steps: what it answers with its adapter scaled by several factors, and where its weights "
    "and activations stand. In the paper the misaligned answers come all at once, near the step at which the learnt "
    "vector turns, and a scaled adapter shows them earlier."
)
FAMILIES = {"weights": BLUE, "activations": GREEN, "behaviour": VERMILLION}


def section(findings: Findings) -> Section | None:
    """Turning points first, then the curves that they come from."""
    part: Row | None = findings.get("phases")
    if not part:
        return None
    if part.get("published"):
        return Section("phases", "The course of a fine-tune", PUBLISHED, published(part["published"]))
    makers: tuple[Callable[[Row], Block | None], ...] = (
        turns, behaviour, coherence, norms, local, bend, comp, gradient, towards, controls, heights, filters,
        thresholds,
    )  # fmt: skip
    blocks: list[Block] = [Note(str(text), "warn") for text in part.get("differences") or []]
    blocks += [made for make in makers if (made := make(part))]
    told = (("checkpoints", number(len(part["steps"]))), ("noise filter", str(part.get("noise"))))
    return Section("phases", "The course of a fine-tune", LEAD, blocks, told + facts(findings, "samples per question"))


def turns(part: Row) -> Chart | None:
    """Every turn on one axis of steps, with other seeds and the control."""
    rows: Sequence[Row] = part.get("turns") or []
    if not rows:
        return None
    traces: list[Any] = []
    for i, (family, colour) in enumerate(FAMILIES.items()):
        at = [j for j, row in enumerate(rows) if row["family"] == family and known(row.get("step"))]
        mine = [{**rows[j], "value": rows[j]["step"]} for j in at]
        hover = [f"<b>{charts.plain_text(r['quantity'])}</b><br>{_span(r)}" for r in mine]
        traces.append(charts.points(family, mine, at, colour, hover, SYMBOLS[i]))
    traces += [
        _marks("other seeds", [(j, s) for j, r in enumerate(rows) for s in r.get("seeds") or []], "line-ns-open"),
        _marks(
            "correct data", [(j, r["control"]) for j, r in enumerate(rows) if known(r.get("control"))], "x-thin-open"
        ),
    ]
    layout = {
        "xaxis": charts.axis("optimiser step", side="top", rangemode="tozero"),
        "yaxis": charts.label_axis(len(rows)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(str(r["quantity"]), str(r["method"])), Cell(_step(r), _ends(r) or str(r.get("note") or ""), "num"),
         Cell(", ".join(number(round(s)) for s in r.get("seeds") or []) or DASH, kind="num"),
         Cell(number(round(r["control"])) if known(r.get("control")) else DASH, kind="num"),
         Cell(str(r.get("paper") or DASH)))
        for r in rows
    )  # fmt: skip
    return Chart(
        "phases-turns", "When each turns", [t for t in traces if t["x"]], layout,
        Table(("Quantity", "Step", "Other seeds", "Correct data", "Paper (Qwen2.5-14B)"), cells), 130 + 34 * len(rows),
        "Each quantity has its own measure and its own kind of interval: see the table.",
        tuple(str(r["quantity"]) for r in rows), wide=True,
    )  # fmt: skip


def behaviour(part: Row) -> Chart | None:
    """Misaligned answers by step, a curve for each factor and domain."""
    return _answers(part, "rate", "phases-rates", "Misaligned answers by step", "misaligned and coherent, of all")


def coherence(part: Row) -> Chart | None:
    """Coherent answers by step."""
    return _answers(part, "coherent_share", "phases-coherent", "Coherent answers by step", "coherent, of all")


def _answers(part: Row, what: str, key: str, title: str, label: str) -> Chart | None:
    curves: Sequence[Row] = part.get("behaviour") or []
    if not curves:
        return None
    traces: list[Any] = []
    shapes: list[Any] = []
    for i, curve in enumerate(curves):
        colour = (VERMILLION, ORANGE, PURPLE, BLUE, *CATEGORIES)[i % 10]
        steps, rates = curve["steps"], [point[what] for point in curve["points"]]
        low, high = ([r[side] for r in rates] for side in ("low", "high"))
        mark = {"symbol": SYMBOLS[i % len(SYMBOLS)], "color": colour, "size": 6}
        name, values = _curve_name(curve), [r["value"] for r in rates]
        bars = {"error_y": {**charts.errors(values, low, high, colour), "thickness": 0.9, "width": 0}}
        shown = "step %{x}: %{y:.1%}<extra>" + charts.plain_text(name) + "</extra>"
        traces.append(charts.line(name, steps, values, colour, marker=mark, hovertemplate=shown, **bars))
        if what == "rate" and known(curve["turn"].get("step")):
            shapes.append(_upright(curve["turn"]["step"], colour))
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.share_axis(label, range=[0, 1] if what != "rate" else None),
        "shapes": shapes,
        "showlegend": True,
    }
    steps = curves[0]["steps"]
    cells = tuple(
        (Cell(number(step), kind="num"), *(rate_cell(curve["points"][i][what]) for curve in curves))
        for i, step in enumerate(steps)
    )
    table = Table(("Step", *(_curve_name(curve) for curve in curves)), cells)
    caption = "Dotted: midpoint of each rise. Bars: 95 % intervals over questions." if what == "rate" else ""
    return Chart(key, title, traces, layout, table, 420, caption, wide=True)


def towards(part: Row) -> Chart | None:
    """How near B and the drift are to where they end, and to the misalignment direction."""
    states: Row = part.get("states") or {}
    weights: Row = part.get("weights") or {}
    curves: list[tuple[str, Sequence[Any], Sequence[Any], str, str]] = []
    if weights.get("to_last"):
        curves.append(("B and its last", weights["to_last"]["steps"], weights["to_last"]["cosine"], BLUE, "solid"))
    if states.get("to_last"):
        curves.append(("drift and its last", states["steps"], states["to_last"], GREEN, "solid"))
    if states.get("on_direction"):
        curves.append(("drift and misalignment", states["steps"], states["on_direction"], VERMILLION, "solid"))
    for row in (states.get("b") or [])[:9]:
        curves.append((f"B and misalignment, layer {row['layer']}", row["steps"], row["cosine"], PURPLE, "dot"))
    if not curves:
        return None
    traces: list[Any] = [
        charts.line(name, x, y, colour, line={"color": colour, "width": 2, "dash": dash},
                    marker={"color": colour, "size": 4}, hovertemplate="step %{x}: %{y:.3f}")
        for name, x, y, colour, dash in curves
    ]  # fmt: skip
    chance = states.get("chance")
    shapes = [charts.level(sign * chance, "y") for sign in (1, -1)] if known(chance) else []
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("cosine", range=[-1.05, 1.05], zeroline=True),
        "shapes": shapes,
        "showlegend": True,
    }
    cells = tuple(
        (Cell(name), Cell(decimal(y[0]), kind="num"), Cell(decimal(y[len(y) // 2]), kind="num"),
         Cell(decimal(y[-1]), kind="num"))
        for name, _, y, _, _ in curves
    )  # fmt: skip
    layer = f" Activations after layer {number(states.get('layer'))}, on the base's own answers." if states else ""
    return Chart(
        "phases-towards", "Towards where it ends", traces, layout,
        Table(("Cosine of", "first", "middle", "last"), cells), 400,
        "Between the dotted lines lie 95 % of random directions." + layer, wide=True,
    )  # fmt: skip


def controls(part: Row) -> Table | None:
    """What should not misalign."""
    rows: Sequence[Row] = part.get("controls") or []
    cells = tuple((Cell(str(r["label"])), rate_cell(r["rate"]), rate_cell(r["coherent_share"])) for r in rows)
    return Table(("Control", "Misaligned", "Coherent"), cells, "Controls", stack=True) if cells else None


def thresholds(part: Row) -> Table | None:
    """The midpoint of the rise under other thresholds of the judge."""
    rows: Sequence[Row] = part.get("robustness") or []
    if not rows:
        return None
    limits = list(dict.fromkeys(row["coherence"] for row in rows))
    held = {(r["scale"], r["alignment"], r["coherence"]): r for r in rows}
    cells = tuple(
        (Cell(f"factor {scale:g}, alignment < {alignment:g}"),
         *(_threshold_cell(held.get((scale, alignment, limit))) for limit in limits))
        for scale, alignment in dict.fromkeys((r["scale"], r["alignment"]) for r in rows)
    )  # fmt: skip
    heads = ("Step of the rise, open questions", *(f"coherence > {limit:g}" for limit in limits))
    return Table(heads, cells, "Under other thresholds of the judge")


def filters(part: Row) -> Table | None:
    """The noise filter of the local cosine: how much each threshold drops, and where the peak then is."""
    found: Row = (part.get("weights") or {}).get("local") or {}
    names = {"text": "paper, text", "code": "paper, code", "used": "used here"}
    cells = tuple(
        (Cell(f"k = {row['k']}, {names[row['filter']]}"), Cell(number(row["threshold"]), kind="num"),
         Cell(f"{row['dropped']} of {row['points']}", kind="num"), Cell(number(row["peak"]), kind="num"))
        for row in found.get("filters") or []
    )  # fmt: skip
    heads = ("Noise filter", "Largest displacement dropped", "Points dropped", "Peak at step")
    return Table(heads, cells, "Noise filter of the local cosine") if cells else None


def heights(part: Row) -> Table | None:
    """How far the peak of the local cosine stands out, with bad and with correct data."""
    rows = [row for row in part.get("turns") or [] if str(row["quantity"]).startswith("local cosine")]
    cells = tuple(
        (Cell(str(row["quantity"])), Cell(decimal(row.get("height"), 3), kind="num"),
         Cell(decimal(row.get("control_height"), 3), kind="num"))
        for row in rows
    )  # fmt: skip
    heads = ("Height of the peak over its surroundings", "Bad data", "Correct data")
    return Table(heads, cells, "Does the path turn at one moment?") if cells else None


PUBLISHED = "Vectors by training step, as somebody published them: how near each is to the last."


def published(row: Mapping[str, Any]) -> list[Block]:
    """The cosine with the last of published vectors."""
    colours = [along(i / max(1, len(row["steps"]) - 1)) for i in range(len(row["steps"]))]
    trace = charts.line(
        "cosine with the last", row["steps"], row["to_last"], BLUE, marker={"color": colours, "size": 8}
    )
    layout = {
        "xaxis": charts.axis("training step", zeroline=False),
        "yaxis": charts.axis("cosine with the last", range=[-0.05, 1.05]),
        "shapes": [_upright(t["step"], GREY) for t in row["turns"] if known(t["step"])],
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(decimal(c, 3), kind="num"), Cell(decimal(n, 2), kind="num"))
        for s, c, n in zip(row["steps"], row["to_last"], row["norm"], strict=True)
    )
    where = tuple((Cell(str(t["quantity"]), str(t["method"])), Cell(_step(t), _ends(t), "num")) for t in row["turns"])
    table = Table(("Step", "Cosine with the last", "Norm"), cells)
    return [
        Chart("phases-published", f"Course of {row['file']}", [trace], layout, table, 380, wide=True),
        Table(("Turn", "Step"), where),
    ]


def _threshold_cell(row: Row | None) -> Cell:
    if not row or not known(row.get("step")):
        return Cell(DASH, str((row or {}).get("note") or ""), "num")
    return Cell(_step(row), _ends(row), "num")


def _curve_name(curve: Row) -> str:
    return f"factor {curve['scale']:g}" if curve["group"] == "open" else f"{curve['group']} questions, factor 1"


def _step(row: Row) -> str:
    return number(round(row["step"])) if known(row.get("step")) else "not found"


def _ends(row: Row) -> str:
    if not (known(row.get("low")) and known(row.get("high"))):
        return ""
    note = f", {row['note']}" if row.get("note") else ""
    return f"[{number(round(row['low']))}, {number(round(row['high']))}]{note}"


def _span(row: Row) -> str:
    return f"step {_step(row)} {_ends(row)}"


def _marks(name: str, places: Sequence[tuple[int, float]], symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [x for _, x in places], "y": [y for y, _ in places],
        "marker": {"color": GREY, "size": 10, "symbol": symbol, "line": {"width": 2, "color": GREY}},
        "hovertemplate": "step %{x:.0f}",
    }  # fmt: skip


def _upright(step: float, colour: str) -> dict[str, Any]:
    return {"type": "line", "x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": colour, "width": 1.5, "dash": "dot"}}  # fmt: skip
