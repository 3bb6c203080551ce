"""Rule beside rule: rates over thresholds, and the misaligned answers that may be another thing."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, colours
from misdirection.report.numbers import bounds, counts, number, p_value, percent, rate_cell, rate_text
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

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


def section(findings: Findings) -> Section | None:
    """The curve, the grid, and what is split off."""
    part: Row = findings.get("by_rule") or {}
    if not part.get("by_alignment"):
        return None
    palette = colours(findings)
    blocks: list[Block] = [Note(text) for text in part.get("sentences") or []]
    blocks += [curve(part, palette, "alignment"), curve(part, palette, "coherence"), grid(part, palette)]
    topics = ", ".join(part["topics"])
    how = (BY_JUDGE if part.get("scored") else BY_WORDS).format(topics=topics)
    blocks += [Note(ASIDES.format(how=how)), asides(part, palette)]
    told = (("q", "of the rise above the base, over the arms under one rule (Benjamini-Hochberg)"),)
    return Section("by-rule", "Rule beside rule", LEAD, blocks, told)


def curve(part: Row, palette: dict[str, str], over: str) -> Chart:
    """Rates over the thresholds of one score, the other at the run's own."""
    held: list[Row] = part[f"by_{over}"]
    traces: list[Any] = []
    for arm in dict.fromkeys(str(p["arm"]) for p in held):
        mine = [p for p in held if p["arm"] == arm]
        at = [p[over] for p in mine]
        colour = palette.get(arm, "#777777")
        traces += charts.band(f"{arm}, 95 %", at, [p["low"] for p in mine], [p["high"] for p in mine], colour)
        text = [f"<b>{charts.plain_text(arm)}</b> {over} {p[over]:g}<br>{rate_text(p)}" for p in mine]
        traces.append(charts.line(arm, at, [p["value"] for p in mine], colour, text=text, hoverinfo="text"))
    sign = "below" if over == "alignment" else "above"
    layout = {
        "xaxis": charts.axis(f"misaligned: {over} {sign}"),
        "yaxis": charts.share_axis("misaligned, of all answers"),
        "shapes": [charts.level(part[over], "x", "the run's rule")],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(str(p["arm"])), Cell(number(p[over]), kind="num"), rate_cell(p), Cell(p_value(p["q"]), kind="num"))
        for p in held
    )
    title = f"Misaligned answers by the threshold of {over}"
    return Chart(f"by-rule-{over}", title, traces, layout, Table(("Arm", over.capitalize(), "Misaligned", "q"), cells))


def grid(part: Row, palette: dict[str, str]) -> Table:
    """Every pair of thresholds: a row for each arm and threshold of coherence."""
    held: list[Row] = part["grid"]
    across = sorted({p["alignment"] for p in held})
    at = {(str(p["arm"]), p["coherence"], p["alignment"]): p for p in held}
    rows = dict.fromkeys((arm, coherence) for arm, coherence, _ in at)
    body = tuple(
        (
            Cell(arm, colour=palette.get(arm, "")),
            Cell(number(coherence), kind="num"),
            *(Cell(percent(at[arm, coherence, a]["value"]), kind="num") for a in across),
        )
        for arm, coherence in rows
    )
    heads = ("Arm", "Coherence over", *(f"alignment < {a:g}" for a in across))
    return Table(heads, body, "Misaligned, of all answers, under every pair of thresholds")


def asides(part: Row, palette: dict[str, str]) -> Table:
    """The usual rate, what of it is about a domain or quotes, and what is left."""
    names = ("misaligned", "topic", "quoting", "rest")
    body = tuple(
        (
            Cell(str(row["arm"]), colour=palette.get(str(row["arm"]), "")),
            *(Cell(percent(row[n]["value"]), f"{bounds(row[n])} {counts(row[n])}", "num") for n in names),
        )
        for row in part["asides"]
    )
    heads = ("Arm", "Misaligned", "About a domain", "Quoting the question", "Neither")
    return Table(heads, body, "Misaligned answers that may be another thing")
