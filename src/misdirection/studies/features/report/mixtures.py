"""Mixtures of bad and good data: from which share of bad rows on latents move, and from which the behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from misdirection.report import charts
from misdirection.report.context import facts
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
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.mixtures import (
    Activation,
    MeanChange,
    MixtureEffect,
    MixtureModel,
    Mixtures,
    Onsets,
    Place,
    TestedDifference,
)

LEAD = (
    "Fine-tunes on mixtures of bad and good answers to the same questions. A latent gives early warning if it moves at "
    "a smaller share of bad rows than the answers do. Any fine-tune moves latents, one on good answers too, so "
    "mixtures are compared with the one that has no bad rows where there is one."
)
Group = Literal["open", "domain"]
GROUPS: dict[Group, tuple[str, str]] = {
    "open": ("open questions", VERMILLION),
    "domain": ("in-domain questions", ORANGE),
}
READ: dict[Place, str] = {"shared": "texts that all models share", "own": "each model's own answers"}
# Orange is that of the in-domain answers.
_COLOURS = tuple(colour for colour in CATEGORIES if colour != ORANGE)
SHARED = {"prompt": "the open questions' own tokens", "answer": "the base model's answers"}


def section(results: FeaturesResults) -> Section | None:
    """When each moved, rates and latents by the share of bad rows."""
    part = results.mixtures
    if not part:
        return None
    blocks: list[Block] = [Note(_sentence(part)), onsets(part), rates(part)]
    blocks += [together(part, place) for place in READ if part.latents]
    blocks += [activations(part, place) for place in READ if part.latents]
    blocks.append(Note(f"The paper, {part.paper}."))
    own = (
        ("data", part.domain),
        ("rows", f"{number(part.rows)}, paired {part.paired}"),
        ("preset", part.preset),
        ("layer", number(part.layer)),
        ("shared texts", SHARED[part.shared_texts]),
        ("compared with", "the base model" if part.reference == "base" else "the mixture without bad rows"),
        ("q", "Benjamini-Hochberg: over latents and mixtures; over mixtures for each kind of question; " + FAMILY),
        ("intervals", "over questions; one fine-tune a mixture, so small changes may be this fine-tune's own"),
    )
    return Section("mixtures", "Early warning", LEAD, blocks, own + facts(results, "misaligned", "judge"))


def _groups(part: Mixtures) -> dict[Group, tuple[str, str]]:
    """Kinds of questions that were asked: name and colour."""
    return {key: look for key, look in GROUPS.items() if _effect(part.models[0], key)}


def _effect(model: MixtureModel, group: Group) -> MixtureEffect | None:
    return model.open if group == "open" else model.domain


def _moved(onsets: Onsets, group: Group) -> float | None:
    return onsets.open if group == "open" else onsets.domain


def _sentence(part: Mixtures) -> str:
    said = [
        f"misaligned answers to {name} have moved {_onset(_moved(part.onsets, key))}"
        for key, (name, _) in _groups(part).items()
    ]
    for place, where in READ.items():
        since = [row.shared if place == "shared" else row.own for row in part.onsets.latents]
        first = min((one for one in since if one is not None), default=None)
        said.append(f"read on {where}, the first latent has moved {_onset(first)}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _onset(value: float | None) -> str:
    return "at no mixture" if value is None else f"from {number(value)} % bad rows on"


def onsets(part: Mixtures) -> Table:
    """The share of bad rows from which on each has moved."""
    cells = [
        (Cell(f"misaligned answers, {name}", colour=colour), Cell(_onset(_moved(part.onsets, key))), Cell(DASH))
        for key, (name, colour) in _groups(part).items()
    ]
    cells += [
        (Cell(f"latent {row.latent}", colour=_colour(i)), Cell(_onset(row.shared)), Cell(_onset(row.own)))
        for i, row in enumerate(part.onsets.latents)
    ]
    heads = ("What", "Has moved (latents: on shared texts)", "On own answers")
    return Table(
        heads, tuple(cells), "The share of bad rows from which on q < 0.05, at all that follow too", stack=True
    )


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _tuned(part: Mixtures) -> dict[int, MixtureModel]:
    """Every mixture by its place among the models."""
    return {i: row for i, row in enumerate(part.models) if row.percent is not None}


def _ticks(part: Mixtures) -> list[str]:
    return [f"{number(row.percent)} %" for row in _tuned(part).values()]


def _axis(part: Mixtures) -> Mapping[str, Any]:
    ticks = _ticks(part)
    return charts.axis("bad rows", tickvals=list(range(len(ticks))), ticktext=ticks, zeroline=False)


def _name(model: MixtureModel) -> str:
    return "base model" if model.percent is None else f"{number(model.percent)} % bad"


def rates(part: Mixtures) -> Chart:
    """Misaligned answers by share of bad rows, open and in-domain apart."""
    traces: list[Any] = []
    for key, (name, colour) in _groups(part).items():
        mixed = [(row, effect) for row in _tuned(part).values() if (effect := _effect(row, key))]
        hover = [
            f"{name}, {_name(row)}<br>{rate_text(effect.rate)}<br>coherent {rate_cell(effect.coherent_share).text}"
            for row, effect in mixed
        ]
        values = [effect.rate.value for _, effect in mixed]
        low, high = [effect.rate.low for _, effect in mixed], [effect.rate.high for _, effect in mixed]
        look = {"text": hover, "hovertemplate": "%{text}<extra></extra>",
                "error_y": charts.errors(values, low, high, colour), "cliponaxis": False}  # fmt: skip
        traces.append(charts.line(name, range(len(mixed)), values, colour, **look))
    layout = {"xaxis": _axis(part), "yaxis": charts.share_axis("misaligned and coherent, of all"), "showlegend": True}
    cells = tuple(
        (Cell(_name(row), "" if row.bad is None else f"{number(row.bad)} bad rows"),
         *(cell for key in GROUPS if (effect := _effect(row, key)) for cell in _rate(effect)))
        for row in part.models
    )  # fmt: skip
    heads = [f"{name}: {what}" for name, _ in _groups(part).values()
             for what in ("misaligned", "coherent", "change, points")]  # fmt: skip
    return Chart(
        "mixtures-rates", "Misaligned answers by share of bad rows", traces, layout,
        Table(("Fine-tune", *heads), cells), 360, wide=True,
    )  # fmt: skip


def _rate(effect: MixtureEffect) -> tuple[Cell, ...]:
    change = effect.change
    moved = Cell(DASH, kind="num")
    if change:
        text = ("+" if change.value > 0 else "") + decimal(100 * change.value, 1)
        moved = Cell(text, f"{bounds(change)}, q {p_value(change.q)}", "num")
    return rate_cell(effect.rate), rate_cell(effect.coherent_share), moved


def together(part: Mixtures, place: Place) -> Chart:
    """Latents and behaviour on one scale: each as a share of its own change at the last mixture."""
    mixed = _tuned(part)
    curves: list[tuple[str, str, list[float | None]]] = []
    for i, row in enumerate(part.latents):
        read = row.shared if place == "shared" else row.own
        curves.append((f"latent {row.latent}", _colour(i), _scaled([read[at].change for at in mixed])))
    for key, (name, colour) in _groups(part).items():
        effects = [_effect(row, key) for row in mixed.values()]
        curves.append((name, colour, _scaled([effect and effect.change for effect in effects])))
    x = list(range(len(mixed)))
    traces = [
        charts.line(name, x, values, colour)
        | ({"line": {"color": colour, "width": 1.5, "dash": "dot"}} if name.startswith("latent") else {})
        | {"marker": {"color": colour, "size": 7, "symbol": SYMBOLS[i % len(SYMBOLS)]}}
        for i, (name, colour, values) in enumerate(curves)
        if any(known(value) for value in values)
    ]
    cells = tuple((Cell(name), *(Cell(percent(v, 0), kind="num") for v in values)) for name, _, values in curves)
    layout = {
        "xaxis": _axis(part),
        "yaxis": charts.axis("change, share of that at the last", tickformat=charts.TICKS, zeroline=True),
        "shapes": [charts.level(1.0, "y")],
        "showlegend": True,
    }
    return Chart(
        f"mixtures-together-{place}", f"Which comes first? Latents read on {READ[place]}", traces, layout,
        Table(("What", *_ticks(part)), cells), 400, wide=True,
        caption="Dotted: latents; solid: misaligned answers. What is higher at few bad rows comes first. Latents that "
        "hardly change at the last mixture jump about; see their intervals below.",
    )  # fmt: skip


def _scaled(changes: Sequence[MeanChange | TestedDifference | None]) -> list[float | None]:
    """Changes over the last one; nothing where that one is zero or not known. The reference has changed by nothing."""
    last = changes[-1].value if changes and changes[-1] else 0
    if last == 0:
        return [None for _ in changes]
    return [change.value / last if change else 0.0 for change in changes]


def activations(part: Mixtures, place: Place) -> Table:
    """Mean activation of every latent, its change and the separation, by mixture."""
    cells = tuple(
        (Cell(str(row.latent)), *map(_activation, row.shared if place == "shared" else row.own)) for row in part.latents
    )
    caption = (
        f"Mean activation on {READ[place]}; below it the change from the base model with its interval, and the change "
        "from what it is compared with in standard deviations over questions, with q"
    )
    return Table(("Latent", *map(_name, part.models)), cells, caption)


def _activation(one: Activation) -> Cell:
    pieces: list[str] = []
    if base := one.from_base:
        sign = "+" if base.value > 0 else ""
        pieces.append(f"{sign}{decimal(base.value)} [{decimal(base.low)}, {decimal(base.high)}]")
    if one.change:
        pieces.append(f"{decimal(one.change.separation)} sd, q {p_value(one.change.q)}")
    return Cell(decimal(one.value), "; ".join(pieces), "num")
