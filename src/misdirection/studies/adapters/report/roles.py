"""What each adapter is for: its weight in the two probes, its role, and how stable that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.numbers import decimal, known, number, p_value, percent
from misdirection.report.palette import GREEN, GREY, ORANGE, PURPLE
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "A layer is general when the probe of misalignment outside of the domain uses its adapter, domain-specific when "
    "the probe that tells the domain's misaligned answers from other misaligned ones does; one used by both has the "
    "role of the larger share, and one whose weight shuffled labels reach too, or that is less than a quarter of an "
    "equal split, counts for neither. Stability is the share of resamples that give the same role."
)
COLOURS = {"general": ORANGE, "domain": PURPLE, "neither": GREY}
WORDS = {"general": "general", "domain": "domain-specific", "neither": "neither"}


def section(findings: Findings) -> Section | None:
    """Weights of every layer in both probes, the roles, other choices, and what interventions say."""
    part: Row | None = findings.get("adapters")
    if not part or not part.get("roles"):
        return None
    roles: Sequence[Row] = part["roles"]
    blocks: list[Block] = [weights(roles), table(roles), *others(part), *agreement(part), *paper(part)]
    tokens, _, held = str(part.get("chosen")).partition("/")
    counts: Mapping[str, int] = part.get("counts") or {}
    told = tuple((WORDS[name], number(counts.get(name, 0))) for name in WORDS)
    told += (("roles come of", f"{tokens} tokens, {held} held out"), ("resamples", number(part.get("repeats"))))
    return Section("adapter-roles", "What each adapter is for", LEAD, blocks, told)


def weights(roles: Sequence[Row]) -> Chart:
    """Two bars a layer: its share of the weight in either probe, and what shuffled labels reach."""
    traces: list[Any] = []
    for side, name, colour in ((0, "misalignment outside of the domain", ORANGE), (1, "the domain", PURPLE)):
        at = [place + (side - 0.5) * 0.36 for place in range(len(roles))]
        values = [row["weights"][side] for row in roles]
        hover = [
            f"<b>{charts.plain_text(row['name'])}</b><br>{name}: weight {decimal(row['weights'][side], 3)}, "
            f"{percent(row['shares'][side], 0)} of all, shuffled labels {decimal(row['bars'][side], 3)}"
            for row in roles
        ]
        traces.append(
            {"type": "bar", "orientation": "h", "name": name, "x": values, "y": at, "width": 0.32,
             "marker": {"color": colour, "opacity": 0.85}, "text": hover, "textposition": "none",
             "hovertemplate": "%{text}<extra></extra>"}
        )  # fmt: skip
        null = [{"value": row["bars"][side]} for row in roles]
        traces.append(
            charts.points("shuffled labels, 95th percentile", null, at, GREEN, hover, "x") | {"showlegend": side == 0}
        )
    layout = {
        "xaxis": charts.axis("weight: sum of |coefficient|", rangemode="tozero"),
        "yaxis": charts.label_axis(len(roles)),
        "barmode": "overlay",
        "showlegend": True,
    }
    return Chart(
        "adapter-roles", "Weight of each layer in the two probes", traces, layout, table(roles), 150 + 46 * len(roles),
        labels=tuple(f"{row['name']}: {WORDS[str(row['role'])]}" for row in roles), wide=True,
    )  # fmt: skip


def table(roles: Sequence[Row]) -> Table:
    """Role, stability and weights of every layer."""
    cells = tuple(
        (Cell(str(row["name"])), Cell(WORDS[str(row["role"])], colour=COLOURS[str(row["role"])]),
         Cell(percent(row["stability"], 0), _votes(row), "warn" if row["stability"] < 0.9 else "num"),
         *(Cell(decimal(row["weights"][i], 3), f"{percent(row['shares'][i], 0)} of all", "num") for i in (0, 1)),
         *(Cell(decimal(row["signed"][i], 3), kind="num") for i in (0, 1)))
        for row in roles
    )  # fmt: skip
    columns = ("Layer", "Role", "Stability", "Weight, misalignment", "Weight, domain", "Signed", "Signed, domain")
    return Table(columns, cells, "Role of each layer", stack=True)


def _votes(row: Row) -> str:
    votes: Mapping[str, float] = row.get("votes") or {}
    rest = [f"{WORDS[name]} {percent(v, 0)}" for name, v in votes.items() if v > 0 and name != row["role"]]
    return ", ".join(rest)


def others(part: Row) -> list[Block]:
    """The same by other choices of tokens and splits, and of other fine-tunes."""
    found: Sequence[Row] = part.get("others") or []
    if not found:
        return []
    cells = tuple(
        (Cell(_what(row)), Cell(in_words(row["counts"])),
         Cell(f"{number(row['same'])} of {number(row['n'])}", f"by chance {decimal(row['chance'], 1)}", "num"),
         Cell(", ".join(f"{layer.removeprefix('layer ')} {WORDS[role][0]}" for layer, role in row["roles"].items())))
        for row in found
    )  # fmt: skip
    columns = ("Instead", "Roles", "Layers with the same role", "By layer: g, d, n")
    return [Table(columns, cells, "The roles by other choices and of other fine-tunes", stack=True)]


def in_words(counts: Mapping[str, int]) -> str:
    """How many have which role."""
    return ", ".join(f"{number(counts.get(name, 0))} {word}" for name, word in WORDS.items())


def _what(row: Row) -> str:
    tokens, _, held = str(row["choice"]).partition("/")
    if row["variant"] != "tuned":
        return f"fine-tune with {row['variant']}"
    return f"{tokens} tokens, {held} held out"


def agreement(part: Row) -> list[Block]:
    """What leaving out each layer does, beside its role."""
    held: Row | None = part.get("agreement")
    if not held:
        return []
    cells = tuple(
        (Cell(f"layer {number(row['layer'])}"), Cell(WORDS[str(row["role"])], colour=COLOURS[str(row["role"])]),
         Cell(percent(row["general"], 0), kind="num"), _points(row["drop"]), _points(row["alone"]))
        for row in held["layers"]
    )  # fmt: skip
    tests: Mapping[str, Row] = held["tests"]
    rows = (
        *cells,
        (Cell("rank correlation with the weight"), Cell(""), Cell("", kind="num"),
         *(Cell(decimal(tests[n].get("rho")), f"p {p_value(tests[n].get('p'))}", "num") for n in ("drop", "alone"))),
    )  # fmt: skip
    columns = ("Layer", "Role by probes", "Share of the weight, misalignment", "Fall when left out, points",
               "Rise when on alone, points")  # fmt: skip
    blocks: list[Block] = [
        Table(columns, rows, "Do interventions agree? Misaligned open answers", stack=True),
        Note(held["sentence"]),
    ]
    blocks += [Note(text) for text in held.get("arms") or []]
    return blocks


def _points(value: Any) -> Cell:
    sign = "+" if known(value) and value > 0 else ""
    return Cell(sign + decimal(100 * value, 1) if known(value) else "\u2013", kind="num")


def paper(part: Row) -> list[Block]:
    """The paper's split, and why ours may differ."""
    told: Row = part.get("paper") or {}
    counts: Mapping[str, int] = told.get("roles") or {}
    if not counts:
        return []
    named, mine = in_words(counts), in_words(part.get("counts") or {})
    return [
        Note(
            f"The paper (Qwen2.5-14B, nine adapters, significant tokens): {named}; {told.get('layers')}. Here: {mine}. "
            "A scalar that a probe uses need not be one that does anything: probes read what goes with misalignment in "
            "an answer, words of the domain included, and leave out whatever another scalar already tells."
        )
    ]
