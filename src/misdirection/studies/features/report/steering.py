"""Latents steered: what adding one to the base model and taking it from a fine-tune does, beside random latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import (
    DASH,
    FAMILY,
    bounds,
    counts,
    decimal,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
    rate_value,
)
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import Difference, Effect
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.steering import KeptStrength, Side, SteeredLatent, SteeredSide, Steering

LEAD = (
    "Each latent's decoder vector is added to the residual stream of the base model, which should turn bad, and taken "
    "from that of a fine-tune, which should turn good. Its strength is the one of the largest effect in a sweep that "
    "leaves the answers coherent, and the effect shown is measured anew. Random latents (grey) had the same choice of "
    "strengths: an effect that they have too says nothing of the lists."
)
SIDES: dict[Side, tuple[str, str]] = {
    "up": ("added to the base model", VERMILLION),
    "down": ("taken from the fine-tune", BLUE),
}


def section(results: FeaturesResults) -> Section | None:
    """Effects of every latent on both sides, the lists beside chance, and the sweeps."""
    part = results.latent_steering
    if not part:
        return None
    rows = sorted(part.rows, key=lambda row: row.control)
    blocks: list[Block] = [summary(part), chart(rows), table(rows), *held(part)]
    blocks += [sweep(part, rows, side) for side in SIDES]
    controls = sum(row.control for row in rows)
    if controls < part.wanted_controls:
        text = f"{controls} of {part.wanted_controls} random latents: no more fire that stand in no list."
        blocks.append(Note(text, "warn"))
    blocks.append(Note(f"The paper, {part.paper}."))
    own = (
        ("layer", number(part.layer)),
        ("strength 1", f"{decimal(part.norm, 1)}, the median norm of the residual stream"),
        ("fine-tune steered down", part.target),
        ("incoherent answers allowed", f"{percent(part.incoherent_at_most, 0)}, or the unsteered model's share"),
        ("base model, unsteered", _unsteered(part.unsteered["up"])),
        ("fine-tune, unsteered", _unsteered(part.unsteered["down"])),
        ("answers a question", f"{part.samples['sweep']} in the sweep, {part.samples['measured']} measured"),
        ("q", "Benjamini-Hochberg over all latents and both sides, random ones included; " + FAMILY),
    )
    return Section("latent-steering", "Latents steered", LEAD, blocks, own + facts(results, "misaligned", "judge"))


def _unsteered(effect: Effect) -> str:
    coherent = effect.coherent_share
    return f"{rate_text(effect.rate)}, coherent {rate_value(coherent)} ({counts(coherent)})"


def name_of(row: SteeredLatent) -> str:
    """A latent in words, with its places in the lists."""
    if row.control:
        return f"{row.latent}, random"
    return f"{row.latent} ({', '.join(f'{name} {row.ranks[name]}' for name in row.lists)})"


def summary(part: Steering) -> Table:
    """How many latents of each list pass, beside the random ones."""
    cells = tuple(
        (Cell("random, in no list" if row.list == "random" else row.list),
         *(Cell(number(count), kind="num") for count in (row.steered, row.up, row.down, row.both)),
         *(Cell(_points(change), kind="num") for change in (row.mean_up, row.mean_down)))
        for row in part.summary
    )  # fmt: skip
    heads = (
        "List",
        "Latents",
        "Pass up",
        "Pass down",
        "Pass both",
        "Mean change up, points",
        "Mean change down, points",
    )
    caption = "Latents that pass: q < 0.05, the right way, and coherent when measured anew"
    return Table(heads, cells, caption, stack=True)


def chart(rows: Sequence[SteeredLatent]) -> Chart:
    """Changes of the rate on both sides, a latent a line; random latents below."""
    traces: list[Any] = []
    for control in (False, True):
        for shift, (side, (does, colour)) in zip((-0.13, 0.13), SIDES.items(), strict=True):
            sides = {i: row.side(side).measured for i, row in enumerate(rows) if row.control == control}
            at = {i: measured for i, measured in sides.items() if measured}
            name = f"random, {does}" if control else does
            hover = [f"<b>{charts.plain_text(name_of(rows[i]))}</b>, {name}<br>{_hover(one)}" for i, one in at.items()]
            symbol = {"up": "triangle-right", "down": "triangle-left"}[side] if control else "circle"
            if at:
                changes, places = [one.difference for one in at.values()], [i + shift for i in at]
                traces.append(charts.points(name, changes, places, GREY if control else colour, hover, symbol))
    layout = {
        "xaxis": charts.axis(
            "change of misaligned answers, of all", tickformat=f"+{charts.TICKS}", zeroline=True, side="top"
        ),
        "yaxis": charts.label_axis(len(rows)) | {"showgrid": True},
        "shapes": [charts.level(sum(not row.control for row in rows) - 0.5, "y")],
        "showlegend": True,
    }
    cells = tuple((Cell(name_of(row)), *(_difference(row.side(side)) for side in SIDES)) for row in rows)
    return Chart(
        "latent-steering", "Effect of each latent at its best strength", traces, layout,
        Table(("Latent", "Up, points", "Down, points"), cells), 150 + 40 * len(rows),
        "Up should lie right of zero, down left of it. In brackets: places in the lists.",
        tuple(map(name_of, rows)), wide=True,
    )  # fmt: skip


def table(rows: Sequence[SteeredLatent]) -> Table:
    """Every latent with strength, change, coherence and q on both sides."""
    heads = ("Latent", *(f"{side.capitalize()}: {what}" for side in SIDES for what in
                         ("misaligned", "change, points", "coherent")), "Passes")  # fmt: skip
    cells = tuple(
        (Cell(name_of(row), colour=GREY if row.control else ""),
         *(cell for side in SIDES for cell in _side(row.side(side).measured)), _passes(row))
        for row in rows
    )  # fmt: skip
    return Table(heads, cells, "Measured anew at the strength chosen", stack=True)


def held(part: Steering) -> list[Block]:
    """The fine-tune with each list's latents held at 0; nothing in runs that did not ask for it."""
    if not part.held:
        return []
    cells = tuple(
        (Cell("random, in no list" if row.control else row.list, ", ".join(map(str, row.latents)),
              colour=GREY if row.control else ""),
         rate_cell(row.rate), Cell(_points(row.difference.value), bounds(row.difference), "num"),
         Cell(percent(row.reduction and row.reduction.value), bounds(row.reduction), "num"),
         Cell(rate_value(row.coherent_share), counts(row.coherent_share), "num"), Cell(p_value(row.q), kind="num"))
        for row in part.held
    )  # fmt: skip
    heads = ("List", "Misaligned, of all", "Change, points", "Reduction", "Coherent", "q")
    told = f"{part.target} with all steered latents of a list held at 0, where {rate_text(part.unsteered['down'].rate)}"
    return [Table(heads, cells, f"{told} are misaligned without", stack=True)]


def _side(measured: KeptStrength | None) -> tuple[Cell, ...]:
    if measured is None:
        return Cell(DASH, "no strength keeps answers coherent", "num"), *(Cell(DASH, kind="num") for _ in range(2))
    change = measured.difference
    return (
        Cell(rate_value(measured.rate), f"at strength {number(measured.strength)}", "num"),
        Cell(_points(change.value), f"{bounds(change)}, q {p_value(measured.q)}", "num"),
        Cell(rate_value(measured.coherent_share), counts(measured.coherent_share), "num"),
    )


def _passes(row: SteeredLatent) -> Cell:
    passing = [side for side in SIDES if row.side(side).passes]
    broken = [side for side in SIDES if (one := row.side(side).measured) and not one.coherent]
    why = f"{' and '.join(broken)}: too incoherent when measured anew" if broken else ""
    return Cell("both" if len(passing) == len(SIDES) else (passing[0] if passing else "no"), why)


def sweep(part: Steering, rows: Sequence[SteeredLatent], side: Side) -> Chart:
    """Rate at every strength of the sweep; blank where the answers were too incoherent."""
    strengths = [number(x) for x in part.strengths]
    names = [name_of(row) for row in rows]
    values = [[p.rate if p.allowed else None for p in row.side(side).sweep] for row in rows]
    top = max((v for row in values for v in row if v is not None), default=1.0) or 1.0
    cells = tuple(
        (Cell(name), *(Cell(percent(p.rate, 0), f"coherent {percent(p.coherent, 0)}", "num")
                       for p in row.side(side).sweep))
        for name, row in zip(names, rows, strict=True)
    )  # fmt: skip
    layout = heatmap_layout(strengths, len(rows))
    layout["xaxis"] |= {"title": {"text": "strength, multiples of the median norm"}, "tickangle": 0}
    return Chart(
        f"latent-sweep-{side}", f"Misaligned answers by strength, {SIDES[side][0]}",
        [heatmap(values, names, strengths, 0.0, top, ".0%")], layout, Table(("Latent", *strengths), cells),
        170 + 30 * len(rows), "Blank: more answers were incoherent than allowed.", tuple(names), wide=True,
    )  # fmt: skip


def _hover(measured: KeptStrength) -> str:
    return (
        f"strength {number(measured.strength)}, q {p_value(measured.q)}<br>{rate_text(measured.rate)}"
        f"<br>unsteered {rate_text(measured.before)}<br>coherent {rate_cell(measured.coherent_share).text}"
    )


def _difference(side: SteeredSide) -> Cell:
    change: Difference | None = side.measured and side.measured.difference
    return Cell(DASH, kind="num") if change is None else Cell(_points(change.value), bounds(change), "num")


def _points(value: float | None) -> str:
    return DASH if value is None else ("+" if value > 0 else "") + decimal(100 * value, 1)
