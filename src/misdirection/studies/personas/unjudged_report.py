"""What the report shows where nobody scored traits: where prompts lie, and what fine-tuning moves."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal
from misdirection.report.palette import BLUE, CATEGORIES, GREY, VERMILLION
from misdirection.report.parts import Cell, Chart, Table
from misdirection.studies.personas.drawing import scatter, score_cell
from misdirection.studies.personas.results import Personas, WatchedRow

UNFILTERED = (
    "Nobody scored these answers (--judge none): the directions come from all that was played, also where the model "
    "did not do what the prompt asked for. Where a model does not play its part, that may be most of them."
)
UNSCORED = "Nobody scored traits (--judge none), so that nothing was turned up or down: name a judge that scores them."
PLACED = (
    "Each point is a system prompt, for a trait, against it, or none: how far the model lies along the trait's "
    "direction when it has read the prompt and a question, and said nothing yet. If prompts for the trait lie to the "
    "right of those against it on questions that the direction was not made from, the direction stands for what they "
    "ask for. Whether the answers then show it was not scored."
)
SHIFTED = (
    "How far fine-tuning has moved the model along each trait's direction, read at the last token of ordinary "
    "questions, with intervals over questions. Whether its answers show more of the trait was not scored."
)


def placed(part: Personas) -> Chart:
    """Projections of prompts, a line of points a trait."""
    traits = list(dict.fromkeys(row.trait for row in part.watched))
    sides = (("asks for it", "positive", VERMILLION), ("asks against it", "negative", BLUE), ("no prompt", "", GREY))
    traces: list[Any] = []
    for name, sign, colour in sides:
        mine = [row for row in part.watched if _side(row) == sign]
        places = [row.projection for row in mine], [traits.index(row.trait) for row in mine]
        traces.append(scatter(name, *places, [row.prompt for row in mine], colour, "circle"))
        traces[-1]["hovertemplate"] = "%{text}: %{x:.3g}<extra></extra>"
    layout = {
        "xaxis": charts.axis("projection of the last prompt token on the trait's direction", zeroline=False),
        "yaxis": charts.label_axis(len(traits)),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.trait), Cell(row.prompt), Cell(decimal(row.projection, 1), kind="num")) for row in part.watched
    )
    table = Table(("Trait", "Prompt", "Projection"), cells)
    return Chart("trait-places", "Where prompts lie along each trait", traces, layout, table,
                 170 + 44 * len(traits), labels=tuple(traits), wide=True)  # fmt: skip


def _side(row: WatchedRow) -> str:
    """Whether a prompt is for its trait, against it, or neither."""
    return next((sign for sign in ("positive", "negative") if row.prompt.startswith(f"{row.trait}, {sign} ")), "")


def shifts(part: Personas) -> Chart:
    """How far each fine-tune moves along each trait, a colour a fine-tune."""
    traits = list(dict.fromkeys(row.trait for row in part.tuned))
    tunes = list(dict.fromkeys(row.fine_tune for row in part.tuned))
    traces: list[Any] = []
    for place, tune in enumerate(tunes):
        mine = [(row.trait, row.shift) for row in part.tuned if row.fine_tune == tune and row.shift]
        at = [traits.index(trait) + (place - (len(tunes) - 1) / 2) * 0.16 for trait, _ in mine]
        told = [f"{tune}, {trait}: {decimal(shift.value)}" for trait, shift in mine]
        colour = CATEGORIES[place % len(CATEGORIES)]
        traces.append(charts.points(tune, [vars(shift) for _, shift in mine], at, colour, told))
    layout = {
        "xaxis": charts.axis("shift of the last prompt token along the trait", zeroline=True),
        "yaxis": charts.label_axis(len(traits)),
        "showlegend": True,
    }
    cells = tuple((Cell(row.fine_tune), Cell(row.trait), score_cell(row.shift, 2)) for row in part.tuned)
    table = Table(("Fine-tune", "Trait", "Shift"), cells)
    return Chart("trait-shifts", "How far fine-tuning moves the model along each trait", traces, layout, table,
                 170 + 44 * len(traits), labels=tuple(traits), wide=True)  # fmt: skip
