"""Several fine-tunes: the rate of each, open and in-domain apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, group_name, open_first
from misdirection.report.numbers import DASH, number, rate_cell, rate_text
from misdirection.report.palette import CATEGORIES, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table
from misdirection.results import FineTuneRow, FineTunes, RateRow, Results

LEAD = (
    "Each fine-tune is one of the presets on the data of one domain. The rate on open questions is what is called "
    "emergent misalignment; the rates on questions of the domains, its own and those of others, stand apart."
)


def section(part: FineTunes, results: Findings | Results) -> Section:
    """Rates of every fine-tune as a chart and a table; settings are those of the study's `results`."""
    blocks: list[Block] = [chart(part.rows), table(part.rows, part.paper)]
    return Section(
        "grid", "The fine-tunes", LEAD, blocks, facts(results, "samples per question", "judge", "misaligned")
    )


def chart(rows: Sequence[FineTuneRow]) -> Chart:
    """A place for each fine-tune, a marker for each group of questions; those of other domains are small."""
    groups = open_first(group for row in rows for group in row.groups)
    colours = (VERMILLION, *CATEGORIES)
    traces: list[Any] = []
    for i, group in enumerate(groups):
        at = [j for j, row in enumerate(rows) if group in row.groups]
        rates = [rows[j].groups[group].rate for j in at]
        hover = [
            f"<b>{charts.plain_text(rows[j].model)}</b>, {group}<br>{rate_text(r)}"
            for j, r in zip(at, rates, strict=True)
        ]
        shift = (i - (len(groups) - 1) / 2) * 0.17
        trace = charts.points(group_name(group), rates, [j + shift for j in at], colours[i % 7], hover, SYMBOLS[i % 8])
        trace["marker"]["size"] = [10 if group in ("open", rows[j].domain) else 6 for j in at]
        traces.append(trace)
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(rows)) | {"showgrid": True},
        "showlegend": True,
    }
    heads = ("Fine-tune", *map(group_name, groups), *(f"Coherent, {group}" for group in groups))
    cells = tuple(
        (
            Cell(row.model),
            *(rate_cell(_rate(row, group)) for group in groups),
            *(rate_cell(_coherent(row, group)) for group in groups),
        )
        for row in rows
    )
    return Chart(
        "grid-rates", "Misaligned answers of each fine-tune", traces, layout, Table(heads, cells), 150 + 46 * len(rows),
        "Small markers: questions of a domain that the fine-tune was not trained on." if len(groups) > 1 else "",
        labels=tuple(row.model for row in rows), wide=True,
    )  # fmt: skip


def table(rows: Sequence[FineTuneRow], paper: Mapping[str, str]) -> Table:
    """Rates, coherence, the answers that the direction was made of, and the paper's rate by preset."""
    inside = any(row.domain in row.groups for row in rows)
    heads = ("Fine-tune", "Misaligned, open", "Coherent, open", *(("Misaligned, own domain",) if inside else ()),
             "Answers in each pool", "Paper")  # fmt: skip
    cells = tuple(
        (
            Cell(row.model),
            rate_cell(_rate(row, "open")),
            rate_cell(_coherent(row, "open")),
            *((rate_cell(_rate(row, row.domain)),) if inside else ()),
            Cell(number(row.direction.pools.misaligned if row.direction else None), kind="num"),
            Cell(paper.get(str(row.preset), DASH)),
        )
        for row in rows
    )
    return Table(heads, cells, stack=True)


def _rate(row: FineTuneRow, group: str | None) -> RateRow | None:
    return row.groups[group].rate if group is not None and group in row.groups else None


def _coherent(row: FineTuneRow, group: str) -> RateRow | None:
    return row.groups[group].coherent_share if group in row.groups else None
