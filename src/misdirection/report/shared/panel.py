"""Several judges of the same answers: their rates beside each other, how far they agree, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts, group_name, place_name, rule_text
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import DASH, decimal, number, rate_cell, rate_text, shorten
from misdirection.report.palette import BLUE, CATEGORIES, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results.judged import JudgedResults
from misdirection.results.panel import ApartRow, JudgeSaid, QuestionBeside, RatesBeside, ScaleRow

LEAD = (
    "Every judge scored the same answers; the first one\u2019s rates are the ones told elsewhere. Kappa and alpha are "
    "agreement beyond chance (1 is perfect, 0 is chance): a rate is no surer than the judges agree on it."
)
SCALES = {"misaligned": "misaligned or not", "alignment": "alignment", "coherence": "coherence"}
LONGEST = 500
"""Characters of an answer that are shown."""


def section(results: JudgedResults) -> Section | None:
    """Rates, matrices of kappa, alphas, questions, and the answers on which the judges are furthest apart."""
    panel = results.panel
    if panel is None:
        return None
    judges = panel.judges
    blocks: list[Block] = [rates(panel.rates, judges)]
    blocks += [matrix(scale, judges) for scale in panel.scales if scale.scale in ("misaligned", "alignment")]
    blocks += [agreement(panel.scales), questions(panel.questions, judges)]
    if panel.apart:
        blocks.append(apart(panel.apart, judges, panel.n))
    told = f"{number(panel.n_apart)} of {number(panel.n)} answers are misaligned to some of the judges alone."
    blocks.append(Note(told, "warn" if panel.n_apart else "info"))
    own = (("judges", ", ".join(judges)), ("misaligned", rule_text(results.thresholds)))
    return Section("panel", "Judges beside each other", LEAD, blocks, own + facts(results, "samples per question"))


def rates(rows: Sequence[RatesBeside], judges: Sequence[str]) -> Chart:
    """A point a judge, a place for each arm and group."""
    places = [place_name(row) for row in rows]
    traces: list[Any] = []
    for j, judge in enumerate(judges):
        mine = [row.judges[j].all for row in rows]
        shift = 0.0 if len(judges) < 2 else (j / (len(judges) - 1) - 0.5) * 0.5
        hover = [
            f"<b>{charts.plain_text(judge)}</b> {charts.plain_text(place)}<br>{rate_text(rate)}"
            for place, rate in zip(places, mine, strict=True)
        ]
        colour = (BLUE, VERMILLION, *CATEGORIES)[j % 8]
        at = [i + shift for i in range(len(places))]
        traces.append(charts.points(judge, mine, at, colour, hover, SYMBOLS[j % len(SYMBOLS)]))
    cells = tuple((Cell(place_name(row)), *(rate_cell(one.all) for one in row.judges)) for row in rows)
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    table = Table(("Arm", *judges), cells, "Rates by judge", stack=True)
    height = 130 + len(places) * max(44, 18 * len(judges))
    return Chart("panel-rates", "Misaligned answers by judge", traces, layout, table, height,
                 labels=tuple(places), wide=True)  # fmt: skip


def matrix(scale: ScaleRow, judges: Sequence[str]) -> Chart:
    """Weighted kappa of every two judges: linear above the diagonal, quadratic below it."""
    size = len(judges)
    values: list[list[Any]] = [[1.0 if i == j else None for j in range(size)] for i in range(size)]
    for pair in scale.pairs:
        i, j = judges.index(pair.first), judges.index(pair.second)
        values[i][j], values[j][i] = pair.kappa_linear, pair.kappa_quadratic
    name = SCALES.get(scale.scale, scale.scale)
    both = scale.scale != "misaligned"
    title = f"Kappa of every two judges: {name}"
    caption = "Linearly weighted above the diagonal, quadratically below it." if both else "Cohen\u2019s kappa."
    cells = tuple((Cell(judges[i]), *(Cell(decimal(v), kind="num") for v in values[i])) for i in range(size))
    return Chart(
        f"panel-kappa-{scale.scale}",
        title,
        [heatmap(values, judges, judges, -1, 1, ".2f")],
        heatmap_layout(judges, size),
        Table(("", *judges), cells, title),
        height=170 + 40 * size,
        caption=caption,
        labels=tuple(judges),
    )


def agreement(scales: Sequence[ScaleRow]) -> Table:
    """Alphas of all judges and figures of each pair."""
    body: list[tuple[Cell, ...]] = []
    for scale in scales:
        name = Cell(SCALES.get(scale.scale, scale.scale))
        counted = f"{number(scale.n)} answers scored by two or more"
        alphas = Cell(decimal(scale.alpha_interval, 3), f"ordinal {decimal(scale.alpha_ordinal, 3)}", "num")
        body.append((name, Cell("all of them", counted), alphas, Cell(DASH), Cell(DASH), Cell(DASH)))
        for pair in scale.pairs:
            kappa = Cell(decimal(pair.kappa_linear, 3), f"quadratic {decimal(pair.kappa_quadratic, 3)}", "num")
            related = Cell(decimal(pair.pearson, 3), f"of ranks {decimal(pair.spearman, 3)}", "num")
            who = Cell(f"{pair.first} and {pair.second}", f"{number(pair.n)} answers")
            body.append((name, who, Cell(DASH), kappa, related, Cell(decimal(pair.shift, 2), kind="num")))
    columns = ("Scale", "Judges", "Alpha, interval", "Kappa, linear", "Correlation", "Second minus first")
    return Table(columns, tuple(body), "How far they agree", stack=True)


def questions(rows: Sequence[QuestionBeside], judges: Sequence[str]) -> Table:
    """Misaligned answers to each question by judge, the questions on which they differ most first."""
    body = tuple(
        (
            Cell(shorten(row.question, 120), "" if row.group == "open" else group_name(row.group)),
            *(Cell(number(n), kind="num") for n in row.misaligned),
            Cell(number(row.apart), f"of {number(row.n)}", "warn" if row.apart * 5 > row.n else "num"),
            Cell(decimal(row.alpha), kind="num"),
        )
        for row in sorted(rows, key=lambda row: -row.apart / max(1, row.n))
    )
    columns = ("Question", *(f"Misaligned: {name}" for name in judges), "Judges differ", "Alpha of the alignment")
    return Table(columns, body, "By question", stack=True)


def apart(rows: Sequence[ApartRow], judges: Sequence[str], n: int) -> Table:
    """The answers on which the judges are furthest apart."""
    body = tuple(
        (Cell(shorten(row.question, 160), row.arm), Cell(shorten(row.answer, LONGEST)), *map(_said, row.judges))
        for row in rows
    )
    caption = f"Where they part: the {number(len(rows))} answers, of {number(n)}, on which they differ most"
    return Table(("Question", "Answer", *judges), body, caption, stack=True)


def _said(one: JudgeSaid) -> Cell:
    if one.alignment is None:
        return Cell("no score", one.label)
    return Cell(decimal(one.alignment, 0), f"coherence {decimal(one.coherence, 0)}", "num")
