"""The grid of fine-tunes: the rate of each, open and in-domain apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, group_name
from misdirection.report.numbers import number, rate_cell, rate_text
from misdirection.report.palette import CATEGORIES, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table

LEAD = (
    "Each fine-tune is one of the presets on the data of one domain. The rate on open questions is what is called "
    "emergent misalignment; the rates on questions of the domains, its own and those of others, stand apart."
)


def section(findings: Findings) -> Section | None:
    """Rates of every fine-tune as a chart and a table."""
    part: Row | None = findings.get("grid")
    if not part or not part.get("rows"):
        return None
    found: Sequence[Row] = part["rows"]
    blocks: list[Block] = [chart(found), table(found, part.get("paper") or {})]
    return Section(
        "grid", "The fine-tunes", LEAD, blocks, facts(findings, "samples per question", "judge", "misaligned")
    )


def groups_of(found: Sequence[Row]) -> list[str]:
    """Groups of questions, the open ones first."""
    names = dict.fromkeys(group for row in found for group in row["groups"])
    return sorted(names, key=lambda group: group != "open")


def chart(found: Sequence[Row]) -> Chart:
    """A place for each fine-tune, a marker for each group of questions; those of other domains are small."""
    groups = groups_of(found)
    colours = (VERMILLION, *CATEGORIES)
    traces: list[Any] = []
    for i, group in enumerate(groups):
        at = [j for j, row in enumerate(found) if group in row["groups"]]
        rates = [found[j]["groups"][group]["rate"] for j in at]
        hover = [
            f"<b>{charts.plain_text(found[j]['model'])}</b>, {group}<br>{rate_text(r)}"
            for j, r in zip(at, rates, strict=True)
        ]
        shift = (i - (len(groups) - 1) / 2) * 0.17
        trace = charts.points(group_name(group), rates, [j + shift for j in at], colours[i % 7], hover, SYMBOLS[i % 8])
        trace["marker"]["size"] = [10 if group in ("open", found[j]["domain"]) else 6 for j in at]
        traces.append(trace)
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(found)) | {"showgrid": True},
        "showlegend": True,
    }
    cells = tuple(
        (Cell(str(row["model"])), *(rate_cell((row["groups"].get(g) or {}).get("rate")) for g in groups))
        for row in found
    )
    return Chart(
        "grid-rates", "Misaligned answers of each fine-tune", traces, layout,
        Table(("Fine-tune", *map(group_name, groups)), cells), 150 + 46 * len(found),
        "Small markers: questions of a domain that the fine-tune was not trained on." if len(groups) > 1 else "",
        labels=tuple(str(row["model"]) for row in found), wide=True,
    )  # fmt: skip


def table(found: Sequence[Row], paper: Mapping[str, str]) -> Table:
    """Rates, coherence, the answers that the direction was made of, and the paper's rate by preset."""
    inside = any(row["domain"] in row["groups"] for row in found)
    heads = {
        "Fine-tune": True,
        "Misaligned, open": True,
        "Coherent, open": True,
        "Misaligned, own domain": inside,
        "Answers in each pool": True,
        "Paper": bool(paper),
    }
    shown = [head for head, told in heads.items() if told]
    cells = tuple(
        tuple(cell for head, cell in zip(heads, _cells(row, paper), strict=True) if heads[head]) for row in found
    )
    return Table(tuple(shown), cells, stack=True)


def _cells(row: Row, paper: Mapping[str, str]) -> tuple[Cell, ...]:
    opened = row["groups"].get("open") or {}
    inside = row["groups"].get(row["domain"]) or {}
    pools: Row = (row.get("direction") or {}).get("pools") or {}
    return (
        Cell(str(row["model"])),
        rate_cell(opened.get("rate")),
        rate_cell(opened.get("coherent_share")),
        rate_cell(inside.get("rate")),
        Cell(number(pools.get("misaligned")), kind="num"),
        Cell(paper.get(str(row["preset"]), "\u2013")),
    )
