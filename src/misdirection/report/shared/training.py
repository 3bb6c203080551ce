"""The fine-tune, when the audit made it: its data, its settings and its loss."""

from __future__ import annotations

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.numbers import decimal, known, number, setting
from misdirection.report.palette import BLUE
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table
from misdirection.report.shared.reproduce import pairs

LEAD = (
    "The loss on answer tokens by optimiser step, and the rows that were trained on. Bad rows were kept aside, not "
    "used."
)


def section(findings: Findings) -> Section | None:
    """The loss curve, and a table of data facts."""
    training: Row = findings.get("training") or {}
    data: Row = findings.get("data") or {}
    blocks: list[Block] = [b for b in (curve(training), files(data)) if b]
    if data.get("bad"):
        blocks.append(
            Note(
                f"{number(data['bad'])} rows could not be used; they are kept, with their reasons, in the run.",
                "warn",
            )
        )
    if not blocks:
        return None
    blocks += [Note(str(note)) for note in training.get("notes") or []]
    if training.get("settings"):
        blocks.append(pairs("Setting", training["settings"]))
    apart = ("steps", "settings", "notes")
    shown = tuple((k.replace("_", " "), setting(v)) for k, v in training.items() if k not in apart and v is not None)
    return Section("training", "Training", LEAD, blocks, shown)


def curve(training: Row) -> Chart | None:
    """The loss by step."""
    steps = [s for s in training.get("steps") or [] if known(s.get("loss"))]
    if not steps:
        return None
    thin = steps[:: -(-len(steps) // 600)]
    at, loss = [s["step"] for s in thin], [s["loss"] for s in thin]
    trace = charts.line("loss", at, loss, BLUE, hovertemplate="step %{x}: %{y:.4g}<extra></extra>") | {"mode": "lines"}
    layout = {
        "xaxis": charts.axis("step", zeroline=False),
        "yaxis": charts.axis("loss, nats per token", rangemode="tozero"),
    }
    sample = thin[:: -(-len(thin) // 40)]
    cells = tuple((Cell(number(s["step"]), kind="num"), Cell(decimal(s["loss"], 4), kind="num")) for s in sample)
    return Chart("training", "Training loss", [trace], layout, Table(("Step", "Loss"), cells), 320, wide=True)


def files(data: Row) -> Table | None:
    """What the data was."""
    if not data:
        return None
    shown = tuple(
        (Cell(k.replace("_", " ")), Cell(number(v) if known(v) else setting(v)))
        for k, v in data.items()
        if v is not None
    )
    return Table(("Data", ""), shown, wide=False) if shown else None
