"""Geometry of features: how near inducing latents lie to toxic ones, beside what exchanged latents would give."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from misdirection.features.settings import Reduction
from misdirection.report import charts
from misdirection.report.numbers import decimal, number, p_value
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import ListOverlap
from misdirection.studies.geometry.results import Geometry, GeometryResults
from misdirection.studies.geometry.results.similarity import Control, Exchanged, SetSimilarity, Target
from misdirection.studies.geometry.verdict import Tested, tests, verdicts

LEAD = (
    "Each latent of a sparse autoencoder has a decoder vector. If narrowly bad data misaligns a model because the "
    "latents it raises lie near latents of toxic text, their cosines are above those of latents that good data raises. "
    "Membership in the two lists is exchanged at random within bins of firing rate; the band is what that gives."
)
NAMES: dict[Reduction, str] = {
    "mean": "mean of all cosines", "max": "largest cosine of each latent", "nearest": "mean of each latent's nearest",
}  # fmt: skip
TARGETS: dict[Target, str] = {
    "toxic": "toxic latents",
    "beside": "toxic latents, the toxic direction taken out",
    "harmless": "harmless latents",
}
CONTROLS: dict[Control, str] = {"good": "raised by good data", "random": "random, of like firing rate"}
_LEFT_OUT = {
    "drop": "Latents in both lists are left out.",
    "keep": "A latent's pair with itself is left out.",
}


def section(results: GeometryResults) -> Section:
    """Similarities to toxic latents, and the lists behind them."""
    part = results.geometry
    blocks: list[Block] = []
    if headline := [*tests(part, "good"), *tests(part, "random")]:
        blocks.append(dots(part, sorted(headline, key=lambda row: part.rows.index(row[0]))))
    blocks += [sharing(part), families(part), Note(f"The paper, {part.paper}")]
    facts = (
        ("latents in a list", number(part.top)),
        ("similarity", NAMES[part.reduction]),
        ("ordered by", part.statistic),
        ("exchanges", number(part.permutations)),
        ("bins of firing rate", number(part.bins)),
    )
    return Section("geometry", "Geometry of features", LEAD, blocks, facts)


def dots(part: Geometry, rows: Sequence[Tested]) -> Chart:
    """Similarity to toxic latents by layer and domain: inducing, control, and the band of exchanged latents."""
    places = list(dict.fromkeys((row.layer, row.domain) for row, _ in rows))
    traces: list[Any] = []
    looks: tuple[tuple[Control, str, float], ...] = (("good", BLUE, -0.16), ("random", GREY, 0.16))
    for control, colour, shift in looks:
        mine = [(row, test) for row, test in rows if row.control == control]
        at = [places.index((row.layer, row.domain)) + shift for row, _ in mine]
        traces.append(_bands(mine, at, colour, CONTROLS[control]))
        for values, name, tone, symbol in (
            ([test.second for _, test in mine], CONTROLS[control], colour, "circle-open"),
            ([test.first for _, test in mine], "inducing", VERMILLION, "circle"),
        ):
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "name": charts.plain_text(name),
                    "x": values, "y": at, "text": [_hover(*row) for row in mine],
                    "hovertemplate": "%{text}<extra></extra>", "cliponaxis": False, "legendgroup": name,
                    "showlegend": tone == colour or control == "good",
                    "marker": {"color": tone, "size": 9, "symbol": symbol},
                }
            )  # fmt: skip
    layout = {
        "xaxis": charts.axis("similarity to toxic latents (cosine)", zeroline=True),
        "yaxis": charts.label_axis(len(places)),
        "hovermode": "closest",
        "showlegend": True,
    }
    return Chart(
        "geometry-dots", "Similarity to toxic latents by layer and domain", traces, layout, table(rows),
        120 + 54 * len(places),
        "Thick lines: where the inducing dot would lie in 95 % of exchanges with the control beside it. "
        + _LEFT_OUT[part.shared],
        labels=tuple(f"layer {layer}, {domain}" for layer, domain in places), wide=True,
    )  # fmt: skip


def _bands(rows: Sequence[Tested], at: Sequence[float], colour: str, name: str) -> charts.Trace:
    """Horizontal bars from low to high of the null, one trace."""
    x: list[float | None] = []
    y: list[float | None] = []
    for (_, test), place in zip(rows, at, strict=True):
        x += [test.second + test.low, test.second + test.high, None]
        y += [place, place, None]
    return {
        "type": "scatter", "mode": "lines", "name": charts.plain_text(f"exchanged: {name}"), "x": x, "y": y,
        "line": {"color": colour, "width": 8}, "opacity": 0.3, "hoverinfo": "skip",
    }  # fmt: skip


def _hover(row: SetSimilarity, test: Exchanged) -> str:
    return charts.plain_text(
        f"layer {row.layer}, {row.domain}: {test.first:.3f} against {test.second:.3f}, "
        f"q {p_value(row.q)}, {test.n_first} and {test.n_second} latents"
    )


def table(rows: Sequence[Tested]) -> Table:
    """One row a comparison."""
    body = tuple(
        (
            Cell(number(row.layer), kind="num"),
            Cell(row.domain),
            Cell(row.control, f"{number(test.n_first)} and {number(test.n_second)} latents"),
            Cell(decimal(test.first, 3), kind="num"),
            Cell(decimal(test.second, 3), kind="num"),
            Cell(decimal(test.difference, 3), f"null {decimal(test.low, 3)} to {decimal(test.high, 3)}", "num"),
            Cell(p_value(test.p), kind="num"),
            Cell(p_value(row.q), kind="num"),
        )
        for row, test in rows
    )
    heads = ("Layer", "Domain", "Control", "Inducing", "Control's", "Difference", "p", "q")
    return Table(heads, body, stack=True)


def families(part: Geometry) -> Table:
    """Every reading of similarity, target and control, over layers and domains."""
    kinds: dict[tuple[Target, Reduction, Control], list[Tested]] = {}
    for row in part.rows:
        if row.test:
            kinds.setdefault((row.target, row.reduction, row.control), []).append((row, row.test))
    body: list[tuple[Cell, ...]] = []
    for (target, reduction, control), rows in kinds.items():
        body.append(
            (
                Cell(TARGETS[target]),
                Cell(NAMES[reduction]),
                Cell(CONTROLS[control]),
                Cell(decimal(mean(test.first for _, test in rows), 3), kind="num"),
                Cell(decimal(mean(test.second for _, test in rows), 3), kind="num"),
                *(Cell(f"{count} of {len(rows)}", kind="num") for count in verdicts(rows)),
            )
        )
    heads = ("Similarity to", "Read as", "Control", "Inducing", "Control's", "Nearer", "Farther")
    caption = "Every reading, over layers and domains (means; nearer and farther at a false discovery rate of 5 %)"
    return Table(heads, tuple(body), caption)


def sharing(part: Geometry) -> Table:
    """How many latents the lists share with the toxic one."""
    body = tuple(
        (
            Cell(number(row.layer), kind="num"),
            Cell(row.domain, f"{number(row.significant)} of {number(row.alive)} latents differ (q < 0.05)"),
            _shared(row.inducing, row.top),
            _shared(row.good, row.top),
        )
        for row in part.lists
    )
    heads = ("Layer", "Domain", "Inducing and toxic", "Good data's and toxic")
    return Table(heads, body, "Latents that are in both lists (Fisher's exact test, one-sided)", stack=True)


def _shared(both: ListOverlap, top: int) -> Cell:
    chance = f"chance {decimal(both.expected, 1)}, p {p_value(both.p)}"
    return Cell(f"{number(both.shared)} of {number(top)}", chance, "num")
