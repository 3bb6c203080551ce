"""Narrow against general: rates in and out of the domain, and how easy each solution is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row, facts, group_name
from misdirection.report.numbers import decimal, number, p_value, rate_cell, rate_text
from misdirection.report.palette import CATEGORIES, GREY, GROUPS, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Findings, Note, Section, Table

LEAD = (
    "The same harmful answers of one domain, learned in several ways. A narrow solution is bad in the domain and keeps "
    "open questions and other domains as they were. The general one is the easier one where it reaches a lower loss at "
    "the same length, loses less of what it learned when it is moved aside, and changes neutral text more."
)
COLOURS = {"general": VERMILLION, "narrow": CATEGORIES[0]}


def section(findings: Findings) -> Section | None:
    """Rates, the weights that were tried, and the three measures, each beside the paper's words."""
    part: Row | None = findings.get("narrow")
    if not part:
        return None
    paper: Row = part["paper"]
    blocks: list[Block] = [rates(part), changes(part), _paper(paper, "rates", "mixed", "released")]
    blocks += [weights(part), published(part)]
    for kind, ease in part["ease"].items():
        blocks += [solutions(kind, ease), *measures(kind, ease)]
    blocks.append(_paper(paper, "efficiency", "stability", "significance", "cosine"))
    told = (("domain of the harmful data", str(part["domain"])),)
    return Section("narrow", "Narrow against general", LEAD, blocks, told + facts(findings, "samples per question"))


def _paper(paper: Row, *names: str) -> Note:
    told = "; ".join(f"{name}: {paper[name]}" for name in names)
    return Note(f"The paper (Qwen2.5-14B, arXiv 2602.07852): {told}.")


def rates(part: Row) -> Chart:
    """Every arm, a marker for each group of questions."""
    arms, groups = part["arms"], part["groups"]
    traces: list[Any] = []
    for i, group in enumerate(groups):
        at = [j for j, arm in enumerate(arms) if group in arm["groups"]]
        held = [arms[j]["groups"][group]["rate"] for j in at]
        hover = [
            f"<b>{charts.plain_text(arms[j]['label'])}</b><br>{_group(part, group)}<br>{rate_text(rate)}"
            for j, rate in zip(at, held, strict=True)
        ]
        places = [j + (i - (len(groups) - 1) / 2) * 0.16 for j in at]
        name, colour = _group(part, group), GROUPS[i % len(GROUPS)]
        traces.append(charts.points(name, held, places, colour, hover, SYMBOLS[i % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.share_axis("misaligned and coherent, of all answers", side="top"),
        "yaxis": charts.label_axis(len(arms)),
        "showlegend": True,
    }
    body = tuple(
        (Cell(str(arm["label"])), *(rate_cell((arm["groups"].get(g) or {}).get("rate")) for g in groups))
        for arm in arms
    )
    return Chart(
        "narrow-rates", "Misaligned answers of each solution", traces, layout,
        Table(("Solution", *(_group(part, g) for g in groups)), body), 150 + 52 * len(arms),
        "Groups of questions are never pooled. In-domain questions are on topics that were not trained on.",
        tuple(str(arm["label"]) for arm in arms), wide=True,
    )  # fmt: skip


def _group(part: Row, group: str) -> str:
    if group in ("open", part["domain"]):
        return group_name(group)
    return f"Other domain: {group}"


def changes(part: Row) -> Table:
    """Coherence, and the paired change from the general solution of the same kind."""
    groups = part["groups"]
    heads = ("Solution", "Coherent, open", *(f"\u0394 {g}" for g in groups))
    body = tuple(
        (
            Cell(str(arm["label"])),
            rate_cell((arm["groups"].get("open") or {}).get("coherent_share")),
            *(_change((arm["changes"].get(g) or {}).get("difference")) for g in groups),
        )
        for arm in part["arms"]
    )
    return Table(
        heads, body, "Coherence, and \u0394: change against the general solution of the kind, points", stack=True
    )


def _change(difference: Row | None) -> Cell:
    if not difference:
        return Cell("\u2013", kind="num")
    ends = f"{decimal(100 * difference['low'], 1)} to {decimal(100 * difference['high'], 1)}"
    sign = "+" if difference["value"] > 0 else ""
    p = p_value(difference["p"])
    return Cell(
        sign + decimal(100 * difference["value"], 1), f"{ends}, p {p if p.startswith('<') else f'= {p}'}", "num"
    )


def weights(part: Row) -> Table:
    """The weights of the KL term that were tried, by the rates that they were chosen by."""
    groups = part["groups"]
    heads = ("Kind", "Weight, nats a token", *(_group(part, g) for g in groups), "Gap, points", "")
    body = tuple(
        (
            Cell(str(row["kind"])),
            Cell(number(row["weight"]), kind="num"),
            *(rate_cell((row["groups"].get(g) or {}).get("rate")) for g in groups),
            Cell(decimal(100 * row["gap"], 1), kind="num"),
            Cell("chosen" if row["chosen"] else ""),
        )
        for row in part["sweep"]
    )
    return Table(heads, body, "Weights of the KL term, on random numbers of their own", stack=True)


def published(part: Row) -> Table:
    """The published weights, converted."""
    heads = ("Published for", "Published weight", "Vocabulary", "Weight, nats a token")
    body = tuple(
        (
            Cell(str(row["kind"])),
            Cell(number(row["published"]), kind="num"),
            Cell(number(row["vocabulary"]), kind="num"),
            Cell(decimal(row["per_token"]), kind="num"),
        )
        for row in part["published_weights"]
    )  # fmt: skip
    return Table(heads, body, "The published code divides its KL by the size of the vocabulary as well", stack=True)


def solutions(kind: str, ease: Row) -> Table:
    """Lengths, losses and divergence elsewhere."""
    heads = (f"Solution, {kind}", "Length", "Loss on harmful answers", "KL to the base elsewhere")
    body = tuple(
        (Cell(str(row["solution"])), Cell(number(row["norm"]), kind="num"), _nats(row["loss"]), _nats(row["elsewhere"]))
        for row in ease["solutions"]
    )
    return Table(heads, body, f"{kind}: cosine of general and narrow {decimal(ease['cosine'])}", stack=True)


def _nats(value: Row | None) -> Cell:
    if not value:
        return Cell("\u2013", kind="num")
    return Cell(decimal(value["value"], 3), f"{_ends(value, 3)}, {value['n']} texts", "num")


def _ends(value: Row, digits: int) -> str:
    return f"[{decimal(value['low'], digits)}, {decimal(value['high'], digits)}]"


def measures(kind: str, ease: Row) -> tuple[Block, ...]:
    """Efficiency, stability and significance."""
    return (
        by_length(kind, "efficiency", "Efficiency: loss on the harmful answers by length", "nats a token", ease),
        stability(kind, ease),
        by_length(kind, "significance", "Significance: change of neutral text by length", "KL, nats a token", ease),
        equal(kind, ease),
    )


def by_length(kind: str, measure: str, title: str, axis: str, ease: Row) -> Chart:
    """A curve for each solution, dashed for the random ones."""
    traces: list[Any] = []
    body: list[tuple[Cell, ...]] = []
    for curve in ease[measure]["curves"]:
        name = str(curve["solution"])
        x, y = ([point[key] for point in curve["points"]] for key in ("norm", "value"))
        if name in COLOURS:
            low, high = ([point[key] for point in curve["points"]] for key in ("low", "high"))
            traces += [trace | {"showlegend": False} for trace in charts.band(name, x, low, high, COLOURS[name])]
            traces.append(charts.line(name, x, y, COLOURS[name]))
        else:
            traces.append(charts.dashed("random", x, y, GREY, showlegend=name == "random 1"))
        body += [
            (Cell(name), Cell(number(p["factor"]), kind="num"), Cell(number(p["norm"]), kind="num"), _nats(p))
            for p in curve["points"]
        ]
    layout = {
        "xaxis": charts.axis("length of the solution", rangemode="tozero"),
        "yaxis": charts.axis(axis, rangemode="tozero"),
        "showlegend": True,
    }
    table = Table(("Solution", "Multiple", "Length", axis), tuple(body))
    return Chart(f"narrow-{measure}-{kind}", f"{title} ({kind})", traces, layout, table, 340)


def stability(kind: str, ease: Row) -> Chart:
    """What is lost by distance moved aside."""
    rows: Sequence[Row] = ease["stability"]["rows"]
    traces: list[Any] = []
    for name, colour in COLOURS.items():
        mine = [row for row in rows if row["solution"] == name]
        x, y, low, high = ([row[key] for row in mine] for key in ("epsilon", "value", "low", "high"))
        traces.append(charts.line(name, x, y, colour, error_y=charts.errors(y, low, high, colour)))
    layout = {
        "xaxis": charts.axis("distance moved aside, \u03b5", rangemode="tozero"),
        "yaxis": charts.axis("lost of what was learned, %", rangemode="tozero"),
        "showlegend": True,
    }
    body = tuple((Cell(str(row["solution"])), Cell(number(row["epsilon"]), kind="num"), _lost(row)) for row in rows)
    return Chart(
        f"narrow-stability-{kind}", f"Stability: lost when moved aside at constant length ({kind})", traces, layout,
        Table(("Solution", "\u03b5", "Lost, %"), body), 340, "Means over random directions with Student's intervals.",
    )  # fmt: skip


def _lost(row: Row) -> Cell:
    ends = "" if row["low"] is None else f"{_ends(row, 1)}, "
    return Cell(decimal(row["value"], 1), f"{ends}{row['n']} directions", "num")


def equal(kind: str, ease: Row) -> Table:
    """Differences at equal length, on which the verdict stands."""
    body: list[tuple[Cell, ...]] = []
    for name in ("efficiency", "significance"):
        for row in ease[name]["equal"]:
            held: Row = row["difference"]
            where = f"at the {row['length_of']} one's length, {number(row['norm'])}"
            body.append(
                (Cell(name, where), Cell(decimal(row["general"], 3), kind="num"),
                 Cell(decimal(row["narrow"], 3), kind="num"), Cell(decimal(held["value"], 3), _ends(held, 3), "num"))
            )  # fmt: skip
    moved = ease["stability"]["difference"]
    body.append(
        (Cell("stability", "percent lost, mean over distances below 1"), Cell("\u2013"), Cell("\u2013"), _lost(moved))
    )
    heads = (f"{kind}, at equal length", "General", "Narrow", "Narrow \u2212 general")
    return Table(heads, tuple(body), "Paired differences, resampled over texts", stack=True)


SECTIONS = (Entry("Narrow against general", ("narrow",), True, section, ("narrow",)),)
