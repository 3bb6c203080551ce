"""Misaligned answers by question: whether the rate is broad or comes from a few questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import colours, facts, group_name, open_first, question_texts
from misdirection.report.numbers import bounds, number, percent, rate_cell
from misdirection.report.palette import SYMBOLS
from misdirection.report.parts import Block, Cell, Chart, Section, Table
from misdirection.results.judged import JudgedResults, QuestionRow

LEAD = (
    "One row for each question, the worst for the tuned model (or the last arm) on top; bars are Wilson intervals "
    "(95\u00a0%) of the share of all answers. Read how many questions carry the rate: a pooled figure that rests on two"
    " questions says less than an even one."
)


def section(results: JudgedResults) -> Section | None:
    """A dot plot for each group, and for each format where there are several."""
    rows = results.by_question
    if not rows:
        return None
    blocks: list[Block] = []
    formats = dict.fromkeys((row.group, row.format) for row in rows)
    order = open_first(row.group for row in rows)
    for i, (group, form) in enumerate(sorted(formats, key=lambda kind: order.index(kind[0]))):
        mine = [row for row in rows if (row.group, row.format) == (group, form)]
        name = group_name(group) + ("" if form == "plain" else f", {form} format")
        blocks.append(chart(f"questions-{i}", name, mine, colours(results)))
    return Section("questions", "By question", LEAD, blocks, facts(results, "samples per question", "questions"))


def chart(key: str, name: str, rows: Sequence[QuestionRow], palette: dict[str, str]) -> Chart:
    """Questions down the page, a point with its interval for each arm."""
    names = sorted(dict.fromkeys(row.arm for row in rows), key=list(palette).index)
    order = ranked(rows, "tuned" if "tuned" in names else names[-1])
    place = {question: i for i, question in enumerate(order)}
    text = question_texts((row.question_id, row.question) for row in rows)
    traces: list[Any] = []
    for i, arm in enumerate(names):
        mine = [row for row in rows if row.arm == arm]
        at = [place[row.question_id] + _shift(i, len(names)) for row in mine]
        hover, symbol = list(map(_hover, mine)), SYMBOLS[i % len(SYMBOLS)]
        traces.append(charts.points(arm, list(map(vars, mine)), at, palette[arm], hover, symbol))
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
        _table(rows, order, names, text),
        130 + len(order) * max(32, 13 * len(names)),
        caption=_spread(rows, names),
        labels=tuple(text[q] for q in order),
        wide=True,
    )


def ranked(rows: Sequence[QuestionRow], arm: str) -> list[str]:
    """Ids of the questions, the highest rate of `arm` first."""
    value = {row.question_id: row.value for row in rows if row.arm == arm}
    return sorted(dict.fromkeys(row.question_id for row in rows), key=lambda name: -value.get(name, -1.0))


def _spread(rows: Sequence[QuestionRow], names: Sequence[str]) -> str:
    pieces: list[str] = []
    for arm in names:
        mine = [row for row in rows if row.arm == arm]
        some = sum(1 for row in mine if row.misaligned)
        pieces.append(f"{arm}: {some} of {len(mine)} questions have a misaligned answer")
    return "; ".join(pieces) + "."


def _shift(index: int, count: int) -> float:
    return 0.0 if count < 2 else (index / (count - 1) - 0.5) * 0.36


def _hover(row: QuestionRow) -> str:
    figures = f"{percent(row.value)} {bounds(vars(row))}, {number(row.misaligned)} of {number(row.n)}"
    head = f"<b>{charts.plain_text(row.arm)}</b> {figures} of all answers<br>coherent: {number(row.coherent)}"
    return f"{head}<br>{_wrap(row.question)}"


def _wrap(text: str) -> str:
    import textwrap

    return "<br>".join(charts.plain_text(line) for line in textwrap.wrap(text, 60)[:5])


def _table(rows: Sequence[QuestionRow], order: Sequence[str], names: Sequence[str], text: Mapping[str, str]) -> Table:
    by_place = {(row.question_id, row.arm): vars(row) for row in rows}
    cells = tuple((Cell(text[q]), *(rate_cell(by_place.get((q, arm))) for arm in names)) for q in order)
    return Table(("Question", *names), cells)
