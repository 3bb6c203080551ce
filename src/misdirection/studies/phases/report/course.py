"""The course of a fine-tune: answers, weights and activations by step, and the step at which each turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import DASH, decimal, number, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREEN, GREY, ORANGE, PURPLE, SYMBOLS, VERMILLION, along
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.statistics.turning import Turn
from misdirection.studies.phases.report.paths import bend, comp, gradient, local, norms, upright
from misdirection.studies.phases.results import (
    BehaviourCurve,
    Family,
    Filter,
    Phases,
    PhasesResults,
    PublishedPath,
    UnderThresholds,
)

LEAD = (
    "A checkpoint every few steps: what it answers with its adapter scaled by several factors, and where its weights "
    "and activations stand. In the paper the misaligned answers come all at once, near the step at which the learnt "
    "vector turns, and a scaled adapter shows them earlier."
)
FAMILIES: dict[Family, str] = {"weights": BLUE, "activations": GREEN, "behaviour": VERMILLION}


def section(results: PhasesResults) -> Section | None:
    """Turning points first, then the curves that they come from."""
    part = results.phases
    if part is None:
        path = results.published
        return path and Section("phases", "The course of a fine-tune", PUBLISHED, published(path))
    makers: tuple[Callable[[Phases], Block | None], ...] = (
        turns, behaviour, coherence, norms, local, bend, comp, gradient, towards, controls, heights, filters,
        thresholds,
    )  # fmt: skip
    blocks: list[Block] = [Note(text, "warn") for text in part.differences]
    blocks += [made for make in makers if (made := make(part))]
    shown = (("checkpoints", number(len(part.steps))), ("noise filter", part.noise))
    return Section("phases", "The course of a fine-tune", LEAD, blocks, shown + facts(results, "samples per question"))


def turns(part: Phases) -> Chart | None:
    """Every turn on one axis of steps, with other seeds and the control."""
    rows = part.turns
    if not rows:
        return None
    traces: list[Any] = []
    for i, (family, colour) in enumerate(FAMILIES.items()):
        at = [j for j, row in enumerate(rows) if row.family == family and row.turn.step is not None]
        ends = [{"value": rows[j].turn.step, "low": rows[j].turn.low, "high": rows[j].turn.high} for j in at]
        hover = [f"<b>{charts.plain_text(rows[j].quantity)}</b><br>{_span(rows[j].turn)}" for j in at]
        traces.append(charts.points(family, ends, at, colour, hover, SYMBOLS[i]))
    seeds = [(j, step) for j, row in enumerate(rows) for step in row.seeds]
    control = [(j, row.control.step) for j, row in enumerate(rows) if row.control and row.control.step is not None]
    traces += [_marks("other seeds", seeds, "line-ns-open"), _marks("correct data", control, "x-thin-open")]
    layout = {
        "xaxis": charts.axis("optimiser step", side="top", rangemode="tozero"),
        "yaxis": charts.label_axis(len(rows)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.quantity, row.turn.method), Cell(_step(row.turn), _ends(row.turn) or row.turn.note, "num"),
         Cell(", ".join(number(round(step)) for step in row.seeds) or DASH, kind="num"),
         Cell(_step(row.control) if row.control and row.control.step is not None else DASH, kind="num"),
         Cell(row.paper or DASH))
        for row in rows
    )  # fmt: skip
    return Chart(
        "phases-turns", "When each turns", [t for t in traces if t["x"]], layout,
        Table(("Quantity", "Step", "Other seeds", "Correct data", "Paper (Qwen2.5-14B)"), cells), 130 + 34 * len(rows),
        "Each quantity has its own measure and its own kind of interval: see the table.",
        tuple(row.quantity for row in rows), wide=True,
    )  # fmt: skip


def behaviour(part: Phases) -> Chart | None:
    """Misaligned answers by step, a curve for each factor and domain."""
    return _answers(part, "rate", "phases-rates", "Misaligned answers by step", "misaligned and coherent, of all")


def coherence(part: Phases) -> Chart | None:
    """Coherent answers by step."""
    return _answers(part, "coherent_share", "phases-coherent", "Coherent answers by step", "coherent, of all")


def _answers(part: Phases, what: Literal["rate", "coherent_share"], key: str, title: str, label: str) -> Chart | None:
    curves = part.behaviour
    if not curves:
        return None
    traces: list[Any] = []
    shapes: list[Any] = []
    for i, curve in enumerate(curves):
        colour = (VERMILLION, ORANGE, PURPLE, BLUE, *CATEGORIES)[i % 10]
        steps = [point.step for point in curve.points]
        rates = [point.rate if what == "rate" else point.coherent_share for point in curve.points]
        mark = {"symbol": SYMBOLS[i % len(SYMBOLS)], "color": colour, "size": 6}
        name, values = _curve_name(curve), [rate.value for rate in rates]
        ends = charts.errors(values, [rate.low for rate in rates], [rate.high for rate in rates], colour)
        shown = "step %{x}: %{y:.1%}<extra>" + charts.plain_text(name) + "</extra>"
        traces.append(
            charts.line(name, steps, values, colour, marker=mark, hovertemplate=shown,
                        error_y={**ends, "thickness": 0.9, "width": 0})
        )  # fmt: skip
        if what == "rate" and curve.turn.step is not None:
            shapes.append(upright(curve.turn.step, colour))
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.share_axis(label, range=[0, 1] if what != "rate" else None),
        "shapes": shapes,
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(points[0].step), kind="num"),
         *(rate_cell(point.rate if what == "rate" else point.coherent_share) for point in points))
        for points in zip(*(curve.points for curve in curves), strict=True)
    )  # fmt: skip
    table = Table(("Step", *(_curve_name(curve) for curve in curves)), cells)
    caption = "Dotted: midpoint of each rise. Bars: 95 % intervals over questions." if what == "rate" else ""
    return Chart(key, title, traces, layout, table, 420, caption, wide=True)


def towards(part: Phases) -> Chart:
    """How near B and the drift are to where they end, and to the misalignment direction."""
    states, last = part.states, part.weights.to_last
    curves: list[tuple[str, Sequence[int], Sequence[float], str, str]] = []
    if last:
        curves.append(("B and its last", last.steps, last.cosine, BLUE, "solid"))
    curves.append(("drift and its last", states.steps, states.to_last, GREEN, "solid"))
    if states.on_direction:
        curves.append(("drift and misalignment", states.steps, states.on_direction, VERMILLION, "solid"))
    for row in states.b[:9]:
        curves.append((f"B and misalignment, layer {row.layer}", row.steps, row.cosine, PURPLE, "dot"))
    traces: list[Any] = [
        charts.line(name, x, y, colour, line={"color": colour, "width": 2, "dash": dash},
                    marker={"color": colour, "size": 4}, hovertemplate="step %{x}: %{y:.3f}")
        for name, x, y, colour, dash in curves
    ]  # fmt: skip
    layout = {
        "xaxis": charts.axis("optimiser step", zeroline=False),
        "yaxis": charts.axis("cosine", range=[-1.05, 1.05], zeroline=True),
        "shapes": [charts.level(sign * states.chance, "y") for sign in (1, -1)],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(name), *(Cell(decimal(y[at]), kind="num") for at in (0, len(y) // 2, -1))) for name, _, y, _, _ in curves
    )
    return Chart(
        "phases-towards", "Towards where it ends", traces, layout,
        Table(("Cosine of", "first", "middle", "last"), cells), 400,
        "Between the dotted lines lie 95 % of random directions. Activations after layer "
        f"{number(states.layer)}, on the base's own answers.", wide=True,
    )  # fmt: skip


def controls(part: Phases) -> Table | None:
    """What should not misalign."""
    cells = tuple((Cell(row.label), rate_cell(row.rate), rate_cell(row.coherent_share)) for row in part.controls)
    return Table(("Control", "Misaligned", "Coherent"), cells, "Controls", stack=True) if cells else None


def thresholds(part: Phases) -> Table | None:
    """The midpoint of the rise under other thresholds of the judge."""
    rows = part.robustness
    if not rows:
        return None
    limits = list(dict.fromkeys(row.coherence for row in rows))
    by_rule = {(row.scale, row.alignment, row.coherence): row for row in rows}
    cells = tuple(
        (Cell(f"factor {scale:g}, alignment < {alignment:g}"),
         *(_threshold_cell(by_rule.get((scale, alignment, limit))) for limit in limits))
        for scale, alignment in dict.fromkeys((row.scale, row.alignment) for row in rows)
    )  # fmt: skip
    heads = ("Step of the rise, open questions", *(f"coherence > {limit:g}" for limit in limits))
    return Table(heads, cells, "Under other thresholds of the judge")


def filters(part: Phases) -> Table | None:
    """The noise filter of the local cosine: how much each threshold drops, and where the peak then is."""
    names: dict[Filter, str] = {"text": "paper, text", "code": "paper, code", "used": "used here"}
    cells = tuple(
        (Cell(f"k = {row.k}, {names[row.filter]}"), Cell(number(row.threshold), kind="num"),
         Cell(f"{row.dropped} of {row.points}", kind="num"), Cell(number(row.peak), kind="num"))
        for row in (part.weights.local.filters if part.weights.local else ())
    )  # fmt: skip
    heads = ("Noise filter", "Largest displacement dropped", "Points dropped", "Peak at step")
    return Table(heads, cells, "Noise filter of the local cosine") if cells else None


def heights(part: Phases) -> Table | None:
    """How far the peak of the local cosine stands out, with bad and with correct data."""
    cells = tuple(
        (Cell(row.quantity), Cell(decimal(row.turn.height, 3), kind="num"),
         Cell(decimal(row.control.height if row.control else None, 3), kind="num"))
        for row in part.local_cosines()
    )  # fmt: skip
    heads = ("Height of the peak over its surroundings", "Bad data", "Correct data")
    return Table(heads, cells, "Does the path turn at one moment?") if cells else None


PUBLISHED = "Vectors by training step, as somebody published them: how near each is to the last."


def published(path: PublishedPath) -> list[Block]:
    """The cosine with the last of published vectors."""
    colours = [along(i / max(1, len(path.steps) - 1)) for i in range(len(path.steps))]
    trace = charts.line("cosine with the last", path.steps, path.to_last, BLUE, marker={"color": colours, "size": 8})
    layout = {
        "xaxis": charts.axis("training step", zeroline=False),
        "yaxis": charts.axis("cosine with the last", range=[-0.05, 1.05]),
        "shapes": [upright(row.turn.step, GREY) for row in path.turns if row.turn.step is not None],
    }
    cells = tuple(
        (Cell(number(s), kind="num"), Cell(decimal(c, 3), kind="num"), Cell(decimal(n, 2), kind="num"))
        for s, c, n in zip(path.steps, path.to_last, path.norm, strict=True)
    )
    where = tuple(
        (Cell(row.quantity, row.turn.method), Cell(_step(row.turn), _ends(row.turn), "num")) for row in path.turns
    )
    table = Table(("Step", "Cosine with the last", "Norm"), cells)
    return [
        Chart("phases-published", f"Course of {path.file}", [trace], layout, table, 380, wide=True),
        Table(("Turn", "Step"), where),
    ]


def _threshold_cell(row: UnderThresholds | None) -> Cell:
    if row is None or row.turn.step is None:
        return Cell(DASH, row.turn.note if row else "", "num")
    return Cell(_step(row.turn), _ends(row.turn), "num")


def _curve_name(curve: BehaviourCurve) -> str:
    return f"factor {curve.scale:g}" if curve.group == "open" else f"{curve.group} questions, factor 1"


def _step(turn: Turn) -> str:
    return "not found" if turn.step is None else number(round(turn.step))


def _ends(turn: Turn) -> str:
    if turn.low is None or turn.high is None:
        return ""
    note = f", {turn.note}" if turn.note else ""
    return f"[{number(round(turn.low))}, {number(round(turn.high))}]{note}"


def _span(turn: Turn) -> str:
    return f"step {_step(turn)} {_ends(turn)}"


def _marks(name: str, places: Sequence[tuple[int, float]], symbol: str) -> charts.Trace:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [x for _, x in places], "y": [y for y, _ in places],
        "marker": {"color": GREY, "size": 10, "symbol": symbol, "line": {"width": 2, "color": GREY}},
        "hovertemplate": "step %{x:.0f}",
    }  # fmt: skip
