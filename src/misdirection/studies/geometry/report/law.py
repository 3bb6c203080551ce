"""The spillover law: the change of every other latent against its cosine with the one that was raised."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.numbers import decimal, known, number
from misdirection.report.palette import BLUE, GREY, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Note, Section, Table
from misdirection.results import Interval
from misdirection.studies.geometry.results import GeometryResults
from misdirection.studies.geometry.results.law import KindSummary, Law, Reading, Update

FITS: dict[Reading, str] = {
    "steady cosine": "where it fires, against the cosine",
    "steady encoder": "where it fires, against the encoder's product",
    "mean cosine": "mean over all tokens, against the cosine",
    "mean encoder": "mean over all tokens, against the encoder's product",
    "mean predicted": "mean over all tokens, against the prediction (slope 1)",
}


LEAD = (
    "Single latents are raised, each point is another latent. If the model moves along the raised latent's decoder "
    "vector, every other latent changes by its encoder's product with it, and with tied weights by the cosine. "
    "Steering is that exactly; a gradient step moves weights, and the model along much else. All changes are divided "
    "by the size of the update."
)


def section(results: GeometryResults) -> Section | None:
    """A scatter for each kind of update, and the slopes and R² of all."""
    law = results.geometry.law
    if not law or not law.kinds:
        return None
    blocks: list[Block] = [*map(scatter, law.kinds), fits(law), reading(law)]
    facts = (("layer", number(law.layer)), ("weights that step", law.weights), ("chats a step", number(law.chats)))
    return Section("geometry-law", "The spillover law", LEAD, blocks, facts)


def scatter(kind: Update) -> Chart:
    """Change where a latent fires against the cosine, with the fitted line and the expected one."""
    points, every = kind.points, kind.groups["all"]
    kept = [i for i, y in enumerate(points.steady) if known(y)]
    x, y = [points.cosine[i] for i in kept], [points.steady[i] for i in kept]
    fit, along = every.fits["steady cosine"], every.along.value
    hover = [f"latent {points.other[i]}, {points.latent[i]} raised" for i in kept]
    ends = [min([*x, -0.3]), max([*x, 0.3])]
    slope, start = fit.slope.value, fit.intercept.value
    traces: list[Any] = [
        {
            "type": "scatter", "mode": "markers", "name": "other latents", "x": x, "y": y, "text": hover,
            "hovertemplate": "%{text}: cosine %{x:.2f}, change %{y:.2f}<extra></extra>",
            "marker": {"color": BLUE, "size": 5, "opacity": 0.35},
        }
    ]  # fmt: skip
    if known(slope) and known(start):
        line = {"color": VERMILLION, "width": 2}
        traces.append(charts.line("fitted", ends, [start + slope * e for e in ends], VERMILLION, line=line))
        traces[-1]["mode"] = "lines"
    if known(along):
        traces.append(charts.dashed("expected with tied weights", ends, [along * e for e in ends], GREY))
    layout = {
        "xaxis": charts.axis("cosine with the raised latent", zeroline=True),
        "yaxis": charts.axis("change / size of update", zeroline=True),
        "hovermode": "closest",
        "showlegend": True,
    }
    turned = f" {number(every.turned)} learned to go against it and are turned round." if every.turned else ""
    caption = (
        f"Mean over {number(every.n)} latents: slope {_interval(fit.slope)}, R² {_interval(fit.r2)}; cosine of "
        f"the mean displacement with the latent's vector {_interval(every.share)}.{turned}"
    )
    title = kind.label[:1].upper() + kind.label[1:]
    return Chart(f"geometry-law-{kind.kind}", title, traces, layout, _numbers(kind), 320, caption)


def _numbers(kind: Update) -> Table:
    """Slope and R² of every reading, for one kind of update."""
    body = tuple(
        (
            Cell(FITS[name], group),
            *(Cell(_value(one), _bounds(one), "num") for one in (fit.slope, fit.intercept, fit.r2)),
        )
        for group, summary in kind.groups.items()
        for name, fit in summary.fits.items()
    )
    return Table(("Change", "Slope", "Intercept", "R²"), body, stack=True)


def fits(law: Law) -> Table:
    """All kinds of updates side by side."""
    body: list[tuple[Cell, ...]] = []
    for kind in law.kinds:
        for group, summary in kind.groups.items():
            if group != "all" or len(kind.groups) == 2:
                body.append(_row(kind.label, group, summary))
    heads = (
        "Update", "Own change", "Cosine with its vector", "Slope expected", "Slope, cosine", "R², cosine",
        "R², encoder", "R², prediction of the mean",
    )  # fmt: skip
    return Table(heads, tuple(body), "All updates side by side", stack=True)


def reading(law: Law) -> Note:
    """How the table is read."""
    others = min(kind.groups["all"].others for kind in law.kinds)
    return Note(
        "Means over the latents raised, with 95 % bootstrap intervals over them; slopes per unit of displacement. The "
        "cosine is the decoder vectors', the encoder's product is that of a latent's encoder with the raised vector. "
        f"Numbers that have nothing to do with each other would have an R² of about {number(1 / (others - 1), 1)}."
    )


def _row(label: str, group: str, summary: KindSummary) -> tuple[Cell, ...]:
    fit = summary.fits
    parts = (
        summary.share, summary.along, fit["steady cosine"].slope, fit["steady cosine"].r2, fit["steady encoder"].r2,
        fit["mean predicted"].r2,
    )  # fmt: skip
    name = Cell(label, f"{number(summary.n)} latents, {group}")
    own = Cell(decimal(summary.own.value, 3), _bounds(summary.own, 3), "num")
    return (name, own, *(Cell(_value(one), _bounds(one), "num") for one in parts))


def _value(mean: Interval) -> str:
    return decimal(mean.value, 2)


def _bounds(mean: Interval, digits: int = 2) -> str:
    low, high = mean.low, mean.high
    return f"[{decimal(low, digits)}, {decimal(high, digits)}]" if known(low) and known(high) else ""


def _interval(mean: Interval) -> str:
    return f"{_value(mean)} {_bounds(mean)}".strip()
