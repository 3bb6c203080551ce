"""Screening: what training on filtered data does, how far each method finds the bad rows, and what it scores."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import DASH, bounds, decimal, number, percent, rate_cell, rate_text, shorten
from misdirection.report.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results import RateRow
from misdirection.results.seeds import Behaviour, Groups
from misdirection.studies.screening.results import (
    Histogram,
    Screening,
    ScreeningResults,
    Top,
    TopRow,
    TrainedArm,
)

LEAD = (
    "Every method takes the same number of rows out of the training data, and a model is trained on what is left, "
    "with the same number of optimiser steps and over several seeds. A method is good when misalignment falls further "
    "than with random removal, and good answers in the domains of the data stay or rise. Removing the rows furthest "
    "from toxic latents should do harm, if anything."
)
CONTROLS = ("random", "furthest")
SHOWN = 220
"""Characters of an answer in the table of rows."""


def section(results: ScreeningResults) -> Section:
    """Rates by method, the table behind them, the distributions of scores, and the rows at the top of each ranking."""
    part = results.screening
    blocks: list[Block] = [rates(part), table(part)]
    blocks += [Note(f"The papers: {text}.") for text in part.paper.values()]
    if part.known_bad is not None:
        blocks.append(precision(part, part.known_bad))
    if part.levels:
        blocks.append(shares(part))
    if part.costs:
        blocks.append(costs(part))
    blocks += [histogram(place, scores) for place, scores in enumerate(part.scores)]
    blocks += [top(first) for first in part.top if first.rows]
    told = (
        ("rows", number(part.rows)),
        ("dropped by each method", number(part.dropped)),
        ("fine-tunes a method", number(part.seeds)),
        ("optimiser steps", number(part.steps)),
        ("preset", part.preset),
    )
    return Section(
        "screening", "Screening training data", LEAD, blocks, told + facts(results, "judge", "samples per question")
    )


def rates(part: Screening) -> Chart:
    """EM and bad answers in the domains of every arm, with intervals; the base model and all rows as lines."""
    arms = part.methods
    series: list[tuple[str, Callable[[Groups], RateRow | None], str, str]] = [
        ("misaligned, open questions", lambda arm: arm.open.misaligned, VERMILLION, "circle")
    ]
    if any(arm.domains for arm in arms):
        series += [
            ("bad answers in the domains", lambda arm: arm.domains and arm.domains.misaligned, PURPLE, "square"),
            ("good answers in the domains", lambda arm: arm.domains and arm.domains.good, GREEN, "diamond"),
        ]
    traces: list[Any] = []
    for i, (name, rate_of, colour, symbol) in enumerate(series):
        points = [(j, arm.name, rate) for j, arm in enumerate(arms) if (rate := rate_of(arm))]
        hover = [f"<b>{charts.plain_text(arm)}</b><br>{name}<br>{rate_text(rate)}" for _, arm, rate in points]
        places = [j + (i - (len(series) - 1) / 2) * 0.2 for j, *_ in points]
        traces.append(charts.points(name, [rate for *_, rate in points], places, colour, hover, symbol))
    whole = arms[0].open.misaligned.value
    layout = {
        "xaxis": charts.share_axis("share of all answers", side="top", range=[0, 1.05]),
        "yaxis": charts.label_axis(len(arms)),
        "shapes": [] if whole is None else [charts.level(whole, "x")],
        "showlegend": True,
    }
    body = tuple((Cell(arm.name), *(rate_cell(rate_of(arm)) for _, rate_of, *_ in series)) for arm in arms)
    return Chart(
        "screening-rates", "After training on what each method keeps", traces, layout,
        Table(("Trained on", *(name for name, *_ in series)), body), 150 + 56 * len(arms),
        "Intervals over questions and seeds. The dotted line is the rate after training on all rows.",
        tuple(arm.name for arm in arms), wide=True,
    )  # fmt: skip


def table(part: Screening) -> Table:
    """The numbers, with the relative reduction against all rows."""
    inside = any(arm.domains for arm in part.methods)
    heads = ("Trained on", "Misaligned, open", "Reduction of it", "Coherent, open", "Good, open")
    heads += ("Bad in the domains", "Good in the domains", "Coherent in the domains") if inside else ()
    base = _row("base model, not trained", part.base, GREY, inside)
    body = (base, *(_row(arm.name, arm, _colour(arm), inside) for arm in part.methods))
    return Table(
        heads, body, "Misalignment, its reduction against training on all rows, and skill in the domains", stack=True
    )


def _row(name: str, arm: Groups, colour: str, inside: bool) -> tuple[Cell, ...]:
    found = arm.reduction if isinstance(arm, TrainedArm) else None
    seeds = arm.open.misaligned.by_seed
    cells = (
        Cell(name, f"by seed: {', '.join(map(percent, seeds))}" if len(seeds) > 1 else "", colour=colour),
        rate_cell(arm.open.misaligned),
        Cell(percent(found and found.value, 0), "" if found is None else bounds(found), "num"),
        rate_cell(arm.open.coherent),
        rate_cell(arm.open.good),
    )
    return (*cells, *_domain_cells(arm.domains)) if inside else cells


def _domain_cells(found: Behaviour | None) -> tuple[Cell, ...]:
    rates = (None,) * 3 if found is None else (found.misaligned, found.good, found.coherent)
    return tuple(map(rate_cell, rates))


def _colour(arm: TrainedArm) -> str:
    return VERMILLION if arm.name == "unfiltered" else GREY if arm.name in CONTROLS else BLUE


def precision(part: Screening, known_bad: int) -> Table:
    """What each method dropped against what is known, a mean over the draws of random removal."""
    body: list[tuple[Cell, ...]] = []
    for arm in part.methods:
        draws = [choice.agreement for choice in arm.choices if choice.agreement]
        if not draws:
            continue
        found = ", ".join(f"{number(one.found)} of {number(one.dropped)}" for one in draws)
        body.append(
            (
                Cell(arm.name, arm.does, colour=_colour(arm)),
                Cell(percent(fmean(one.precision for one in draws)), found, "num"),
                Cell(percent(_mean([one.recall for one in draws])), f"of {number(known_bad)}", "num"),
                Cell(decimal(_mean([one.auc for one in draws]), 3), kind="num"),
            )
        )
    heads = ("Method", "Precision: bad among the dropped", "Recall: bad rows dropped", "AUC of the scores")
    chance = f"{percent(known_bad / part.rows)} of all rows are bad"
    return Table(heads, tuple(body), f"Agreement with what is known of the rows ({chance})", stack=True)


def shares(part: Screening) -> Table:
    """Every method at each share dropped: how bad the dropped rows are, and the fall of EM in counts and in rates."""
    body: list[tuple[Cell, ...]] = []
    for one in part.levels:
        counts = "" if one.before is None else f"{number(one.before)} to {number(one.after)} of {number(one.answers)}"
        body.append(
            (
                Cell(one.method, colour=GREY if one.method in CONTROLS else BLUE),
                Cell(percent(one.share, 0), f"{number(one.dropped)} rows", "num"),
                Cell(percent(one.precision), kind="num"),
                Cell(percent(one.recall), kind="num"),
                Cell(percent(one.by_counts, 0), counts, "num"),
                Cell(percent(one.by_rates and one.by_rates.value, 0),
                     "" if one.by_rates is None else bounds(one.by_rates), "num"),
            )
        )  # fmt: skip
    heads = ("Method", "Dropped", "Bad among the dropped", "Bad rows dropped", "Fall of misalignment in counts",
             "Fall in rates")  # fmt: skip
    told = "By share of the rows dropped (a dash where no model was trained on the rest: --curve)"
    return Table(heads, tuple(body), told, stack=True)


def costs(part: Screening) -> Table:
    """Processor time of each method's scores."""
    body = tuple(
        (
            Cell(one.method),
            Cell(decimal(one.own + one.shared, 1), kind="num"),
            Cell(decimal(one.own, 1), kind="num"),
            Cell(decimal(one.shared, 1), kind="num"),
        )
        for one in part.costs
    )
    heads = ("Method", "Processor seconds", "for the scores", "for what they are made of")
    return Table(heads, body, f"What scoring {number(part.rows)} rows costs, the loading of the model left aside")


def _mean(values: list[float | None]) -> float | None:
    """The mean; None where one of them is not known."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def histogram(place: int, scores: Histogram) -> Chart:
    """Scores of good and bad rows, as shares of each, and where the cut is."""
    bins = scores.bins
    middle = [(one.low + one.high) / 2 for one in bins]
    bad = [one.bad for one in bins if one.bad is not None]
    rows = [one.rows for one in bins]
    good = [many - few for many, few in zip(rows, bad, strict=False)]
    series = (("bad", VERMILLION, bad), ("good", BLUE, good)) if bad else (("rows", BLUE, rows),)
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for name, colour, counts in series:
        total = sum(counts)
        traces.append(
            {
                "type": "bar",
                "name": name if name == "rows" else f"{name} rows",
                "x": middle,
                "y": [count / max(1, total) for count in counts],
                "marker": {"color": colour, "opacity": 0.6},
                "hovertemplate": "score %{x:.4g}: %{y:.1%}<extra>" + name + "</extra>",
            }
        )
        mean = sum(x * n for x, n in zip(middle, counts, strict=True)) / total if total else None
        body.append((Cell(name), Cell(number(total), kind="num"), Cell(decimal(mean, 3), "", "num")))
    cut = scores.threshold
    layout = {
        "xaxis": charts.axis("score, higher is dropped first", zeroline=False),
        "yaxis": charts.share_axis("share of the rows"),
        "shapes": [] if cut is None else [charts.level(cut, "x", "dropped from here")],
        "barmode": "overlay",
        "bargap": 0.04,
        "showlegend": len(traces) > 1,
    }
    aside = f" {number(scores.unscored)} rows have no score." if scores.unscored else ""
    return Chart(
        f"screening-scores-{place}", f"Scores: {scores.method}", traces, layout,
        Table(("Rows", "Number", "Mean score"), tuple(body)), 260,
        f"The outermost bins hold what lies beyond them.{aside}",
    )  # fmt: skip


def top(first: Top) -> Table:
    """Rows at the top of one ranking."""
    body = tuple(
        (
            Cell(number(row.score), f"row {number(row.row)}", "num"),
            Cell(_truth(row), row.kind),
            Cell(shorten(row.question, SHOWN)),
            Cell(shorten(row.answer, SHOWN)),
        )
        for row in first.rows
    )
    return Table(("Score", "Known", "Question", "Answer"), body, f"Dropped first: {first.method}", stack=True)


def _truth(row: TopRow) -> str:
    return DASH if row.bad is None else "bad" if row.bad else "good"


SECTIONS = (Entry("Screening training data", ("screening",), True, section, ("screening",), ScreeningResults),)
