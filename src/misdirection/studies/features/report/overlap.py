"""What lists of latents share: between the three questions, and between domains within each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, number, p_value
from misdirection.report.palette import BLUE, GREY
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.overlap import LatentOverlap, ListPair, Overlap, Overlaps

LEAD = (
    "If bad data, the tuned model and its misaligned answers lean on the same few latents, their lists overlap far "
    "more than chance. Chance is told twice: random lists of the same length among the latents that are active in both "
    "comparisons (odds ratio), and the lists of shuffled labels, for latents that are loud or move together fill the "
    "top of any list."
)
SHARED_SHOWN = 40


def section(results: FeaturesResults) -> Section | None:
    """Intersections and overlaps."""
    part = results.latent_overlap
    between, blocks = part.between, list[Block]()
    if between.pairs:
        blocks += [
            upset("latent-upset", "Latents that stand in exactly these lists", between),
            table(between.pairs, f"Lists of {number(part.top)} latents, two by two"),
            sizes(between.pairs),
            shared(part),
        ]
    for one in part.domains:
        title = one.title.capitalize()
        exactly = f"{title}: latents that stand in the lists of exactly these domains"
        blocks += [upset(f"latent-upset-{one.list}", exactly, one), table(one.pairs, f"{title}: two by two")]
    return Section("latent-overlap", "What the lists share", LEAD, blocks) if blocks else None


def upset(key: str, title: str, part: Overlaps) -> Chart:
    """Intersections as rows: dots for the lists, a bar for how many latents stand in exactly these."""
    names, rows = [one.name for one in part.lists], part.intersections
    away: list[tuple[int, int]] = []
    traces: list[Any] = []
    for y, row in enumerate(rows):
        inside = [names.index(name) for name in row.lists]
        away += [(x, y) for x in range(len(names)) if x not in inside]
        traces.append(_dots(inside, [y] * len(inside), BLUE, 10) | {"mode": "lines+markers"})
    traces.append(_dots([x for x, _ in away], [y for _, y in away], GREY, 7) | {"opacity": 0.35})
    counts = [row.count for row in rows]
    hover = [charts.plain_text(f"{' and '.join(row.lists)}: {row.count}") for row in rows]
    traces.append(
        {"type": "bar", "orientation": "h", "x": counts, "y": list(range(len(rows))), "xaxis": "x2",
         "marker": {"color": BLUE}, "text": [str(n) for n in counts], "textposition": "outside", "cliponaxis": False,
         "customdata": hover, "hovertemplate": "%{customdata}<extra></extra>", "width": 0.6, "showlegend": False}
    )  # fmt: skip
    split = min(0.5, 0.08 + 0.09 * len(names))
    layout = {
        "xaxis": {"domain": [0, split], "range": [-0.6, len(names) - 0.4], "side": "top", "tickangle": -50,
                  "tickvals": list(range(len(names))), "ticktext": [charts.plain_text(name) for name in names],
                  "showgrid": False, "zeroline": False},
        "xaxis2": charts.axis("latents", domain=[split + 0.04, 1], range=[0, 1.15 * max(counts, default=1)],
                              anchor="y", zeroline=True),
        "yaxis": charts.label_axis(len(rows)) | {"tickvals": [], "showticklabels": False},
        "bargap": 0.4,
    }  # fmt: skip
    cells = tuple((Cell(" and ".join(row.lists)), Cell(number(row.count), kind="num")) for row in rows)
    return Chart(key, title, traces, layout, Table(("In", "Latents"), cells), 130 + 34 * len(rows), wide=True)


def _dots(x: Sequence[int], y: Sequence[int], colour: str, size: int) -> charts.Trace:
    return {
        "type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "hoverinfo": "skip", "showlegend": False,
        "marker": {"color": colour, "size": size}, "line": {"color": colour, "width": 3},
    }  # fmt: skip


def table(pairs: Sequence[ListPair], caption: str) -> Table:
    """Overlap, chance, odds ratio, shuffled labels and rank correlation of every two lists."""
    cells = tuple(
        (Cell(f"{row.one} and {row.other}", f"among {number(row.alive)} live latents"),
         Cell(number(row.shared), f"chance {decimal(row.expected, 1)}", "num"),
         Cell(_odds(row), f"Fisher p {p_value(row.p)}", "num"),
         Cell(decimal(row.shuffled.mean, 1),
              f"95 % up to {decimal(row.shuffled.high, 0)}, p {p_value(row.shuffled.p)}", "num"),
         Cell(decimal(row.ranks), kind="num"))
        for row in pairs
    )  # fmt: skip
    heads = ("Lists", "Shared", "Odds ratio", "Shared under shuffled labels", "Rank correlation")
    return Table(heads, cells, f"{caption}, taken from the latents that live in both comparisons", stack=True)


def _odds(row: Overlap) -> str:
    return decimal(row.odds_ratio, 1) if row.odds_ratio is not None else "\u221e"


def sizes(pairs: Sequence[ListPair]) -> Table:
    """The overlap of shorter lists."""
    cells = tuple((Cell(f"{row.one} and {row.other}"), *map(_size, row.sizes), _size(row)) for row in pairs)
    heads = ("Lists", *(f"First {one.size}" for one in pairs[0].sizes), "Whole")
    return Table(heads, cells, "Shared by shorter lists, with the odds ratio")


def _size(row: Overlap) -> Cell:
    return Cell(number(row.shared), f"odds {_odds(row)}", "num")


def shared(part: LatentOverlap) -> Note:
    """The latents that the lists share, by their mean rank."""
    if not part.shared:
        return Note("No latent stands in two lists.", "warn")
    listed = ", ".join(map(str, part.shared[:SHARED_SHOWN])) + (" \u2026" if len(part.shared) > SHARED_SHOWN else "")
    lists = part.between.lists
    whole = any(len(row.lists) == len(lists) for row in part.between.intersections)
    where = f"all {len(lists)} lists" if whole and len(lists) > 2 else "two lists"
    return Note(f"In {where}, by mean rank ({len(part.shared)}): {listed}.")
