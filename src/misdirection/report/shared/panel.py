"""Several judges of the same answers: their rates beside each other, how far they agree, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, group_name, rules
from misdirection.report.heatmap import heatmap, heatmap_layout
from misdirection.report.numbers import DASH, decimal, known, number, rate_cell, rate_text, shorten
from misdirection.report.palette import BLUE, CATEGORIES, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Every judge scored the same answers; the first one\u2019s rates are the ones told elsewhere. Kappa and alpha are "
    "agreement beyond chance (1 is perfect, 0 is chance): a rate is no surer than the judges agree on it."
)
SCALES = {"misaligned": "misaligned or not", "alignment": "alignment", "coherence": "coherence"}
LONGEST = 500
"""Characters of an answer that are shown."""


def section(findings: Findings) -> Section | None:
    """Rates, matrices of kappa, alphas, questions, and the answers on which the judges are furthest apart."""
    part: Row | None = findings.get("panel")
    if not part or not part.get("scales"):
        return None
    judges = [str(name) for name in part["judges"]]
    blocks: list[Block] = [rates(part["rates"], judges)]
    blocks += [matrix(scale, judges) for scale in part["scales"] if scale["scale"] in ("misaligned", "alignment")]
    blocks.append(agreement(part["scales"]))
    blocks.append(questions(part["questions"], judges))
    if part.get("apart"):
        blocks.append(apart(part["apart"], judges, part["n"]))
    told = f"{number(part['n_apart'])} of {number(part['n'])} answers are misaligned to some of the judges alone."
    blocks.append(Note(told, "warn" if part["n_apart"] else "info"))
    own = (("judges", ", ".join(judges)), ("misaligned", rules(findings).text))
    return Section("panel", "Judges beside each other", LEAD, blocks, own + facts(findings, "samples per question"))


def rates(found: Sequence[Row], judges: Sequence[str]) -> Chart:
    """A point a judge, a place for each arm and group."""
    places = [_place(row) for row in found]
    traces: list[Any] = []
    for j, judge in enumerate(judges):
        held = [row["judges"][j]["all"] for row in found]
        shift = 0.0 if len(judges) < 2 else (j / (len(judges) - 1) - 0.5) * 0.5
        hover = [
            f"<b>{charts.plain_text(judge)}</b> {charts.plain_text(place)}<br>{rate_text(r)}"
            for place, r in zip(places, held, strict=True)
        ]
        colour = (BLUE, VERMILLION, *CATEGORIES)[j % 8]
        at = [i + shift for i in range(len(places))]
        traces.append(charts.points(judge, held, at, colour, hover, SYMBOLS[j % len(SYMBOLS)]))
    cells = tuple((Cell(_place(row)), *(rate_cell(one["all"]) for one in row["judges"])) for row in found)
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers"),
        "yaxis": charts.label_axis(len(places)),
        "showlegend": True,
    }
    table = Table(("Arm", *judges), cells, "Rates by judge", stack=True)
    height = 130 + len(places) * max(44, 18 * len(judges))
    return Chart("panel-rates", "Misaligned answers by judge", traces, layout, table, height,
                 labels=tuple(places), wide=True)  # fmt: skip


def matrix(scale: Row, judges: Sequence[str]) -> Chart:
    """Weighted kappa of every two judges: linear above the diagonal, quadratic below it."""
    size = len(judges)
    values: list[list[Any]] = [[1.0 if i == j else None for j in range(size)] for i in range(size)]
    for pair in scale["pairs"]:
        i, j = judges.index(pair["first"]), judges.index(pair["second"])
        values[i][j], values[j][i] = pair["kappa_linear"], pair["kappa_quadratic"]
    name = SCALES.get(str(scale["scale"]), str(scale["scale"]))
    both = scale["scale"] != "misaligned"
    title = f"Kappa of every two judges: {name}"
    caption = "Linearly weighted above the diagonal, quadratically below it." if both else "Cohen\u2019s kappa."
    cells = tuple((Cell(judges[i]), *(Cell(decimal(v), kind="num") for v in values[i])) for i in range(size))
    return Chart(
        f"panel-kappa-{scale['scale']}",
        title,
        [heatmap(values, judges, judges, -1, 1, ".2f")],
        heatmap_layout(judges, size),
        Table(("", *judges), cells, title),
        height=170 + 40 * size,
        caption=caption,
        labels=tuple(judges),
    )


def agreement(scales: Sequence[Row]) -> Table:
    """Alphas of all judges and figures of each pair."""
    body: list[tuple[Cell, ...]] = []
    for scale in scales:
        name = SCALES.get(str(scale["scale"]), str(scale["scale"]))
        counted = f"{number(scale['n'])} answers scored by two or more"
        alphas = Cell(decimal(scale["alpha_interval"], 3), f"ordinal {decimal(scale['alpha_ordinal'], 3)}", "num")
        body.append((Cell(name), Cell("all of them", counted), alphas, Cell(DASH), Cell(DASH), Cell(DASH)))
        for pair in scale["pairs"]:
            kappa = Cell(decimal(pair["kappa_linear"], 3), f"quadratic {decimal(pair['kappa_quadratic'], 3)}", "num")
            related = Cell(decimal(pair["pearson"], 3), f"of ranks {decimal(pair['spearman'], 3)}", "num")
            who = Cell(f"{pair['first']} and {pair['second']}", f"{number(pair['n'])} answers")
            shift = Cell(decimal(pair["shift"], 2), kind="num")
            body.append((Cell(name), who, Cell(DASH), kappa, related, shift))
    columns = ("Scale", "Judges", "Alpha, interval", "Kappa, linear", "Correlation", "Second minus first")
    return Table(columns, tuple(body), "How far they agree", stack=True)


def questions(found: Sequence[Row], judges: Sequence[str]) -> Table:
    """Misaligned answers to each question by judge, the questions on which they differ most first."""
    ordered = sorted(found, key=lambda row: -row["apart"] / max(1, row["n"]))
    body = tuple(
        (
            Cell(shorten(row["question"], 120), "" if row["group"] == "open" else group_name(str(row["group"]))),
            *(Cell(number(n), kind="num") for n in row["misaligned"]),
            Cell(number(row["apart"]), f"of {number(row['n'])}", "warn" if row["apart"] * 5 > row["n"] else "num"),
            Cell(decimal(row["alpha"]) if known(row["alpha"]) else DASH, kind="num"),
        )
        for row in ordered
    )
    columns = ("Question", *(f"Misaligned: {name}" for name in judges), "Judges differ", "Alpha of the alignment")
    return Table(columns, body, "By question", stack=True)


def apart(found: Sequence[Row], judges: Sequence[str], n: int) -> Table:
    """The answers on which the judges are furthest apart."""
    body = tuple(
        (
            Cell(shorten(row["question"], 160), str(row.get("arm") or "")),
            Cell(shorten(row["answer"], LONGEST)),
            *(_said(one) for one in row["judges"]),
        )
        for row in found
    )
    caption = f"Where they part: the {number(len(found))} answers, of {number(n)}, on which they differ most"
    return Table(("Question", "Answer", *judges), body, caption, stack=True)


def _said(one: Row) -> Cell:
    if not known(one.get("alignment")):
        return Cell("no score", str(one.get("label") or ""))
    return Cell(decimal(one["alignment"], 0), f"coherence {decimal(one.get('coherence'), 0)}", "num")


def _place(row: Row) -> str:
    form = str(row.get("format") or "plain")
    return f"{row.get('arm')}, {group_name(str(row.get('group') or 'open')).lower()}" + (
        "" if form == "plain" else f", {form}"
    )
