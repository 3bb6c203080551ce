"""Screening: what training on filtered data does, how far each method finds the bad rows, and what it scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.numbers import bounds, decimal, known, number, percent, rate_cell, rate_text, shorten
from misdirection.report.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Findings, Note, Section, Table

LEAD = (
    "Every method takes the same number of rows out of the training data, and a model is trained on what is left, "
    "with the same number of optimiser steps and over several seeds. A method is good when EM falls further than with "
    "random removal, and good answers in the domains of the data stay or rise. Removing the rows furthest from toxic "
    "latents should do harm, if anything."
)
CONTROLS = ("random", "furthest")
SHOWN = 220
"""Characters of an answer in the table of rows."""


def section(findings: Findings) -> Section | None:
    """Rates by method, the table behind them, the distributions of scores, and the rows at the top of each ranking."""
    part: Row | None = findings.get("screening")
    if not part or not part.get("methods"):
        return None
    paper: Row = part.get("paper") or {}
    blocks: list[Block] = [rates(part), table(part)]
    blocks += [Note(f"The papers: {paper[name]}.") for name in ("latents", "projection") if name in paper]
    if agreement(part):
        blocks.append(precision(part))
    blocks += [histogram(place, held) for place, held in enumerate(part.get("scores") or ())]
    blocks += [top(held) for held in part.get("top") or () if held.get("rows")]
    told = (
        ("rows", number(part.get("rows"))),
        ("dropped by each method", number(part.get("dropped"))),
        ("fine-tunes a method", number(part.get("seeds"))),
        ("optimiser steps", number(part.get("steps"))),
        ("preset", str(part.get("preset"))),
    )
    return Section(
        "screening", "Screening training data", LEAD, blocks, told + facts(findings, "judge", "samples per question")
    )


def rates(part: Row) -> Chart:
    """EM and bad answers in the domains of every arm, with intervals; the base model and all rows as lines."""
    methods: Sequence[Row] = part["methods"]
    names = [str(row["name"]) for row in methods]
    series = [("EM, open questions", "open", "misaligned", VERMILLION, "circle")]
    if any("domains" in row for row in methods):
        series.append(("bad answers in the domains", "domains", "misaligned", PURPLE, "square"))
        series.append(("good answers in the domains", "domains", "good", GREEN, "diamond"))
    traces: list[Any] = []
    for i, (name, group, what, colour, symbol) in enumerate(series):
        at = [j for j, row in enumerate(methods) if group in row]
        held = [methods[j][group][what] for j in at]
        hover = [
            f"<b>{charts.plain_text(names[j])}</b><br>{name}<br>{rate_text(rate)}"
            for j, rate in zip(at, held, strict=True)
        ]
        places = [j + (i - (len(series) - 1) / 2) * 0.2 for j in at]
        traces.append(charts.points(name, held, places, colour, hover, symbol))
    whole = methods[0]["open"]["misaligned"]["value"]
    layout = {
        "xaxis": charts.share_axis("share of all answers", side="top", range=[0, 1.05]),
        "yaxis": charts.label_axis(len(methods)),
        "shapes": [charts.level(whole, "x")] if known(whole) else [],
        "showlegend": True,
    }
    body = tuple(
        (Cell(str(row["name"])), *(rate_cell((row.get(group) or {}).get(what)) for _, group, what, _, _ in series))
        for row in methods
    )
    return Chart(
        "screening-rates", "After training on what each method keeps", traces, layout,
        Table(("Trained on", *(name for name, *_ in series)), body), 150 + 56 * len(methods),
        "Intervals over questions and seeds. The dotted line is EM after training on all rows.", tuple(names),
        wide=True,
    )  # fmt: skip


def table(part: Row) -> Table:
    """The numbers, with the relative reduction against all rows."""
    inside = any("domains" in row for row in part["methods"])
    heads = ("Trained on", "EM, open", "Reduction of EM", "Coherent, open")
    heads += ("Bad in the domains", "Good in the domains") if inside else ()
    base: Row = part.get("base") or {}
    rows = [("base model, not trained", base, GREY), *((str(r["name"]), r, _colour(r)) for r in part["methods"])]
    body = tuple(_row(name, row, colour, inside) for name, row, colour in rows)
    return Table(heads, body, "EM, reduction against training on all rows, and skill in the domains", stack=True)


def _row(name: str, row: Row, colour: str, inside: bool) -> tuple[Cell, ...]:
    held: Row = row.get("open") or {}
    found: Row = held.get("reduction") or {}
    seeds = ", ".join(percent(value) for value in (held.get("misaligned") or {}).get("by_seed") or ())
    cells = (
        Cell(name, f"by seed: {seeds}" if seeds and "," in seeds else "", colour=colour),
        rate_cell(held.get("misaligned")),
        Cell(percent(found.get("value"), 0), bounds(found), "num"),
        rate_cell(held.get("coherent")),
    )
    domains: Row = row.get("domains") or {}
    return (*cells, rate_cell(domains.get("misaligned")), rate_cell(domains.get("good"))) if inside else cells


def _colour(row: Row) -> str:
    name = str(row["name"])
    return VERMILLION if name == "unfiltered" else GREY if name in CONTROLS else BLUE


def agreement(part: Row) -> bool:
    """Whether it is known which rows are bad."""
    return part.get("known_bad") is not None


def precision(part: Row) -> Table:
    """What each method dropped against what is known, a mean over the draws of random removal."""
    body: list[tuple[Cell, ...]] = []
    for row in part["methods"]:
        held = [choice["agreement"] for choice in row.get("choices") or () if choice.get("agreement")]
        if not held:
            continue
        means = {
            key: sum(one[key] for one in held) / len(held)
            for key in ("precision", "recall", "auc")
            if all(known(one[key]) for one in held)
        }
        found = ", ".join(f"{number(one['found'])} of {number(one['dropped'])}" for one in held)
        body.append(
            (
                Cell(str(row["name"]), str(row.get("does") or ""), colour=_colour(row)),
                Cell(percent(means.get("precision")), found, "num"),
                Cell(percent(means.get("recall")), f"of {number(part['known_bad'])}", "num"),
                Cell(decimal(means.get("auc"), 3), kind="num"),
            )
        )
    heads = ("Method", "Precision: bad among the dropped", "Recall: bad rows dropped", "AUC of the scores")
    chance = f"{percent(part['known_bad'] / part['rows'])} of all rows are bad" if part.get("rows") else ""
    return Table(heads, tuple(body), f"Agreement with what is known of the rows ({chance})", stack=True)


def histogram(place: int, held: Row) -> Chart:
    """Scores of good and bad rows, as shares of each, and where the cut is."""
    edges: Sequence[float] = held["edges"]
    middle = [(a + b) / 2 for a, b in pairwise(edges)]
    colours = {"good": BLUE, "bad": VERMILLION, "rows": BLUE}
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for name, counts in held["counts"].items():
        total = max(1, sum(counts))
        traces.append(
            {
                "type": "bar",
                "name": name if name == "rows" else f"{name} rows",
                "x": middle,
                "y": [count / total for count in counts],
                "marker": {"color": colours[name], "opacity": 0.6},
                "hovertemplate": "score %{x:.4g}: %{y:.1%}<extra>" + name + "</extra>",
            }
        )
        body.append(
            (Cell(name), Cell(number(sum(counts)), kind="num"), Cell(decimal(_mean(middle, counts), 3), "", "num"))
        )
    cut = held.get("threshold")
    layout = {
        "xaxis": charts.axis("score, higher is dropped first", zeroline=False),
        "yaxis": charts.share_axis("share of the rows"),
        "shapes": [charts.level(cut, "x", "dropped from here")] if known(cut) else [],
        "barmode": "overlay",
        "bargap": 0.04,
        "showlegend": len(traces) > 1,
    }
    aside = f" {number(held['unscored'])} rows have no score." if held.get("unscored") else ""
    return Chart(
        f"screening-scores-{place}", f"Scores: {held['method']}", traces, layout,
        Table(("Rows", "Number", "Mean score"), tuple(body)), 260,
        f"The outermost bins hold what lies beyond them.{aside}",
    )  # fmt: skip


def _mean(middle: Sequence[float], counts: Sequence[int]) -> float | None:
    total = sum(counts)
    return sum(x * n for x, n in zip(middle, counts, strict=True)) / total if total else None


def top(held: Row) -> Table:
    """Rows at the top of one ranking."""
    body = tuple(
        (
            Cell(number(row["score"]), f"row {number(row['row'])}", "num"),
            Cell(_truth(row), str(row.get("kind") or "")),
            Cell(shorten(row["question"], SHOWN)),
            Cell(shorten(row["answer"], SHOWN)),
        )
        for row in held["rows"]
    )
    return Table(("Score", "Known", "Question", "Answer"), body, f"Dropped first: {held['method']}", stack=True)


def _truth(row: Row) -> str:
    return "\u2013" if row.get("bad") is None else "bad" if row["bad"] else "good"


SECTIONS = (Entry("Screening training data", ("screening",), True, section, ("screening",)),)
