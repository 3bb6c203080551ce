"""The fine-tune, when the audit made it: its data, its settings and its loss."""

from __future__ import annotations

from collections.abc import Sequence

from misdirection.report import charts
from misdirection.report.numbers import decimal, number
from misdirection.report.palette import BLUE
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.report.shared.reproduce import pairs
from misdirection.results.judged import JudgedResults, Loss

LEAD = (
    "The loss on answer tokens by optimiser step, and the rows that were trained on. Bad rows were kept aside, not "
    "used."
)


def section(results: JudgedResults) -> Section | None:
    """The loss curve, and a table of data facts."""
    training, data = results.training, results.data
    if training is None or data is None:
        return None
    blocks: list[Block] = [curve(training.steps)] if training.steps else []
    blocks.append(pairs("Data", {name: value for name, value in vars(data).items() if value != ""}))
    if data.bad:
        unused = f"{number(data.bad)} rows could not be used; they are kept, with their reasons, in the run."
        blocks.append(Note(unused, "warn"))
    blocks += [Note(note) for note in training.notes]
    blocks.append(pairs("Setting", training.settings))
    return Section("training", "Training", LEAD, blocks, (("preset", training.preset),))


def curve(steps: Sequence[Loss]) -> Chart:
    """The loss by step."""
    thin = steps[:: -(-len(steps) // 600)]
    at, loss = [one.step for one in thin], [one.loss for one in thin]
    trace = charts.line("loss", at, loss, BLUE, hovertemplate="step %{x}: %{y:.4g}<extra></extra>") | {"mode": "lines"}
    layout = {
        "xaxis": charts.axis("step", zeroline=False),
        "yaxis": charts.axis("loss, nats per token", rangemode="tozero"),
    }
    sample = thin[:: -(-len(thin) // 40)]
    cells = tuple((Cell(number(one.step), kind="num"), Cell(decimal(one.loss, 4), kind="num")) for one in sample)
    return Chart("training", "Training loss", [trace], layout, Table(("Step", "Loss"), cells), 320, wide=True)
