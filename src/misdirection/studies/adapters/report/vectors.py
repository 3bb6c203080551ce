"""Adapters as vectors that context switches on: canonical pairs kept, scalars held constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, number, percent
from misdirection.report.palette import along
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.studies.adapters.report.scaling import bars
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.scalars import ModuleForm

LEAD = (
    "A and B of an adapter are not unique, their product is: its singular vectors make r adapters of rank 1, each a "
    "vector that is written as strongly as its own scalar says. In canonical form the adapter must answer as before; "
    "keeping the k leading pairs shows how many are needed, beside as many random ones. With the scalars held at their "
    "mean the adapter is a set of fixed steering vectors: what is lost then is what context did."
)


def section(results: AdaptersResults) -> Section:
    """Singular values by module, and the arms."""
    part = results.adapters.vectors
    blocks: list[Block] = []
    if any(row.rank > 1 for row in part.modules):
        blocks.append(spectra(part.modules))
    blocks.append(bars("adapter-vectors", "Misaligned and coherent answers to the open questions", part.arms))
    blocks.append(table(part.modules))
    facts = (("modules", number(len(part.modules))), ("answers a question and arm", number(part.samples)))
    return Section("adapter-vectors", "Adapters as vectors that context switches on", LEAD, blocks, facts)


def spectra(modules: Sequence[ModuleForm]) -> Chart:
    """Singular values of each module as shares of its largest."""
    depth = max(row.layer for row in modules) or 1
    traces: list[Any] = [
        charts.line(name(row), list(range(len(row.values))), [v / (row.values[0] or 1) for v in row.values],
                    along(row.layer / depth), mode="lines", line={"color": along(row.layer / depth), "width": 1})
        | {"showlegend": False}
        for row in modules
    ]  # fmt: skip
    layout = {
        "xaxis": charts.axis("canonical pair", zeroline=False),
        "yaxis": charts.axis("singular value / the module's largest", rangemode="tozero"),
    }
    caption = "One line a module; early layers blue, late ones orange."
    return Chart("adapter-spectra", "Singular values of B A", traces, layout, table(modules), 340, caption, wide=True)


def table(modules: Sequence[ModuleForm]) -> Table:
    """Rank and effective rank of the modules; of many, those with the largest singular value."""
    shown = sorted(modules, key=lambda row: -row.values[0])[:24]
    shown.sort(key=lambda row: (row.layer, row.path))
    cells = tuple(
        (Cell(name(row)), Cell(number(row.rank), kind="num"), Cell(decimal(row.participation, 1), kind="num"),
         Cell(percent(row.leading, 0), kind="num"), Cell(number(row.values[0]), kind="num"))
        for row in shown
    )  # fmt: skip
    columns = ("Module", "Rank", "Effective pairs", "Leading pair, of the squared norm", "Largest singular value")
    caption = "Canonical form" + (f"; {len(shown)} modules of {len(modules)}" if len(shown) < len(modules) else "")
    return Table(columns, cells, caption, stack=True)


def name(row: ModuleForm) -> str:
    """A module by layer and its own name."""
    return f"layer {row.layer} {row.path.rsplit('.', 1)[-1]}"
