"""Adapters read by their scalars: the four token sets and the probes between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, group_name
from misdirection.report.numbers import decimal, known, number, percent, rate_cell
from misdirection.report.palette import BLUE, GREY, ORANGE, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Each adapter reads one number, its scalar, at every answer token. Sparse probes tell sets of tokens apart by "
    "these numbers alone. As published, tokens of one answer stand on both sides of the split; the honest version "
    "holds out whole questions. The ceiling knows which question was asked and sees no activations: a probe below it "
    "may have learnt the question; where every question has one label (topic), the ceiling is near 1 by construction."
)
PUBLISHED = "the paper"
SPLITS = (("tokens", "tokens held out (as published)", BLUE, "circle"),
          ("questions", "questions held out", VERMILLION, "square"))  # fmt: skip


def section(findings: Findings) -> Section | None:
    """Rates, the sets, the AUC of every probe and all metrics."""
    part: Row | None = findings.get("adapters")
    if not part or not part.get("experiments"):
        return None
    rows: Sequence[Row] = part["experiments"]
    blocks: list[Block] = [rates(part), sets(part), *notes(part), aucs(rows, part), metrics(rows, part)]
    told = (
        ("columns", number(len(part.get("columns") or []))),
        ("resamples", number(part.get("repeats"))),
        ("C of the L1 penalty", number(part.get("strength"))),
        ("significant", f"ln score \u2265 {decimal(part.get('log_score'), 1)}"),
    )
    return Section("adapter-scalars", "Adapters read by their scalars", LEAD, blocks, told)


def rates(part: Row) -> Table:
    """How misaligned each variant is, open questions and the domain's apart."""
    found: Sequence[Row] = part.get("rates") or []
    cells = tuple(
        (Cell(str(r["arm"])), Cell(group_name(str(r["group"]))), rate_cell(r.get("rate")),
         rate_cell(r.get("coherent_share")))
        for r in found
    )  # fmt: skip
    return Table(("Model", "Questions", "Misaligned", "Coherent"), cells, "Answers", stack=True)


def sets(part: Row) -> Table:
    """Answers and tokens of each set."""
    found: Sequence[Row] = part.get("sets") or []
    cells = tuple(
        (Cell(named(r["set"], part)), Cell(number(r["answers"]), f"{number(r['questions'])} questions", "num"),
         Cell(number(r["tokens"]), kind="num"),
         Cell(number(r["significant"]), _share(r["significant"], r["tokens"]), "num"),
         Cell(number(r["published"]), _share(r["published"], r["tokens"]), "num"),
         Cell(decimal((r.get("divergence") or [None] * 3)[1]), _range(r), "num"))
        for r in found
    )  # fmt: skip
    columns = (
        "Set", "Answers", "Tokens", "Significant", "At the paper's threshold, 0.5", "Nats from the base, a whole answer"
    )  # fmt: skip
    return Table(columns, cells, "The four sets of answer tokens", stack=True)


def named(name: Any, part: Row) -> str:
    """A set's name with the domain's own."""
    return str(name).replace("domain", str(part.get("domain"))).replace("open", f"not {part.get('domain')},")


def _share(part: Any, whole: Any) -> str:
    return percent(part / whole, 0) if whole else ""


def _range(row: Row) -> str:
    low, _, high = row.get("divergence") or [None] * 3
    return f"10 to 90 %: {decimal(low)} to {decimal(high)}" if known(low) else ""


def notes(part: Row) -> list[Block]:
    """Where the threshold differs from the paper's, and why."""
    if part.get("log_score") == 0.5:
        return []
    kept = sum(row["published"] for row in part.get("sets") or [])
    return [
        Note(
            f"At the paper's threshold {number(kept)} tokens would be left, for whole answers here lie only a few nats "
            f"from the base's; the threshold is ln score \u2265 {decimal(part.get('log_score'), 1)} instead."
        )
    ]


def aucs(rows: Sequence[Row], part: Row) -> Chart:
    """AUC of each experiment: both ways of holding out, the ceiling, and the paper's."""
    labels = tuple(f"{title(row, part)}; {row['tokens']} tokens" for row in rows)
    traces: list[Any] = []
    for i, (name, label, colour, symbol) in enumerate(SPLITS):
        held = [(row["probes"].get(name) or {}).get("auc") for row in rows]
        at = [j + (i - 0.5) * 0.24 for j in range(len(rows))]
        hover = [_hover(lab, value) for lab, value in zip(labels, held, strict=True)]
        traces.append(charts.points(label, held, at, colour, hover, symbol))
    ceilings = [{"value": (row.get("ceiling") or {}).get("auc")} for row in rows]
    traces.append(
        charts.points("knowing the question only", ceilings, list(range(len(rows))), GREY,
                      [_hover("knowing the question only", r) for r in ceilings], "x")
    )  # fmt: skip
    told = [{"value": _paper(row, part, 4)} for row in rows]
    traces.append(
        charts.points(PUBLISHED, told, list(range(len(rows))), ORANGE, [_hover(PUBLISHED, r) for r in told],
                      "diamond-open")
    )  # fmt: skip
    layout = {
        "xaxis": charts.axis("AUC", range=[0.3, 1.02], zeroline=False),
        "yaxis": charts.label_axis(len(rows)),
        "shapes": [charts.level(0.5, "x", "chance")],
        "showlegend": True,
    }
    cells = tuple(
        (Cell(lab), *(Cell(decimal(_auc(r, n)), kind="num") for n, *_ in SPLITS),
         Cell(decimal((r.get("ceiling") or {}).get("auc")), kind="num"), Cell(decimal(_paper(r, part, 4)), kind="num"))
        for lab, r in zip(labels, rows, strict=True)
    )  # fmt: skip
    table = Table(("Experiment", "Tokens held out", "Questions held out", "Question only", "Paper"), cells)
    return Chart(
        "adapter-auc", "How well the scalars tell the sets apart", traces, layout, table, 170 + 48 * len(rows),
        "Points: mean over resamples, with the range of 95 % of them; resamples overlap, so that the range is narrower "
        "than an interval over fresh answers would be.",
        labels=labels, wide=True,
    )  # fmt: skip


def _auc(row: Row, split: str) -> float | None:
    held: Row = row["probes"].get(split) or {}
    return (held.get("auc") or {}).get("value")


def title(row: Row, part: Row) -> str:
    """An experiment in words."""
    return f"{row['experiment']}: {named(row['negative'], part)} / {named(row['positive'], part)}"


def _paper(row: Row, part: Row, place: int) -> float | None:
    """A published metric; it is known for all tokens only."""
    known_figures: Mapping[str, Sequence[float]] = (part.get("paper") or {}).get("experiments") or {}
    figures = known_figures.get(str(row["experiment"]))
    return figures[place] if figures and row["tokens"] == "all" else None


def _hover(label: str, rate: Row | None) -> str:
    return f"<b>{charts.plain_text(label)}</b><br>AUC {decimal((rate or {}).get('value'))}"


def metrics(rows: Sequence[Row], part: Row) -> Table:
    """All five metrics of every probe, the paper's below ours."""
    names = ("accuracy", "precision", "recall", "f1", "auc")
    body: list[tuple[Cell, ...]] = []
    for row in rows:
        for split, label, *_ in SPLITS:
            held: Row | None = row["probes"].get(split)
            if held is None:
                continue
            cells = (_metric(held[n], _paper(row, part, i) if split == "tokens" else None) for i, n in enumerate(names))
            counts = f"{number(held['n'])} of each class"
            body.append((Cell(title(row, part), f"{row['tokens']} tokens, {label}"), Cell(counts), *cells))
    heads = ("Experiment", "Tokens", "Accuracy", "Precision", "Recall", "F1", "AUC")
    return Table(heads, tuple(body), "Every probe, means over resamples; the paper's below", stack=True)


def _metric(held: Row, paper: float | None) -> Cell:
    return Cell(decimal(held["value"]), "" if paper is None else f"paper {decimal(paper)}", "num")
