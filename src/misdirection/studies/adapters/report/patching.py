"""Scalars of one prompt replayed on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import number, p_value, percent, points_cell, rate_cell, rate_text, rate_value
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.adapters.report.scaling import notes, paper
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.interventions import PatchedGroup

LEAD = (
    "The scalars that each adapter computes while it answers one prompt are recorded and put in the place of its own "
    "while it answers another prompt of as many tokens. If the rate stays, they steer alike whatever they read. "
    "Two controls: an answer's own scalars must change no word; their mean at every token is steering without any "
    "context. Each row compares the same prompts and random numbers, clean and patched."
)


def section(results: AdaptersResults) -> Section | None:
    """Clean against patched by group, the table with answers cut as in the paper, and the pairs."""
    part = results.adapter_patching
    if not part or not part.groups:
        return None
    groups = part.groups
    blocks: list[Block] = [
        *notes(part.words, part.notes), chart(groups), table(groups), pairs(groups), paper(part.paper)
    ]  # fmt: skip
    facts = (
        ("prompts found by", "equal token length"),
        ("cut", "answers cut to the recorded answer's length, as in the paper; clean ones too"),
    )
    return Section("adapter-patching", "Scalars replayed on another prompt", LEAD, blocks, facts)


def chart(groups: Sequence[PatchedGroup]) -> Chart:
    """Clean and patched rates side by side."""
    traces: list[Any] = []
    for name, colour, symbol, shift in (("clean", BLUE, "circle", -0.13), ("patched", VERMILLION, "square", 0.13)):
        rates = [(g.whole.clean if name == "clean" else g.whole.patched).rate for g in groups]
        hover = [
            f"<b>{name}</b> {charts.plain_text(g.label)}<br>{rate_text(r)}" for g, r in zip(groups, rates, strict=True)
        ]
        traces.append(charts.points(name, rates, [i + shift for i in range(len(groups))], colour, hover, symbol))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers"),
        "yaxis": charts.label_axis(len(groups)),
        "showlegend": True,
    }
    cells = tuple((Cell(g.label), rate_cell(g.whole.clean.rate), rate_cell(g.whole.patched.rate)) for g in groups)
    return Chart(
        "adapter-patching",
        "Misaligned answers, clean and patched",
        traces,
        layout,
        Table(("Scalars of", "Clean", "Patched"), cells),
        150 + 46 * len(groups),
        "Whole answers, 95 % intervals over questions.",
        labels=tuple(f"{g.label} ({g.questions} questions)" for g in groups),
        wide=True,
    )


def table(groups: Sequence[PatchedGroup]) -> Table:
    """Paired changes, whole and cut."""
    columns = ("Scalars of", "Pairs", "Same words", "Coherent", "Difference, points", "p", "Cut: clean", "Cut: patched",
               "Cut: difference")  # fmt: skip
    rows = tuple(
        (Cell(g.label, f"on {g.questions} questions"), Cell(number(len(g.pairs)), kind="num"),
         Cell(percent(g.identical, 0), kind="num"), rate_cell(g.whole.patched.coherent_share),
         points_cell(g.whole.difference), Cell(p_value(g.whole.difference.p), kind="num"),
         Cell(rate_value(g.cut.clean.rate), kind="num"), Cell(rate_value(g.cut.patched.rate), kind="num"),
         points_cell(g.cut.difference))
        for g in groups
    )  # fmt: skip
    return Table(columns, rows, "Change by group, whole answers and cut ones", stack=True)


def pairs(groups: Sequence[PatchedGroup]) -> Table:
    """Which prompts were paired."""
    rows = tuple(
        (Cell(g.group), Cell(p.donor), Cell(p.recipient), Cell(number(p.tokens), kind="num"))
        for g in groups
        if g.group in ("open", "domain", "open to domain", "domain to open")
        for p in g.pairs[:4]
    )
    return Table(("Group", "Scalars of", "replayed on", "Tokens"), rows, "Pairs of prompts (the first four of a group)",
                 stack=True)  # fmt: skip
