"""Latents steered: what adding one to the base model and taking it from a fine-tune does, beside random latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import (
    DASH,
    FAMILY,
    bounds,
    decimal,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
    rate_value,
)
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Each latent's decoder vector is added to the residual stream of the base model, which should turn bad, and taken "
    "from that of a fine-tune, which should turn good. Its strength is the one of the largest effect in a sweep that "
    "leaves the answers coherent, and the effect shown is measured anew. Random latents (grey) had the same choice of "
    "strengths: an effect that they have too says nothing of the lists."
)
SIDES = {"up": ("added to the base model", VERMILLION), "down": ("taken from the fine-tune", BLUE)}


def section(findings: Findings) -> Section | None:
    """Effects of every latent on both sides, the lists beside chance, and the sweeps."""
    part: Row | None = findings.get("latent_steering")
    if not part or not part.get("rows"):
        return None
    rows = sorted(part["rows"], key=lambda row: bool(row["control"]))
    blocks: list[Block] = [summary(part), chart(rows), table(rows)]
    blocks += [sweep(part, rows, side) for side in SIDES]
    controls = sum(1 for row in rows if row["control"])
    if controls < part["wanted_controls"]:
        text = f"{controls} of {part['wanted_controls']} random latents: no more fire that stand in no list."
        blocks.append(Note(text, "warn"))
    blocks.append(Note(f"The paper, {part['paper']}."))
    told = (
        ("layer", number(part["layer"])),
        ("strength 1", f"{decimal(part['norm'], 1)}, the median norm of the residual stream"),
        ("fine-tune steered down", str(part["target"])),
        ("incoherent answers allowed", f"{percent(part['incoherent_at_most'], 0)}, or the unsteered model's share"),
        ("base model, unsteered", rate_text(part["unsteered"]["up"]["rate"])),
        ("fine-tune, unsteered", rate_text(part["unsteered"]["down"]["rate"])),
        ("answers a question", f"{part['samples']['sweep']} in the sweep, {part['samples']['measured']} measured"),
        ("q", "Benjamini-Hochberg over all latents and both sides, random ones included; " + FAMILY),
    )
    return Section("latent-steering", "Latents steered", LEAD, blocks, told + facts(findings, "misaligned", "judge"))


def name_of(row: Row) -> str:
    """A latent in words, with its places in the lists."""
    if row["control"]:
        return f"{row['latent']}, random"
    places = ", ".join(f"{name} {row['ranks'][name]}" for name in row["lists"])
    return f"{row['latent']} ({places})"


def summary(part: Row) -> Table:
    """How many latents of each list pass, beside the random ones."""
    cells = tuple(
        (Cell("random, in no list" if row["list"] == "random" else str(row["list"])),
         *(Cell(number(row[key]), kind="num") for key in ("steered", "up", "down", "both")),
         *(_points({"value": row[f"mean_{side}"]}) for side in SIDES))
        for row in part["summary"]
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


def chart(rows: Sequence[Row]) -> Chart:
    """Changes of the rate on both sides, a latent a line; random latents below."""
    traces: list[Any] = []
    for control in (False, True):
        for shift, (side, (does, colour)) in zip((-0.13, 0.13), SIDES.items(), strict=True):
            at = [i for i, row in enumerate(rows) if bool(row["control"]) == control and row[side].get("difference")]
            name = f"random, {does}" if control else does
            hover = [f"<b>{charts.plain_text(name_of(rows[i]))}</b>, {name}<br>{_told(rows[i][side])}" for i in at]
            held = [rows[i][side]["difference"] for i in at]
            symbol = {"up": "triangle-right", "down": "triangle-left"}[side] if control else "circle"
            if at:
                places = [i + shift for i in at]
                traces.append(charts.points(name, held, places, GREY if control else colour, hover, symbol))
    layout = {
        "xaxis": charts.axis(
            "change of misaligned answers, of all", tickformat=f"+{charts.TICKS}", zeroline=True, side="top"
        ),
        "yaxis": charts.label_axis(len(rows)) | {"showgrid": True},
        "shapes": [charts.level(sum(not row["control"] for row in rows) - 0.5, "y")],
        "showlegend": True,
    }
    cells = tuple((Cell(name_of(row)), *(_points(row[side].get("difference") or {}) for side in SIDES)) for row in rows)
    return Chart(
        "latent-steering", "Effect of each latent at its best strength", traces, layout,
        Table(("Latent", "Up, points", "Down, points"), cells), 150 + 40 * len(rows),
        "Up should lie right of zero, down left of it. In brackets: places in the lists.",
        tuple(map(name_of, rows)), wide=True,
    )  # fmt: skip


def table(rows: Sequence[Row]) -> Table:
    """Every latent with strength, change, coherence and q on both sides."""
    heads = ("Latent", *(f"{side.capitalize()}: {what}" for side in SIDES for what in
                         ("misaligned", "change, points", "coherent")), "Passes")  # fmt: skip
    cells = tuple(
        (Cell(name_of(row), colour=GREY if row["control"] else ""),
         *(cell for side in SIDES for cell in _side(row[side])), _passes(row))
        for row in rows
    )  # fmt: skip
    return Table(heads, cells, "Measured anew at the strength chosen", stack=True)


def _side(held: Row) -> tuple[Cell, ...]:
    if held["strength"] is None:
        return Cell(DASH, "no strength keeps answers coherent", "num"), *(Cell(DASH, kind="num") for _ in range(2))
    change = _points(held["difference"])
    return (
        Cell(rate_value(held["rate"]), f"at strength {number(held['strength'])}", "num"),
        Cell(change.text, f"{change.sub}, q {p_value(held['q'])}", "num"),
        Cell(rate_value(held["coherent_share"]), kind="num"),
    )


def _passes(row: Row) -> Cell:
    found = [side for side in SIDES if row[side]["passes"]]
    broken = [side for side in SIDES if row[side]["strength"] is not None and not row[side]["coherent"]]
    why = f"{' and '.join(broken)}: too incoherent when measured anew" if broken else ""
    return Cell("both" if len(found) == len(SIDES) else (found[0] if found else "no"), why)


def sweep(part: Row, rows: Sequence[Row], side: str) -> Chart:
    """Rate at every strength of the sweep; blank where the answers were too incoherent."""
    strengths = [number(x) for x in part["strengths"]]
    names = [name_of(row) for row in rows]
    values = [[p["rate"] if p["allowed"] else None for p in row[side]["sweep"]] for row in rows]
    top = max((v for row in values for v in row if v is not None), default=1.0) or 1.0
    cells = tuple(
        (Cell(name), *(Cell(percent(p["rate"], 0), f"coherent {percent(p['coherent'], 0)}", "num")
                       for p in row[side]["sweep"]))
        for name, row in zip(names, rows, strict=True)
    )  # fmt: skip
    layout = heatmap_layout(strengths, len(rows))
    layout["xaxis"] |= {"title": {"text": "strength, multiples of the median norm"}, "tickangle": 0}
    return Chart(
        f"latent-sweep-{side}", f"Misaligned answers by strength, {SIDES[side][0]}",
        [heatmap(values, names, strengths, 0.0, top, ".0%")], layout, Table(("Latent", *strengths), cells),
        170 + 30 * len(rows), "Blank: more answers were incoherent than allowed.", tuple(names), wide=True,
    )  # fmt: skip


def _told(held: Row) -> str:
    return (
        f"strength {number(held['strength'])}, q {p_value(held['q'])}<br>{rate_text(held['rate'])}"
        f"<br>unsteered {rate_text(held['before'])}<br>coherent {rate_cell(held['coherent_share']).text}"
    )


def _points(difference: Row) -> Cell:
    value = difference.get("value")
    if value is None:
        return Cell(DASH, kind="num")
    return Cell(("+" if value > 0 else "") + decimal(100 * value, 1), bounds(difference), "num")
