"""Misaligned answers by question: whether the rate is broad or comes from a few questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, colours, facts, group_name, groups, question_texts, rows
from misdirection.report.numbers import bounds, known, number, percent, rate_cell
from misdirection.report.palette import SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Findings, Section, Table

LEAD = (
    "One row for each question, the worst for the tuned model (or the last arm) on top; bars are Wilson intervals "
    "(95\u00a0%) of the share of all answers. Read how many questions carry the rate: a pooled figure that rests on two"
    " questions says less than an even one."
)


def section(findings: Findings) -> Section | None:
    """A dot plot for each group, and for each format where there are several."""
    found = rows(findings, "by_question")
    if not found:
        return None
    kinds = dict.fromkeys((str(r.get("group") or "open"), str(r.get("format") or "plain")) for r in found)
    order = groups(found)
    ordered = sorted(kinds, key=lambda kind: order.index(kind[0]))
    blocks: list[Block] = []
    for i, (group, format_) in enumerate(ordered):
        mine = [
            r for r in found if (str(r.get("group") or "open"), str(r.get("format") or "plain")) == (group, format_)
        ]
        name = group_name(group) + ("" if format_ == "plain" else f", {format_} format")
        blocks.append(chart(f"questions-{i}", name, mine, colours(findings)))
    return Section("questions", "By question", LEAD, blocks, facts(findings, "samples per question", "questions"))


def chart(key: str, name: str, found: Sequence[Row], palette: dict[str, str]) -> Chart:
    """Questions down the page, a point with its interval for each arm."""
    names = sorted(dict.fromkeys(str(r.get("arm")) for r in found), key=list(palette).index)
    order = ranked(found, "tuned" if "tuned" in names else names[-1])
    place = {question: i for i, question in enumerate(order)}
    text = question_texts(found)
    traces: list[Any] = []
    for i, arm in enumerate(names):
        mine = [r for r in found if str(r.get("arm")) == arm]
        at = [place[r["question_id"]] + _shift(i, len(names)) for r in mine]
        traces.append(charts.points(arm, mine, at, palette[arm], [_hover(r) for r in mine], SYMBOLS[i % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.share_axis("misaligned, share of all answers", side="top"),
        "yaxis": charts.label_axis(len(order)) | {"showgrid": True},
        "showlegend": len(names) > 1,
    }
    return Chart(
        key,
        name,
        traces,
        layout,
        _table(found, order, names),
        130 + len(order) * max(32, 13 * len(names)),
        caption=_spread(found, names),
        labels=tuple(text[q] for q in order),
        wide=True,
    )


def ranked(found: Sequence[Row], arm: str) -> list[str]:
    """Ids of the questions, the highest rate of `arm` first."""
    value = {r["question_id"]: r["value"] for r in found if str(r.get("arm")) == arm and known(r.get("value"))}
    ids = list(dict.fromkeys(str(r["question_id"]) for r in found))
    return sorted(ids, key=lambda q: -value.get(q, -1.0))


def _spread(found: Sequence[Row], names: Sequence[str]) -> str:
    pieces: list[str] = []
    for arm in names:
        mine = [r for r in found if str(r.get("arm")) == arm]
        some = sum(1 for r in mine if r.get("misaligned"))
        pieces.append(f"{arm}: {some} of {len(mine)} questions have a misaligned answer")
    return "; ".join(pieces) + "."


def _shift(index: int, count: int) -> float:
    return 0.0 if count < 2 else (index / (count - 1) - 0.5) * 0.36


def _hover(row: Row) -> str:
    question = _wrap(str(row.get("question") or row.get("question_id")))
    figures = f"{percent(row.get('value'))} {bounds(row)}, {number(row.get('misaligned'))} of {number(row.get('n'))}"
    coherent = f"<br>coherent: {number(row['coherent'])}" if known(row.get("coherent")) else ""
    return f"<b>{charts.plain_text(row.get('arm'))}</b> {figures} of all answers{coherent}<br>{question}"


def _wrap(text: str) -> str:
    import textwrap

    return "<br>".join(charts.plain_text(line) for line in textwrap.wrap(text, 60)[:5])


def _table(found: Sequence[Row], order: Sequence[str], names: Sequence[str]) -> Table:
    held = {(str(r["question_id"]), str(r.get("arm"))): r for r in found}
    text = question_texts(found)
    cells = tuple((Cell(text[q]), *(_cell(held.get((q, arm))) for arm in names)) for q in order)
    return Table(("Question", *names), cells)


def _cell(row: Row | None) -> Cell:
    if row is None:
        return Cell("\u2013", kind="num")
    return rate_cell(row)
