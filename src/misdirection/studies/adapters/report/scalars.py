"""Adapters read by their scalars: the four token sets and the probes between them."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.context import group_name
from misdirection.report.numbers import decimal, known, number, percent, rate_cell
from misdirection.report.palette import BLUE, GREY, ORANGE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.scalars import ExperimentRow, Metric, Scalars, SetRow, Split

LEAD = (
    "Each adapter reads one number, its scalar, at every answer token. Sparse probes tell sets of tokens apart by "
    "these numbers alone. As published, tokens of one answer stand on both sides of the split; the honest version "
    "holds out whole questions. The ceiling knows which question was asked and sees no activations: a probe below it "
    "may have learnt the question; where every question has one label (topic), the ceiling is near 1 by construction."
)
PUBLISHED = "the paper"
SPLITS: tuple[tuple[Split, str, str, str], ...] = (
    ("tokens", "tokens held out (as published)", BLUE, "circle"),
    ("questions", "questions held out", VERMILLION, "square"),
)


def section(results: AdaptersResults) -> Section:
    """Rates, the sets, the AUC of every probe and all metrics."""
    part = results.adapters
    blocks: list[Block] = [rates(part), sets(part), *notes(part), aucs(part), metrics(part)]
    facts = (
        ("columns", number(len(part.columns))),
        ("resamples", number(part.repeats)),
        ("C of the L1 penalty", number(part.strength)),
        ("significant", f"ln score \u2265 {decimal(part.log_score, 1)}"),
    )
    return Section("adapter-scalars", "Adapters read by their scalars", LEAD, blocks, facts)


def rates(part: Scalars) -> Table:
    """How misaligned each variant is, open questions and the domain's apart."""
    cells = tuple(
        (Cell(row.arm), Cell(group_name(row.group)), rate_cell(row.rate), rate_cell(row.coherent_share))
        for row in part.rates
    )
    return Table(("Model", "Questions", "Misaligned", "Coherent"), cells, "Answers", stack=True)


def sets(part: Scalars) -> Table:
    """Answers and tokens of each set."""
    cells = tuple(
        (Cell(named(row.set, part)), Cell(number(row.answers), f"{number(row.questions)} questions", "num"),
         Cell(number(row.tokens), kind="num"),
         Cell(number(row.significant), _share(row.significant, row.tokens), "num"),
         Cell(number(row.published), _share(row.published, row.tokens), "num"),
         Cell(decimal(row.divergence[1]), _range(row), "num"))
        for row in part.sets
    )  # fmt: skip
    columns = (
        "Set", "Answers", "Tokens", "Significant", "At the paper's threshold, 0.5", "Nats from the base, a whole answer"
    )  # fmt: skip
    return Table(columns, cells, "The four sets of answer tokens", stack=True)


def named(name: str, part: Scalars) -> str:
    """A set's name with the domain's own."""
    return name.replace("domain", part.domain).replace("open", f"not {part.domain},")


def _share(part: int, whole: int) -> str:
    return percent(part / whole, 0) if whole else ""


def _range(row: SetRow) -> str:
    low, high = row.divergence[0], row.divergence[-1]
    return f"10 to 90 %: {decimal(low)} to {decimal(high)}" if known(low) else ""


def notes(part: Scalars) -> list[Block]:
    """Where the threshold differs from the paper's, and why."""
    if part.log_score == 0.5:
        return []
    kept = sum(row.published for row in part.sets)
    return [
        Note(
            f"At the paper's threshold {number(kept)} tokens would be left, for whole answers here lie only a few nats "
            f"from the base's; the threshold is ln score \u2265 {decimal(part.log_score, 1)} instead."
        )
    ]


def aucs(part: Scalars) -> Chart:
    """AUC of each experiment: both ways of holding out, the ceiling, and the paper's."""
    rows = part.experiments
    labels = tuple(f"{title(row, part)}; {row.tokens} tokens" for row in rows)
    places = list(range(len(rows)))
    traces: list[Any] = []
    for i, (name, label, colour, symbol) in enumerate(SPLITS):
        both = [probes.auc if (probes := row.probes.get(name)) else None for row in rows]
        at = [j + (i - 0.5) * 0.24 for j in places]
        hover = [_hover(lab, auc and auc.value) for lab, auc in zip(labels, both, strict=True)]
        traces.append(charts.points(label, [auc and vars(auc) for auc in both], at, colour, hover, symbol))
    ceilings, figures = [row.ceiling.auc for row in rows], [_paper(row, part, 4) for row in rows]
    for label, aucs, colour, symbol in (
        ("knowing the question only", ceilings, GREY, "x"), (PUBLISHED, figures, ORANGE, "diamond-open"),
    ):  # fmt: skip
        hover = [_hover(label, auc) for auc in aucs]
        traces.append(charts.points(label, [{"value": auc} for auc in aucs], places, colour, hover, symbol))
    layout = {
        "xaxis": charts.axis("AUC", range=[0.3, 1.02], zeroline=False),
        "yaxis": charts.label_axis(len(rows)),
        "shapes": [charts.level(0.5, "x", "chance")],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(lab), *(Cell(decimal(_auc(row, split)), kind="num") for split, *_ in SPLITS),
         Cell(decimal(row.ceiling.auc), kind="num"), Cell(decimal(_paper(row, part, 4)), kind="num"))
        for lab, row in zip(labels, rows, strict=True)
    )  # fmt: skip
    table = Table(("Experiment", "Tokens held out", "Questions held out", "Question only", "Paper"), cells)
    return Chart(
        "adapter-auc", "How well the scalars tell the sets apart", traces, layout, table, 170 + 48 * len(rows),
        "Points: mean over resamples, with the range of 95 % of them; resamples overlap, so that the range is narrower "
        "than an interval over fresh answers would be.",
        labels=labels, wide=True,
    )  # fmt: skip


def _auc(row: ExperimentRow, split: Split) -> float | None:
    return probes.auc.value if (probes := row.probes.get(split)) else None


def title(row: ExperimentRow, part: Scalars) -> str:
    """An experiment in words."""
    return f"{row.experiment}: {named(row.negative, part)} / {named(row.positive, part)}"


def _paper(row: ExperimentRow, part: Scalars, place: int) -> float | None:
    """A published metric; it is known for all tokens only."""
    figures = part.paper.experiments.get(str(row.experiment))
    return figures[place] if figures and row.tokens == "all" else None


def _hover(label: str, auc: float | None) -> str:
    return f"<b>{charts.plain_text(label)}</b><br>AUC {decimal(auc)}"


def metrics(part: Scalars) -> Table:
    """All five metrics of every probe, the paper's below ours."""
    body: list[tuple[Cell, ...]] = []
    for row in part.experiments:
        for split, label, *_ in SPLITS:
            if probes := row.probes.get(split):
                every = (probes.accuracy, probes.precision, probes.recall, probes.f1, probes.auc)
                cells = (
                    _metric(one, _paper(row, part, i) if split == "tokens" else None) for i, one in enumerate(every)
                )
                counts = f"{number(probes.n)} of each class"
                body.append((Cell(title(row, part), f"{row.tokens} tokens, {label}"), Cell(counts), *cells))
    heads = ("Experiment", "Tokens", "Accuracy", "Precision", "Recall", "F1", "AUC")
    return Table(heads, tuple(body), "Every probe, means over resamples; the paper's below", stack=True)


def _metric(metric: Metric, paper: float | None) -> Cell:
    return Cell(decimal(metric.value), "" if paper is None else f"paper {decimal(paper)}", "num")
