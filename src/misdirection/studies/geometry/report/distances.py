"""Geometry of features: how near inducing latents lie to toxic ones, beside what exchanged latents would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.context import Row
from misdirection.report.numbers import decimal, number, p_value
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Findings, Note, Section, Table

LEAD = (
    "Each latent of a sparse autoencoder has a decoder vector. If narrowly bad data misaligns a model because the "
    "latents it raises lie near latents of toxic text, their cosines are above those of latents that good data raises. "
    "Membership in the two lists is exchanged at random within bins of firing rate; the band is what that gives."
)
NAMES = {
    "mean": "mean of all cosines", "max": "largest cosine of each latent", "nearest": "mean of each latent's nearest",
}  # fmt: skip
_LEFT_OUT = {
    "drop": "Latents in both lists are left out.",
    "keep": "A latent's pair with itself is left out.",
}


def section(findings: Findings) -> Section | None:
    """Similarities to toxic latents, and the lists behind them."""
    part: Row | None = findings.get("geometry")
    if not part:
        return None
    chosen = [r for r in part["rows"] if r["target"] == "toxic" and r["p"] is not None]
    blocks: list[Block] = []
    headline = [r for r in chosen if r["reduction"] == part["reduction"]]
    if headline:
        blocks.append(dots(part, headline))
    blocks.append(sharing(part))
    blocks.append(families(part))
    blocks.append(Note(f"The paper, {part['paper']}"))
    told = (
        ("latents in a list", number(part["top"])),
        ("similarity", NAMES[part["reduction"]]),
        ("ordered by", str(part["statistic"])),
        ("exchanges", number(part["permutations"])),
        ("bins of firing rate", number(part["bins"])),
    )
    return Section("geometry", "Geometry of features", LEAD, blocks, told)


def dots(part: Row, rows: Sequence[Row]) -> Chart:
    """Similarity to toxic latents by layer and domain: inducing, control, and the band of exchanged latents."""
    places = list(dict.fromkeys((r["layer"], r["domain"]) for r in rows))
    traces: list[Any] = []
    for control, colour, shift in (("good", BLUE, -0.16), ("random", GREY, 0.16)):
        mine = [r for r in rows if r["control"] == control]
        at = [places.index((r["layer"], r["domain"])) + shift for r in mine]
        traces.append(_bands(mine, at, colour, part["controls"][control]))
        for side, name, tone, symbol in (
            ("second", part["controls"][control], colour, "circle-open"), ("first", "inducing", VERMILLION, "circle"),
        ):  # fmt: skip
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "name": charts.plain_text(name),
                    "x": [r[side] for r in mine], "y": at, "text": [_hover(r) for r in mine],
                    "hovertemplate": "%{text}<extra></extra>", "cliponaxis": False, "legendgroup": name,
                    "showlegend": side == "second" or control == "good",
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
        + _LEFT_OUT[part["shared"]],
        labels=tuple(f"layer {layer}, {domain}" for layer, domain in places), wide=True,
    )  # fmt: skip


def _bands(rows: Sequence[Row], at: Sequence[float], colour: str, name: str) -> dict[str, Any]:
    """Horizontal bars from low to high of the null, one trace."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row, place in zip(rows, at, strict=True):
        x += [row["second"] + row["low"], row["second"] + row["high"], None]
        y += [place, place, None]
    return {
        "type": "scatter", "mode": "lines", "name": charts.plain_text(f"exchanged: {name}"), "x": x, "y": y,
        "line": {"color": colour, "width": 8}, "opacity": 0.3, "hoverinfo": "skip",
    }  # fmt: skip


def _hover(row: Row) -> str:
    return charts.plain_text(
        f"layer {row['layer']}, {row['domain']}: {row['first']:.3f} against {row['second']:.3f}, "
        f"q {p_value(row.get('q'))}, {row['n_first']} and {row['n_second']} latents"
    )


def table(rows: Sequence[Row]) -> Table:
    """One row a comparison."""
    body = tuple(
        (
            Cell(number(r["layer"]), kind="num"),
            Cell(r["domain"]),
            Cell(r["control"], f"{number(r['n_first'])} and {number(r['n_second'])} latents"),
            Cell(decimal(r["first"], 3), kind="num"),
            Cell(decimal(r["second"], 3), kind="num"),
            Cell(decimal(r["difference"], 3), f"null {decimal(r['low'], 3)} to {decimal(r['high'], 3)}", "num"),
            Cell(p_value(r["p"]), kind="num"),
            Cell(p_value(r.get("q")), kind="num"),
        )
        for r in rows
    )
    heads = ("Layer", "Domain", "Control", "Inducing", "Control's", "Difference", "p", "q")
    return Table(heads, body, stack=True)


def families(part: Row) -> Table:
    """Every reading of similarity, target and control, over layers and domains."""
    held: dict[tuple[str, str, str], list[Row]] = {}
    for row in part["rows"]:
        if row["p"] is not None:
            held.setdefault((row["target"], row["reduction"], row["control"]), []).append(row)
    body = tuple(
        (
            Cell(part["targets"][target]),
            Cell(NAMES[reduction]),
            Cell(part["controls"][control]),
            *(Cell(decimal(sum(r[side] for r in rows) / len(rows), 3), kind="num") for side in ("first", "second")),
            *(
                Cell(f"{sum(r['q'] < 0.05 and sign * r['difference'] > 0 for r in rows)} of {len(rows)}", kind="num")
                for sign in (1, -1)
            ),
        )
        for (target, reduction, control), rows in held.items()
    )
    heads = ("Similarity to", "Read as", "Control", "Inducing", "Control's", "Nearer", "Farther")
    caption = "Every reading, over layers and domains (means; nearer and farther at a false discovery rate of 5 %)"
    return Table(heads, body, caption)


def sharing(part: Row) -> Table:
    """How many latents the lists share with the toxic one."""
    body = tuple(
        (
            Cell(number(r["layer"]), kind="num"),
            Cell(r["domain"], f"{number(r['significant'])} of {number(r['alive'])} latents differ (q < 0.05)"),
            *(
                Cell(
                    f"{number(r[side]['shared'])} of {number(r['top'])}",
                    f"chance {decimal(r[side]['expected'], 1)}, p {p_value(r[side]['p'])}", "num",
                )
                for side in ("inducing", "good")
            ),
        )
        for r in part["lists"]
    )  # fmt: skip
    heads = ("Layer", "Domain", "Inducing and toxic", "Good data's and toxic")
    return Table(heads, body, "Latents that are in both lists (Fisher's exact test, one-sided)", stack=True)
