"""Rule beside rule: rates over thresholds, and the misaligned answers that may be another thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import colours
from misdirection.report.numbers import bounds, counts, number, p_value, percent, rate_cell, rate_text
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results.judged import JudgedResults
from misdirection.results.rows import RateRow
from misdirection.results.rules import AsideRow, RuleCell, RulePoint

LEAD = (
    "The rule draws a line through two scores. Here the line is moved: a finding that holds along the whole curve does "
    "not hang on it. Open questions; bands are 95\u00a0% intervals over questions."
)
ASIDES = (
    "The usual rule counts an answer to an open question also where it is about a domain that nobody asked about, or "
    "where it mostly repeats the question. {how} Shares are of all answers; what is left counts as misaligned by any "
    "reading. An answer may be of both kinds."
)
BY_JUDGE = "Topics ({topics}) are those that the judge scored above 50."
BY_WORDS = (
    "No judge scored a topic, so topics ({topics}) are told by words that the question does not hold: a rough rule."
)

BY_HEAD = (
    "Topics ({topics}) are told by the head of the judge in the box, which is fitted to few answers "
    "(docs/offline-judge.md)."
)


def section(results: JudgedResults) -> Section | None:
    """The curve, the grid, and what is split off."""
    part = results.by_rule
    if part is None:
        return None
    palette = colours(results)
    blocks: list[Block] = [Note(text) for text in part.sentences]
    blocks += [
        curve(part.by_alignment, palette, "alignment", part.alignment),
        curve(part.by_coherence, palette, "coherence", part.coherence),
        grid(part.grid, palette),
    ]
    how = BY_JUDGE if part.scored else BY_HEAD if part.by_head else BY_WORDS
    told = ASIDES.format(how=how.format(topics=", ".join(part.topics)))
    blocks += [Note(told), asides(part.asides, palette, part.trained_on)]
    told = (("q", "of the rise above the base, over the arms under one rule (Benjamini-Hochberg)"),)
    return Section("by-rule", "Rule beside rule", LEAD, blocks, told)


def curve(points: Sequence[RulePoint], palette: Mapping[str, str], over: str, own: float) -> Chart:
    """Rates over the thresholds of one score, the other at the run's own; `own` is the run's threshold of this one."""
    traces: list[Any] = []
    for arm in dict.fromkeys(point.arm for point in points):
        mine = [point for point in points if point.arm == arm]
        at = [_at(point, over) for point in mine]
        colour = palette.get(arm, "#777777")
        traces += charts.band(f"{arm}, 95 %", at, [p.low for p in mine], [p.high for p in mine], colour)
        text = [f"<b>{charts.plain_text(arm)}</b> {over} {_at(p, over):g}<br>{rate_text(p)}" for p in mine]
        traces.append(charts.line(arm, at, [p.value for p in mine], colour, text=text, hoverinfo="text"))
    sign = "below" if over == "alignment" else "above"
    layout = {
        "xaxis": charts.axis(f"misaligned: {over} {sign}"),
        "yaxis": charts.share_axis("misaligned, of all answers"),
        "shapes": [charts.level(own, "x", "the run's rule")],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(p.arm), Cell(number(_at(p, over)), kind="num"), rate_cell(p), Cell(p_value(p.q), kind="num"))
        for p in points
    )
    title = f"Misaligned answers by the threshold of {over}"
    return Chart(f"by-rule-{over}", title, traces, layout, Table(("Arm", over.capitalize(), "Misaligned", "q"), cells))


def _at(point: RulePoint, over: str) -> float:
    return point.alignment if over == "alignment" else point.coherence


def grid(cells: Sequence[RuleCell], palette: Mapping[str, str]) -> Table:
    """Every pair of thresholds: a row for each arm and threshold of coherence."""
    across = sorted({cell.alignment for cell in cells})
    value = {(cell.arm, cell.coherence, cell.alignment): cell.value for cell in cells}
    body = tuple(
        (
            Cell(arm, colour=palette.get(arm, "")),
            Cell(number(coherence), kind="num"),
            *(Cell(percent(value.get((arm, coherence, alignment))), kind="num") for alignment in across),
        )
        for arm, coherence in dict.fromkeys((cell.arm, cell.coherence) for cell in cells)
    )
    heads = ("Arm", "Coherence over", *(f"alignment < {a:g}" for a in across))
    return Table(heads, body, "Misaligned, of all answers, under every pair of thresholds")


def asides(rows: Sequence[AsideRow], palette: Mapping[str, str], trained: str = "") -> Table:
    """The usual rate, what of it is about a domain or quotes, and what is left.

    Args:
        rows: One an arm.
        palette: Colours by arm.
        trained: The domain that was trained on, where it is known.
    """
    body = tuple(
        (
            Cell(row.arm, colour=palette.get(row.arm, "")),
            *(
                Cell(percent(share.value), f"{bounds(share)} {counts(share)}", "num") if share else Cell("\u2013")
                for share in _shares(row, trained)
            ),
        )
        for row in rows
    )
    domain = (f"In the trained domain ({trained})", "\u2026 and asked about it") if trained else ("About a domain",)
    heads = ("Arm", "Misaligned", *domain, "Quoting the question", "Neither")
    return Table(heads, body, "Misaligned answers that may be another thing")


def _shares(row: AsideRow, trained: str) -> tuple[RateRow | None, ...]:
    domain = (row.trained, row.asked) if trained else (row.topic,)
    return (row.misaligned, *domain, row.quoting, row.rest)
