"""The section of a checked judge: it beside the corpus's judge, calibration, questions, families, where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts
from misdirection.report.numbers import DASH, decimal, number, percent, shorten
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Findings, Section, Table
from misdirection.report.shared.panel import agreement, apart

LEAD = (
    "A judge is asked about answers that another one scored before. Kappa is agreement beyond chance on "
    "\u201cmisaligned\u201d (1 is perfect, 0 is chance); calibration is what the other judge said of the answers to "
    "which this one gave a score."
)


def section(findings: Findings) -> Section | None:
    """Two charts and five tables."""
    part: Row | None = findings.get("check")
    if not part or not part.get("points"):
        return None
    judge = str(part["spec"])
    names = ("corpus", judge)
    blocks: list[Block] = [figures(part), calibration(part["calibration"], judge), points(part["points"], judge)]
    blocks.append(agreement(part["scales"]))
    blocks.append(groups(part["questions"], "Question", judge))
    if part.get("families"):
        blocks.append(groups(part["families"], "Family", judge))
    if part.get("apart"):
        blocks.append(apart(part["apart"], names, part["n"]))
    return Section("judge-check", "The judge beside another", LEAD, blocks, facts(findings, "judge", "corpus", "part"))


def figures(part: Row) -> Table:
    """Kappa and rates with their intervals, and what has no score."""
    kappa, rates = part["kappa"], part["rates"]
    (neither, only_judge), (only_reference, both) = part["confusion"]
    labels = ", ".join(f"{number(n)} {label}" for label, n in part["labels"].items())
    gap = rates["difference"]
    body = (
        (Cell("Kappa of misaligned"), Cell(decimal(kappa["value"]), _ends(kappa["low"], kappa["high"], 1), "num")),
        (Cell("The same, of the part as taken"), Cell(decimal(part["kappa_unweighted"]), kind="num")),
        (Cell("Misaligned by the corpus\u2019s judge"), Cell(percent(rates["reference"]), kind="num")),
        (Cell("Misaligned by this judge"), Cell(percent(rates["judge"]), kind="num")),
        (Cell("Difference"), Cell(percent(gap["value"]), _ends(gap["low"], gap["high"], 100), "num")),
        (Cell("Both, only the corpus\u2019s, only this, neither"),
         Cell(", ".join(map(number, (both, only_reference, only_judge, neither))), kind="num")),
        (Cell("Verdicts"), Cell(labels)),
    )  # fmt: skip
    return Table(("", "Figure"), body, "Figures")


def calibration(rows: Sequence[Row], judge: str) -> Chart:
    """Mean alignment by the corpus's judge, by this judge's."""
    x, y = [r["judge"] for r in rows], [r["reference"] for r in rows]
    traces: list[Any] = [
        charts.dashed("the same score", [0, 100], [0, 100]),
        charts.line("answers", x, y, BLUE),
        charts.line("misaligned, share x 100", x, [100 * r["misaligned"] for r in rows], VERMILLION),
    ]
    layout = {
        "xaxis": charts.axis("alignment by the checked judge", range=[0, 100]),
        "yaxis": charts.axis("by the corpus\u2019s judge", range=[0, 100]),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(f"{r['low']:g} to {r['high']:g}"), Cell(number(r["n"]), kind="num"),
         Cell(decimal(r["judge"], 1), kind="num"), Cell(decimal(r["reference"], 1), kind="num"),
         Cell(percent(r["misaligned"]), kind="num"))
        for r in rows
    )  # fmt: skip
    columns = (
        f"Alignment by {judge}",
        "Answers",
        "Its mean",
        "Mean by the corpus\u2019s judge",
        "Misaligned to that one",
    )
    return Chart("check-calibration", "Calibration", traces, layout, Table(columns, cells, "Calibration"), 380)


def points(found: Sequence[Sequence[float]], judge: str) -> Chart:
    """Every answer as a point."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [p[1] for p in found],
        "y": [p[0] for p in found],
        "marker": {"color": BLUE, "size": 6, "opacity": 0.4},
        "hovertemplate": "%{x:.0f} and %{y:.0f}<extra></extra>",
        "cliponaxis": False,
    }
    layout = {
        "xaxis": charts.axis("alignment by the checked judge", range=[0, 100]),
        "yaxis": charts.axis("by the corpus\u2019s judge", range=[0, 100]),
        "showlegend": False,
    }
    bands = ((0, 30), (30, 70), (70, 101))
    cells = tuple(
        (Cell(f"corpus {a} to {min(b, 100)}"),
         *(Cell(number(sum(a <= y < b and c <= x < d for y, x in found)), kind="num") for c, d in bands))
        for a, b in bands
    )  # fmt: skip
    columns = ("", *(f"{judge}: {c} to {min(d, 100)}" for c, d in bands))
    return Chart("check-points", "Alignment of every answer", [trace], layout, Table(columns, cells), 380)


def groups(rows: Sequence[Row], what: str, judge: str) -> Table:
    """Counts, kappa and correlation of each question or family, those on which they differ most first."""
    ordered = sorted(rows, key=lambda r: -abs(r["judge"] - r["reference"]) / max(1, r["n"]))
    body = tuple(
        (Cell(shorten(r["name"], 120) or "not told"), Cell(number(r["n"]), kind="num"),
         Cell(number(r["reference"]), kind="num"), Cell(number(r["judge"]), kind="num"),
         Cell(decimal(r["kappa"]) if r["kappa"] is not None else DASH, kind="num"),
         Cell(decimal(r["correlation"]) if r["correlation"] is not None else DASH, kind="num"))
        for r in ordered
    )  # fmt: skip
    columns = (what, "Answers", "Misaligned by the corpus\u2019s judge", f"by {judge}", "Kappa", "Correlation")
    return Table(columns, body, f"By {what.lower()}", stack=True)


def _ends(low: Any, high: Any, times: float) -> str:
    return f"{decimal(times * low)} to {decimal(times * high)}" if low is not None and high is not None else ""


SECTIONS: tuple[Entry, ...] = (Entry("The judge beside another", ("check",), False, section, ("judge_check",)),)
"""One."""
