"""What each adapter is for: its weight in the two probes, its role, and how stable that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from misdirection.adapters.roles import Role
from misdirection.report import charts
from misdirection.report.numbers import decimal, number, p_value, percent
from misdirection.report.palette import GREEN, GREY, ORANGE, PURPLE
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.scalars import OtherRoles, RankTest, RoleRow, Scalars

LEAD = (
    "A layer is general when the probe of misalignment outside of the domain uses its adapter, domain-specific when "
    "the probe that tells the domain's misaligned answers from other misaligned ones does; one used by both has the "
    "role of the larger share, and one whose weight shuffled labels reach too, or that is less than a quarter of an "
    "equal split, counts for neither. Stability is the share of resamples that give the same role."
)
COLOURS: dict[Role, str] = {"general": ORANGE, "domain": PURPLE, "neither": GREY}
WORDS: dict[Role, str] = {"general": "general", "domain": "domain-specific", "neither": "neither"}


def section(results: AdaptersResults) -> Section:
    """Weights of every layer in both probes, the roles, other choices, and what interventions say."""
    part = results.adapters
    blocks: list[Block] = [
        weights(part.roles), table(part.roles), *others(part.others), *agreement(part), paper(part)
    ]  # fmt: skip
    facts = tuple((word, number(part.counts[name])) for name, word in WORDS.items())
    facts += (("roles come of", _choice(part.chosen)), ("resamples", number(part.repeats)))
    return Section("adapter-roles", "What each adapter is for", LEAD, blocks, facts)


def weights(roles: Sequence[RoleRow]) -> Chart:
    """Two bars a layer: its share of the weight in either probe, and what shuffled labels reach."""
    traces: list[Any] = []
    for side, name, colour in ((0, "misalignment outside of the domain", ORANGE), (1, "the domain", PURPLE)):
        at = [place + (side - 0.5) * 0.36 for place in range(len(roles))]
        values = [row.weights[side] for row in roles]
        hover = [
            f"<b>{charts.plain_text(row.name)}</b><br>{name}: weight {decimal(row.weights[side], 3)}, "
            f"{percent(row.shares[side], 0)} of all, shuffled labels {decimal(row.bars[side], 3)}"
            for row in roles
        ]
        traces.append(
            {"type": "bar", "orientation": "h", "name": name, "x": values, "y": at, "width": 0.32,
             "marker": {"color": colour, "opacity": 0.85}, "text": hover, "textposition": "none",
             "hovertemplate": "%{text}<extra></extra>"}
        )  # fmt: skip
        null = [{"value": row.bars[side]} for row in roles]
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
        labels=tuple(f"{row.name}: {WORDS[row.role]}" for row in roles), wide=True,
    )  # fmt: skip


def table(roles: Sequence[RoleRow]) -> Table:
    """Role, stability and weights of every layer."""
    cells = tuple(
        (Cell(row.name), Cell(WORDS[row.role], colour=COLOURS[row.role]),
         Cell(percent(row.stability, 0), _votes(row), "warn" if row.stability < 0.9 else "num"),
         *(Cell(decimal(row.weights[i], 3), f"{percent(row.shares[i], 0)} of all", "num") for i in (0, 1)),
         *(Cell(decimal(row.signed[i], 3), kind="num") for i in (0, 1)))
        for row in roles
    )  # fmt: skip
    columns = ("Layer", "Role", "Stability", "Weight, misalignment", "Weight, domain", "Signed", "Signed, domain")
    return Table(columns, cells, "Role of each layer", stack=True)


def _votes(row: RoleRow) -> str:
    return ", ".join(f"{WORDS[name]} {percent(v, 0)}" for name, v in row.votes.items() if v > 0 and name != row.role)


def others(rows: Sequence[OtherRoles]) -> list[Block]:
    """The same by other choices of tokens and splits, and of other fine-tunes."""
    if not rows:
        return []
    cells = tuple(
        (Cell(_choice(row.choice) if row.variant == "tuned" else f"fine-tune with {row.variant}"),
         Cell(in_words(row.counts)),
         Cell(f"{number(row.same)} of {number(row.n)}", f"by chance {decimal(row.chance, 1)}", "num"),
         Cell(", ".join(f"{layer.removeprefix('layer ')} {WORDS[role][0]}" for layer, role in row.roles.items())))
        for row in rows
    )  # fmt: skip
    columns = ("Instead", "Roles", "Layers with the same role", "By layer: g, d, n")
    return [Table(columns, cells, "The roles by other choices and of other fine-tunes", stack=True)]


def in_words(counts: Mapping[Role, int]) -> str:
    """How many have which role."""
    return ", ".join(f"{number(counts[name])} {word}" for name, word in WORDS.items())


def _choice(choice: str) -> str:
    tokens, _, held_out = choice.partition("/")
    return f"{tokens} tokens, {held_out} held out"


def agreement(part: Scalars) -> list[Block]:
    """What leaving out each layer does, beside its role."""
    agrees = part.agreement
    if not agrees:
        return []
    cells = tuple(
        (Cell(f"layer {number(row.layer)}"), Cell(WORDS[row.role], colour=COLOURS[row.role]),
         Cell(percent(row.general, 0), kind="num"), _points(row.drop), _points(row.alone))
        for row in agrees.layers
    )  # fmt: skip
    last = (Cell("rank correlation with the weight"), Cell(""), Cell("", kind="num"),
            _test(agrees.tests["drop"]), _test(agrees.tests["alone"]))  # fmt: skip
    columns = ("Layer", "Role by probes", "Share of the weight, misalignment", "Fall when left out, points",
               "Rise when on alone, points")  # fmt: skip
    table = Table(columns, (*cells, last), "Do interventions agree? Misaligned open answers", stack=True)
    return [table, Note(agrees.sentence), *map(Note, agrees.arms)]


def _test(test: RankTest) -> Cell:
    return Cell(decimal(test.rho), f"p {p_value(test.p)}", "num")


def _points(value: float) -> Cell:
    return Cell(("+" if value > 0 else "") + decimal(100 * value, 1), kind="num")


def paper(part: Scalars) -> Note:
    """The paper's split, and why ours may differ."""
    return Note(
        f"The paper (Qwen2.5-14B, nine adapters, significant tokens): {in_words(part.paper.roles)}; "
        f"{part.paper.layers}. Here: {in_words(part.counts)}. "
        "A scalar that a probe uses need not be one that does anything: probes read what goes with misalignment in "
        "an answer, words of the domain included, and leave out whatever another scalar already tells."
    )
