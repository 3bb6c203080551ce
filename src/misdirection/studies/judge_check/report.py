"""The section of a checked judge: it beside the corpus's judge, calibration, questions, families, where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.numbers import decimal, number, percent, shorten
from misdirection.report.palette import BLUE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Section, Table
from misdirection.report.shared.panel import agreement, apart
from misdirection.studies.judge_check.results import CalibrationRow, Check, CheckResults, Figure, GroupRow

LEAD = (
    "A judge is asked about answers that another one scored before. Kappa is agreement beyond chance on "
    "\u201cmisaligned\u201d (1 is perfect, 0 is chance); calibration is what the other judge said of the answers to "
    "which this one gave a score."
)


def section(results: CheckResults) -> Section:
    """Two charts and five tables."""
    check = results.check
    judge = check.spec
    blocks: list[Block] = [figures(check), calibration(check.calibration, judge), points(check.points, judge)]
    blocks.append(agreement(check.scales))
    blocks.append(groups(check.questions, "Question", judge))
    if check.families:
        blocks.append(groups(check.families, "Family", judge))
    if check.apart:
        blocks.append(apart(check.apart, ("corpus", judge), check.n))
    return Section("judge-check", "The judge beside another", LEAD, blocks, facts(results, "judge", "corpus", "part"))


def figures(check: Check) -> Table:
    """Kappa and rates with their intervals, and what has no score."""
    kappa, rates = check.kappa, check.rates
    (neither, only_judge), (only_reference, both) = check.confusion
    labels = ", ".join(f"{number(n)} {label}" for label, n in check.labels.items())
    body = (
        (Cell("Kappa of misaligned"), Cell(decimal(kappa.value), _ends(kappa, 1), "num")),
        (Cell("The same, of the part as taken"), Cell(decimal(check.kappa_unweighted), kind="num")),
        (Cell("Misaligned by the corpus\u2019s judge"), Cell(percent(rates.reference), kind="num")),
        (Cell("Misaligned by this judge"), Cell(percent(rates.judge), kind="num")),
        (Cell("Difference"), Cell(percent(rates.difference.value), _ends(rates.difference, 100), "num")),
        (Cell("Both, only the corpus\u2019s, only this, neither"),
         Cell(", ".join(map(number, (both, only_reference, only_judge, neither))), kind="num")),
        (Cell("Verdicts"), Cell(labels)),
    )  # fmt: skip
    return Table(("", "Figure"), body, "Figures")


def calibration(rows: Sequence[CalibrationRow], judge: str) -> Chart:
    """Mean alignment by the corpus's judge, by this judge's."""
    x, y = [row.judge for row in rows], [row.reference for row in rows]
    traces: list[Any] = [
        charts.dashed("the same score", [0, 100], [0, 100]),
        charts.line("answers", x, y, BLUE),
        charts.line("misaligned, share x 100", x, [100 * row.misaligned for row in rows], VERMILLION),
    ]
    layout = {
        "xaxis": charts.axis("alignment by the checked judge", range=[0, 100]),
        "yaxis": charts.axis("by the corpus\u2019s judge", range=[0, 100]),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(f"{row.low:g} to {row.high:g}"), Cell(number(row.n), kind="num"), Cell(decimal(row.judge, 1), kind="num"),
         Cell(decimal(row.reference, 1), kind="num"), Cell(percent(row.misaligned), kind="num"))
        for row in rows
    )  # fmt: skip
    columns = (
        f"Alignment by {judge}",
        "Answers",
        "Its mean",
        "Mean by the corpus\u2019s judge",
        "Misaligned to that one",
    )
    return Chart("check-calibration", "Calibration", traces, layout, Table(columns, cells, "Calibration"), 380)


def points(scores: Sequence[Sequence[float]], judge: str) -> Chart:
    """Every answer as a point."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [p[1] for p in scores],
        "y": [p[0] for p in scores],
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
         *(Cell(number(sum(a <= y < b and c <= x < d for y, x in scores)), kind="num") for c, d in bands))
        for a, b in bands
    )  # fmt: skip
    columns = ("", *(f"{judge}: {c} to {min(d, 100)}" for c, d in bands))
    return Chart("check-points", "Alignment of every answer", [trace], layout, Table(columns, cells), 380)


def groups(rows: Sequence[GroupRow], what: str, judge: str) -> Table:
    """Counts, kappa and correlation of each question or family, those on which they differ most first."""
    ordered = sorted(rows, key=lambda row: -abs(row.judge - row.reference) / max(1, row.n))
    body = tuple(
        (Cell(shorten(row.name, 120) or "not told"), Cell(number(row.n), kind="num"),
         Cell(number(row.reference), kind="num"), Cell(number(row.judge), kind="num"),
         Cell(decimal(row.kappa), kind="num"), Cell(decimal(row.correlation), kind="num"))
        for row in ordered
    )  # fmt: skip
    columns = (what, "Answers", "Misaligned by the corpus\u2019s judge", f"by {judge}", "Kappa", "Correlation")
    return Table(columns, body, f"By {what.lower()}", stack=True)


def _ends(figure: Figure, times: float) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{decimal(times * figure.low)} to {decimal(times * figure.high)}"


SECTIONS = (Entry("The judge beside another", ("check",), False, section, ("judge_check",), CheckResults),)
"""One."""
