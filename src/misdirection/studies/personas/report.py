"""Traits of character: their directions, steering, what a prompt tells beforehand, and what fine-tuning moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.heatmap import heatmap, heatmap_layout, matrix_chart
from misdirection.report.numbers import decimal, known, number, p_value, percent
from misdirection.report.palette import CATEGORIES, GREY, SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.studies.personas.drawing import scatter, score_cell
from misdirection.studies.personas.results import DoseRow, Personas, PersonasResults
from misdirection.studies.personas.unjudged_report import PLACED, SHIFTED, UNFILTERED, UNSCORED, placed, shifts

PLAYED = "The model was asked to play each trait, and its opposite"
KEPT = f"{PLAYED}; a judge kept the answers in which it did."
VECTORS = (
    "What differs between the two inside the model, on average, is an arrow: the trait's direction. If the arrow found "
    "from one half of the answers is nearly the one found from the other half (stability close to 1), it is no "
    "accident of the sample. Two traits whose arrows point the same way (cosine close to 1) are hard to tell apart for "
    "the model."
)
STEERING = (
    "While the model answers, a multiple of a trait's direction is added to what it computes. To the right it is asked "
    "plainly and pushed towards the trait; to the left it is told by its system prompt to play the trait and pushed "
    "away from it. If the direction stands for the trait, the first rises and the second falls, while a random "
    "direction of the same length (grey) changes nothing. Answers must stay coherent: a push that is too strong makes "
    "babble, which is no trait."
)
WATCHING = (
    "Each point is a prompt: a system prompt for or against a trait, none at all, or a conversation that already shows "
    "the trait. Across: how far the model has moved along the trait's direction when it has read the prompt and said "
    "nothing yet. Up: how much of the trait its answers then show. If points rise to the right, the trait can be seen "
    "coming. Within one prompt, from question to question, the same figure tells less; both are given."
)
TUNED = (
    "Each point is a fine-tune and a trait. Across: how far fine-tuning has moved the model along the trait's "
    "direction, read at the last token of ordinary questions. Up: how much more of the trait its answers show than the "
    "base model's. If points rise to the right, a look inside tells what a fine-tune did to the model's character. "
    "The table of correlations tells whether each direction stands for its own trait or for bad character at large."
)
NONE = "No fine-tune was set beside the traits: name one with --data NAME=FILE or --fine-tune NAME=FOLDER."


def vectors(results: PersonasResults) -> Section:
    """Pairs, layers, stability by layer, and cosines between traits."""
    part = results.personas
    blocks: list[Block] = [overview(part), stability(part), cosine_map(part)]
    if not part.judged:
        blocks.insert(0, Note(UNFILTERED))
    told = facts(results, "samples per question", "judge", "convention")
    lead = f"{KEPT if part.judged else f'{PLAYED}.'} {VECTORS}"
    return Section("traits", "Traits as directions", lead, blocks, told)


def overview(part: Personas) -> Table:
    """A row a trait."""
    heads = ("Trait", "Pairs of answers kept", "Layer", "Chosen by", "Norm at the layer", "Stability there")
    body = tuple(
        (Cell(row.trait, row.description), Cell(f"{row.pairs} of {row.tried}", _fell(row.fell_away), "num"),
         Cell(number(row.layer), kind="num"), Cell(row.chosen_by),
         Cell(number(row.norm[row.layer]), f"shuffled labels {number(row.shuffled_norm[row.layer])}", "num"),
         Cell(decimal(row.stability[row.layer]), kind="num"))
        for row in part.traits
    )  # fmt: skip
    return Table(heads, body, "Traits", stack=True)


def _fell(why: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in why.items() if count)


def stability(part: Personas) -> Chart:
    """By layer: halves of the answers, and prompts for a trait against prompts against it."""
    traces: list[Any] = []
    for place, row in enumerate(part.traits):
        colour, layers = CATEGORIES[place % len(CATEGORIES)], list(range(len(row.stability)))
        traces.append(charts.line(f"{row.trait}: stability", layers, row.stability, colour))
        layers = list(range(len(row.separation)))
        traces.append(charts.dashed(f"{row.trait}: prompts told apart", layers, row.separation, colour))
    layout = {
        "xaxis": charts.axis("layer", zeroline=False),
        "yaxis": charts.axis("cosine of halves; area under the curve", range=[-0.05, 1.05]),
        "showlegend": True,
    }
    heads = ("Trait", "Layer", "Stability", "Prompts told apart")
    cells = tuple(
        (Cell(row.trait), Cell(number(layer), kind="num"), Cell(decimal(one), kind="num"),
         Cell(decimal(other), kind="num"))
        for row in part.traits
        for layer, (one, other) in enumerate(zip(row.stability, row.separation, strict=False))
    )  # fmt: skip
    return Chart(
        "traits-stability", "How sure the directions are, by layer", traces, layout, Table(heads, cells), 380,
        "Solid: cosine between the directions of two halves of the answers. Dashed: how well the last token of a "
        "prompt tells prompts that ask for the trait from those against it; 0.5 is chance.", wide=True,
    )  # fmt: skip


def cosine_map(part: Personas) -> Chart:
    """Cosines of every two traits, each row at its own trait's layer."""
    names = list(
        dict.fromkeys([row.trait for row in part.traits] + [name for row in part.traits for name in row.cosines])
    )
    values = [[row.cosines.get(name) for name in names] for row in part.traits]
    labels = tuple(f"{row.trait}, layer {row.layer}" for row in part.traits)
    return matrix_chart(
        "traits-cosines", "Cosines between traits", values, labels, names, 160 + 44 * len(labels), corner="Trait",
        wide=False,
    )  # fmt: skip


def steering(results: PersonasResults) -> Section:
    """Dose and response at the chosen layers, and the sweep over layers."""
    part = results.personas
    if not part.judged:
        return Section("trait-steering", "Traits turned up and down", STEERING, [Note(UNSCORED)])
    measured = [row for row in part.doses if not row.sweep]
    swept = [row for row in part.doses if row.sweep]
    blocks: list[Block] = [curves(measured), dose_table(measured, "Answers under each dose")]
    blocks.append(dose_table(swept, "The choice of the layer (other random numbers)"))
    told = (("coherent answers to keep", percent(part.coherent_share, 0)), *facts(results, "max new tokens"))
    return Section("trait-steering", "Traits turned up and down", STEERING, blocks, told)


def curves(measured: Sequence[DoseRow]) -> Chart:
    """Score against multiple, a colour a trait."""
    traces: list[Any] = []
    for place, trait in enumerate(dict.fromkeys(row.trait for row in measured)):
        colour = CATEGORIES[place % len(CATEGORIES)]
        for under, dash in (("no system prompt", "solid"), ("asked for it", "dash")):
            mine = [row for row in measured if row.trait == trait and row.under == under]
            traces += _curve(f"{trait}, {under}", [row for row in mine if not row.control], colour, dash)
            traces += _curve(f"{trait}, {under}, random", [row for row in mine if row.control], GREY, "dot")
    layout = {
        "xaxis": charts.axis("multiple of the trait's direction", zeroline=True),
        "yaxis": charts.axis("score of the trait, 0 to 100", range=[-3, 103]),
        "showlegend": True,
    }
    return Chart("trait-doses", "Dose and response", traces, layout, dose_table(measured), 420, wide=True)


def _curve(name: str, rows: Sequence[DoseRow], colour: str, dash: str) -> list[Any]:
    held = sorted((row for row in rows if known(row.score.value)), key=lambda row: row.coefficient)
    if not held:
        return []
    values = [row.score.value for row in held]
    bars = charts.errors(values, [row.score.low for row in held], [row.score.high for row in held], colour)
    look = {"color": colour, "dash": dash, "width": 2}
    hover = [f"coherent {percent(row.coherent, 0)}" for row in held]
    trace = charts.line(name, [row.coefficient for row in held], values, colour, line=look, error_y=bars, text=hover)
    return [trace | {"hovertemplate": "%{y:.0f} at %{x}, %{text}<extra></extra>"}]


def dose_table(rows: Sequence[DoseRow], caption: str = "") -> Table:
    """A row a dose."""
    heads = ("Trait", "Layer", "Multiple", "Asked", "Score of the trait", "Coherent")
    body = tuple(
        (Cell(row.trait, "random direction" if row.control else ""), Cell(number(row.layer), kind="num"),
         Cell(decimal(row.coefficient), kind="num"), Cell(row.under), score_cell(row.score),
         Cell(percent(row.coherent), kind="num"))
        for row in rows
    )  # fmt: skip
    return Table(heads, body, caption, stack=True)


def watching(results: PersonasResults) -> Section:
    """A point a prompt, and the correlations."""
    part = results.personas
    if not part.judged:
        return Section("trait-watching", "Before a word is said", PLACED, [placed(part)], facts(results, "judge"))
    heads = ("Trait", "Prompts", "How", "Correlation")
    cells = tuple((Cell(row.trait), Cell(row.kinds), Cell(row.how), score_cell(row.r, 2)) for row in part.correlations)
    told = "Correlations over prompts and questions; intervals draw questions"
    blocks: list[Block] = [prompts(part), Table(heads, cells, told, stack=True)]
    blocks.append(Note(f"The paper (Qwen2.5-7B and Llama-3.1-8B): {part.paper.get('watching', 'no figure')}."))
    return Section("trait-watching", "Before a word is said", WATCHING, blocks, facts(results, "judge"))


def prompts(part: Personas) -> Chart:
    """Projection against score, a colour a trait, a symbol a kind of prompt."""
    traces: list[Any] = []
    rows = [row for row in part.watched if known(row.score)]
    for place, trait in enumerate(dict.fromkeys(row.trait for row in rows)):
        for kind in dict.fromkeys(row.kind for row in rows):
            mine = [row for row in rows if row.trait == trait and row.kind == kind]
            symbol = "diamond" if kind == "many-shot" else "circle"
            colour = CATEGORIES[place % len(CATEGORIES)]
            told = [row.prompt for row in mine]
            places = [row.projection for row in mine], [row.score for row in mine]
            traces.append(scatter(f"{trait}, {kind}", *places, told, colour, symbol))
    layout = {
        "xaxis": charts.axis("projection of the last prompt token on the trait's direction", zeroline=False),
        "yaxis": charts.axis("score of the trait in the answers", range=[-3, 103]),
        "showlegend": True,
    }
    heads = ("Trait", "Prompt", "Projection", "Score of what follows")
    cells = tuple(
        (Cell(row.trait), Cell(row.prompt, row.kind), Cell(decimal(row.projection, 1), kind="num"),
         Cell(decimal(row.score, 1), kind="num"))
        for row in part.watched
    )  # fmt: skip
    title = "The last token of a prompt against what follows"
    return Chart("trait-prompts", title, traces, layout, Table(heads, cells), 420, wide=True)


def fine_tunes(results: PersonasResults) -> Section:
    """Shift against change, scores by fine-tune, and the cross-trait matrix."""
    part = results.personas
    if part.tuned and not part.judged:
        return Section("trait-fine-tunes", "What fine-tuning moves", SHIFTED, [shifts(part)], facts(results, "judge"))
    blocks: list[Block] = [moved(part), scores(part)] if part.tuned else [Note(NONE)]
    if any(known(row.r) for row in part.matrix):
        blocks.append(matrix(part))
    elif part.matrix:
        blocks.append(Note("Shift and behaviour cannot be correlated: no trait's score differs between fine-tunes."))
    blocks.append(Note(f"The paper (24 fine-tunes of two models each): {part.paper.get('fine-tuning', 'no figure')}."))
    return Section("trait-fine-tunes", "What fine-tuning moves", TUNED, blocks, facts(results, "judge"))


def moved(part: Personas) -> Chart:
    """Shift against change, a colour a trait, a symbol a fine-tune."""
    rows = [(row, row.shift, row.change) for row in part.tuned if row.shift and row.change]
    names = list(dict.fromkeys(row.fine_tune for row, _, _ in rows))
    traces: list[Any] = []
    for place, trait in enumerate(dict.fromkeys(row.trait for row, _, _ in rows)):
        mine = [held for held in rows if held[0].trait == trait and known(held[1].value) and known(held[2].value)]
        symbols = [SYMBOLS[names.index(row.fine_tune) % len(SYMBOLS)] for row, _, _ in mine]
        places = [shift.value for _, shift, _ in mine], [change.value for _, _, change in mine]
        told = [f"{row.fine_tune}, {row.trait}" for row, _, _ in mine]
        traces.append(scatter(trait, *places, told, CATEGORIES[place % len(CATEGORIES)], symbols))
    layout = {
        "xaxis": charts.axis("shift of the last prompt token along the trait", zeroline=True),
        "yaxis": charts.axis("change of the trait's score", zeroline=True),
        "showlegend": True,
    }
    heads = ("Fine-tune", "Trait", "Shift", "Change of the score")
    cells = tuple(
        (Cell(row.fine_tune), Cell(row.trait), score_cell(shift), score_cell(change)) for row, shift, change in rows
    )
    title = "Shift inside against change in the answers"
    return Chart("trait-shifts", title, traces, layout, Table(heads, cells), 420, wide=True)


def scores(part: Personas) -> Table:
    """Every fine-tune's score of every trait."""
    heads = ("Model", "Trait", "Score", "Change from the base")
    cells = tuple(
        (Cell(row.fine_tune), Cell(row.trait), score_cell(row.score), score_cell(row.change)) for row in part.tuned
    )
    return Table(heads, cells, "Scores of the traits, 0 to 100", stack=True)


def matrix(part: Personas) -> Chart:
    """Correlation of shift and behaviour for every pair of traits."""
    along, shown = (list(dict.fromkeys(getattr(row, name) for row in part.matrix)) for name in ("vector", "shown"))
    held = {(row.vector, row.shown): row for row in part.matrix}
    values = [[held[v, s].r if (v, s) in held else None for s in shown] for v in along]
    heads = ("Shift along", "Change in showing", "Correlation", "p", "Fine-tunes")
    cells = tuple(
        (Cell(row.vector), Cell(row.shown), Cell(decimal(row.r), kind="num"), Cell(p_value(row.p), kind="num"),
         Cell(number(row.fine_tunes), kind="num"))
        for row in part.matrix
    )  # fmt: skip
    return Chart(
        "trait-matrix", "Correlation of the shift along one trait (rows) with showing another (columns)",
        [heatmap(values, along, shown, -1, 1, ".2f")], heatmap_layout(shown, len(along)), Table(heads, cells),
        170 + 44 * len(along), "p under all orders of the fine-tunes.", labels=tuple(along),
    )  # fmt: skip


SECTIONS = (
    Entry("Traits as directions", ("personas",), True, vectors, ("personas",), PersonasResults),
    Entry("Traits turned up and down", ("personas",), True, steering, ("personas",), PersonasResults),
    Entry("Before a word is said", ("personas",), True, watching, ("personas",), PersonasResults),
    Entry("What fine-tuning moves", ("personas",), True, fine_tunes, ("personas",), PersonasResults),
)
