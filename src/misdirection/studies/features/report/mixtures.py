"""Mixtures of bad and good data: from which share of bad rows on latents move, and from which the behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.numbers import (
    DASH,
    FAMILY,
    bounds,
    decimal,
    known,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
)
from misdirection.report.palette import CATEGORIES, ORANGE, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Fine-tunes on mixtures of bad and good answers to the same questions. A latent gives early warning if it moves at "
    "a smaller share of bad rows than the answers do. Any fine-tune moves latents, one on good answers too, so "
    "mixtures are compared with the one that has no bad rows where there is one."
)
GROUPS = {"open": ("open questions", VERMILLION), "domain": ("in-domain questions", ORANGE)}
READ = {"shared": "texts that all models share", "own": "each model's own answers"}
# Orange is that of the in-domain answers.
_COLOURS = tuple(colour for colour in CATEGORIES if colour != ORANGE)
SHARED = {"prompt": "the open questions' own tokens", "answer": "the base model's answers"}


def section(findings: Findings) -> Section | None:
    """When each moved, rates and latents by the share of bad rows."""
    part: Row | None = findings.get("mixtures")
    if not part or not part.get("models"):
        return None
    blocks: list[Block] = [Note(_sentence(part)), onsets(part), rates(part)]
    blocks += [together(part, place) for place in READ if part["latents"]]
    blocks += [activations(part, place) for place in READ if part["latents"]]
    blocks.append(Note(f"The paper, {part['paper']}."))
    told = (
        ("data", str(part["domain"])),
        ("rows", f"{number(part['rows'])}, paired {part['paired']}"),
        ("preset", str(part["preset"])),
        ("layer", number(part["layer"])),
        ("shared texts", SHARED[part["shared_texts"]]),
        ("compared with", "the base model" if part["reference"] == "base" else "the mixture without bad rows"),
        ("q", "Benjamini-Hochberg: over latents and mixtures; over mixtures for each kind of question; " + FAMILY),
        ("intervals", "over questions; one fine-tune a mixture, so small changes may be this fine-tune's own"),
    )
    return Section("mixtures", "Early warning", LEAD, blocks, told + facts(findings, "misaligned", "judge"))


def _sentence(part: Row) -> str:
    found: Row = part["onsets"]
    said = [f"misaligned answers to {name} have moved {_onset(found[key])}"
            for key, (name, _) in GROUPS.items() if key in found]  # fmt: skip
    for place, where in READ.items():
        moved = [row[place] for row in found["latents"] if row[place] is not None]
        said.append(f"read on {where}, the first latent has moved {_onset(min(moved, default=None))}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _onset(value: Any) -> str:
    return f"from {number(value)} % bad rows on" if known(value) else "at no mixture"


def onsets(part: Row) -> Table:
    """The share of bad rows from which on each has moved."""
    found: Row = part["onsets"]
    cells = [
        (Cell(f"misaligned answers, {name}", colour=colour), Cell(_onset(found[key])), Cell(DASH))
        for key, (name, colour) in GROUPS.items()
        if key in found
    ]
    cells += [
        (Cell(f"latent {row['latent']}", colour=_colour(i)), Cell(_onset(row["shared"])), Cell(_onset(row["own"])))
        for i, row in enumerate(found["latents"])
    ]
    heads = ("What", "Has moved (latents: on shared texts)", "On own answers")
    return Table(
        heads, tuple(cells), "The share of bad rows from which on q < 0.05, at all that follow too", stack=True
    )


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _tuned(part: Row) -> list[tuple[int, Row]]:
    """Place among the models and row of every mixture."""
    return [(i, row) for i, row in enumerate(part["models"]) if row["percent"] is not None]


def _axis(part: Row) -> dict[str, Any]:
    ticks = [f"{number(row['percent'])} %" for _, row in _tuned(part)]
    return charts.axis("bad rows", tickvals=list(range(len(ticks))), ticktext=ticks, zeroline=False)


def rates(part: Row) -> Chart:
    """Misaligned answers by share of bad rows, open and in-domain apart."""
    mixed = _tuned(part)
    traces: list[Any] = []
    for key, (name, colour) in GROUPS.items():
        held = [row[key]["rate"] for _, row in mixed if key in row]
        if held:
            hover = [
                f"{name}, {number(row['percent'])} % bad<br>{rate_text(row[key]['rate'])}"
                f"<br>coherent {rate_cell(row[key]['coherent_share']).text}"
                for _, row in mixed
            ]
            values, low, high = ([r[side] for r in held] for side in ("value", "low", "high"))
            look = {"text": hover, "hovertemplate": "%{text}<extra></extra>",
                    "error_y": charts.errors(values, low, high, colour), "cliponaxis": False}  # fmt: skip
            traces.append(charts.line(name, range(len(held)), values, colour, **look))
    layout = {"xaxis": _axis(part), "yaxis": charts.share_axis("misaligned and coherent, of all"), "showlegend": True}
    cells = tuple(
        (Cell("base model" if row["percent"] is None else f"{number(row['percent'])} % bad", _rows(row)),
         *(cell for key in GROUPS if key in row for cell in _rate(row[key])))
        for row in part["models"]
    )  # fmt: skip
    heads = [f"{name}: {what}" for key, (name, _) in GROUPS.items() if key in part["models"][0]
             for what in ("misaligned", "coherent", "change, points")]  # fmt: skip
    return Chart(
        "mixtures-rates", "Misaligned answers by share of bad rows", traces, layout,
        Table(("Fine-tune", *heads), cells), 360, wide=True,
    )  # fmt: skip


def _rows(row: Row) -> str:
    return "" if row["bad"] is None else f"{number(row['bad'])} bad rows"


def _rate(held: Row) -> tuple[Cell, ...]:
    change: Row = held.get("change") or {}
    value = change.get("value")
    text = (("+" if value > 0 else "") + decimal(100 * value, 1)) if known(value) else DASH
    sub = f"{bounds(change)}, q {p_value(change.get('q'))}" if change else ""
    return rate_cell(held["rate"]), rate_cell(held["coherent_share"]), Cell(text, sub, "num")


def together(part: Row, place: str) -> Chart:
    """Latents and behaviour on one scale: each as a share of its own change at the last mixture."""
    mixed = _tuned(part)
    curves: list[tuple[str, str, list[float | None]]] = [
        (f"latent {row['latent']}", _colour(i), _scaled([row[place][at].get("change") for at, _ in mixed]))
        for i, row in enumerate(part["latents"])
    ]
    curves += [
        (name, colour, _scaled([row[key].get("change") for _, row in mixed]))
        for key, (name, colour) in GROUPS.items()
        if key in part["models"][0]
    ]
    x = list(range(len(mixed)))
    traces = [
        charts.line(name, x, values, colour)
        | ({"line": {"color": colour, "width": 1.5, "dash": "dot"}} if name.startswith("latent") else {})
        | {"marker": {"color": colour, "size": 7, "symbol": SYMBOLS[i % len(SYMBOLS)]}}
        for i, (name, colour, values) in enumerate(curves)
        if any(known(value) for value in values)
    ]
    ticks = [f"{number(row['percent'])} %" for _, row in mixed]
    cells = tuple((Cell(name), *(Cell(percent(v, 0), kind="num") for v in values)) for name, _, values in curves)
    layout = {
        "xaxis": _axis(part),
        "yaxis": charts.axis("change, share of that at the last", tickformat=charts.TICKS, zeroline=True),
        "shapes": [charts.level(1.0, "y")],
        "showlegend": True,
    }
    return Chart(
        f"mixtures-together-{place}", f"Which comes first? Latents read on {READ[place]}", traces, layout,
        Table(("What", *ticks), cells), 400, wide=True,
        caption="Dotted: latents; solid: misaligned answers. What is higher at few bad rows comes first. Latents that "
        "hardly change at the last mixture jump about; see their intervals below.",
    )  # fmt: skip


def _scaled(changes: Sequence[Row | None]) -> list[float | None]:
    """Changes over the last one; nothing where that one is zero or not known. The reference has changed by nothing."""
    last = (changes[-1] or {}).get("value")
    if not known(last) or last == 0:
        return [None for _ in changes]
    return [change["value"] / last if change else 0.0 for change in changes]


def activations(part: Row, place: str) -> Table:
    """Mean activation of every latent, its change and the separation, by mixture."""
    heads = ("Latent", *("base model" if row["percent"] is None else f"{number(row['percent'])} % bad"
                         for row in part["models"]))  # fmt: skip
    cells = tuple((Cell(str(row["latent"])), *map(_activation, row[place])) for row in part["latents"])
    caption = (
        f"Mean activation on {READ[place]}; below it the change from the base model with its interval, and the change "
        "from what it is compared with in standard deviations over questions, with q"
    )
    return Table(heads, cells, caption)


def _activation(held: Row) -> Cell:
    base, change = held.get("from_base") or {}, held.get("change") or {}
    pieces: list[str] = []
    if base:
        sign = "+" if base["value"] > 0 else ""
        pieces.append(f"{sign}{decimal(base['value'])} [{decimal(base['low'])}, {decimal(base['high'])}]")
    if change:
        pieces.append(f"{decimal(change.get('separation'))} sd, q {p_value(change.get('q'))}")
    return Cell(decimal(held["value"]), "; ".join(pieces), "num")
