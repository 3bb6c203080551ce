"""Closeness by layer, probes, cross-talk, and spill against closeness."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.heatmap import heatmap, heatmap_layout, matrix_chart
from misdirection.report.numbers import decimal, number, p_value, percent, rate_cell
from misdirection.report.palette import BLUE, CATEGORIES, GREY, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.studies.separation.results import AS_IT_IS, PairRow, Separation, SeparationResults
from misdirection.studies.separation.verdict import NAMES

SPILL = (
    "A model was trained badly on one concept only. How much worse did it become on every other one, and are those "
    "that it stores close to the trained one hit hardest? Each point is another concept: to the right, closer to the "
    "trained one before training; higher, more spilled over. If closeness were the reason, the points would rise to "
    "the right. The test asks how often concepts in a random order would agree with the spill as well as the real "
    "ones."
)
CLOSE = (
    "Inside the model each concept has a place, the mean state of the chats that show it, and a direction, what "
    "changes when it shows. Cosines near 1 mean that two concepts use the same direction, near 0 that they are kept "
    "apart. The dashed line is what shuffled labels give: below it nothing is known. Whitened cosines ask the same "
    "after the directions in which all chats vary anyway are shrunk."
)
PROBE = (
    "How many dimensions does a simple linear rule need to say which concept a chat shows? If few are enough, the "
    "concepts are packed into few directions; if the curve keeps rising, each has some of its own."
)
CROSS = (
    "Each row adds one concept's direction to the model before any training, all at the same length, and each column "
    "asks about one concept. If concepts were kept apart, only the diagonal would turn bad. Random directions of the "
    "same length show what any push of this size does."
)


def spill(results: SeparationResults) -> Section:
    """Spill against closeness, and the tests."""
    part = results.separation
    blocks: list[Block] = [spill_chart(part), test_table(part)]
    if any(row.rho is not None for row in part.tests):
        blocks.append(test_chart(part))
    told = (("layer", number(part.layer)), *facts(results, "samples per question", "judge", "misaligned"))
    return Section("separation-spill", "Does what lies close spill over?", SPILL, blocks, told)


def spill_chart(part: Separation) -> Chart:
    """A point a pair: cosine of directions and change of the rate."""
    traces: list[Any] = []
    for place, trained in enumerate(dict.fromkeys(row.trained for row in part.pairs)):
        mine = [row for row in part.pairs if row.trained == trained]
        traces.append(
            {"type": "scatter", "mode": "markers", "name": charts.plain_text(f"fine-tuned on {trained}"),
             "x": [row.directions for row in mine], "y": [row.spill for row in mine],
             "text": [charts.plain_text(row.concept) for row in mine], "cliponaxis": False,
             "marker": {"color": CATEGORIES[place % len(CATEGORIES)], "size": 9,
                        "symbol": SYMBOLS[place % len(SYMBOLS)]},
             "hovertemplate": "%{text}: cosine %{x:.2f}, %{y:+.0%}<extra></extra>"}
        )  # fmt: skip
    layout = {
        "xaxis": charts.axis("cosine of both directions before training", zeroline=False),
        "yaxis": charts.axis("change of misaligned answers", tickformat=charts.TICKS, zeroline=True),
        "showlegend": True,
    }
    heads = ("Trained on", "Concept", "Before", "After", "Spill, points", "Cosine of means", "of directions",
             "of means, whitened", "of directions, whitened", "Latents in common", "Cross-talk, points")  # fmt: skip
    table = Table(heads, tuple(map(_pair, (*part.own, *part.pairs))))
    caption = "Point at one for its concept; all stand in the numbers."
    return Chart("separation-pairs", "Spill against closeness", traces, layout, table, 440, caption, wide=True)


def _pair(row: PairRow) -> tuple[Cell, ...]:
    numbers = (row.means, row.directions, row.means_whitened, row.directions_whitened, row.latents)
    talk = None if row.crosstalk is None else 100 * row.crosstalk
    return (
        Cell(row.trained), Cell(row.concept), rate_cell(row.base), rate_cell(row.tuned),
        Cell(decimal(100 * row.spill, 1), kind="num"), *(Cell(decimal(value), kind="num") for value in numbers),
        Cell(decimal(talk, 1), kind="num"),
    )  # fmt: skip


def test_table(part: Separation) -> Table:
    """The tests at the study's layer."""
    tests = [row for name in NAMES if (row := part.test(name)) is not None]
    cells = tuple(
        (Cell(NAMES[row.measure]), Cell(decimal(row.rho), kind="num"), Cell(p_value(row.p), kind="num"),
         Cell(number(row.pairs), kind="num"))
        for row in tests
    )  # fmt: skip
    heads = ("Measure of closeness", "Rank correlation with the spill", "p", "Pairs")
    return Table(heads, cells, f"Does spill follow closeness? Permutations of the concepts, layer {part.layer}")


def test_chart(part: Separation) -> Chart:
    """The correlation of each cosine with the spill by layer."""
    traces: list[Any] = []
    names = [name for name in NAMES if sum(row.measure == name for row in part.tests) > 1]
    for place, name in enumerate(names):
        mine = [row for row in part.tests if row.measure == name]
        at, rho = [row.layer for row in mine], [row.rho for row in mine]
        traces.append(charts.line(NAMES[name], at, rho, CATEGORIES[place % len(CATEGORIES)]))
    layout = {
        "xaxis": charts.layer_axis(len({row.layer for row in part.layers})),
        "yaxis": charts.axis("rank correlation with the spill", range=[-1, 1], zeroline=True),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(NAMES[row.measure]), Cell(number(row.layer), kind="num"), Cell(decimal(row.rho), kind="num"))
        for row in part.tests
    )
    table = Table(("Measure", "Layer", "Rank correlation"), cells)
    return Chart("separation-tests", "Does spill follow closeness, layer by layer?", traces, layout, table, 340)


def close(results: SeparationResults) -> Section:
    """Cosines of the base, and closeness by layer before and after."""
    part = results.separation
    blocks: list[Block] = [
        _table_of(part, "separation-directions", "Cosines of directions before training", part.directions),
        _table_of(part, "separation-means", "Cosines of class means before training", part.means),
        layers_chart(part, "directions", "Mean cosine of directions", "cosine"),
        layers_chart(part, "means", "Mean squared cosine of class means", "squared cosine"),
        layers_chart(part, "dimensions_of_means", "Dimensions of the class means (participation ratio)", "dimensions"),
        layers_table(part),
    ]
    told = (("layer", number(part.layer)), ("chats read", number(part.chats)),
            ("shrinkage of the covariance", decimal(part.shrinkage)))  # fmt: skip
    return Section("separation-closeness", "How close the concepts lie", CLOSE, blocks, told)


def _table_of(part: Separation, key: str, title: str, values: tuple[tuple[float, ...], ...]) -> Chart:
    names = part.concepts
    return matrix_chart(key, title, values, names, names, 180 + 22 * len(names), corner="Concept")


def layers_chart(part: Separation, field: str, title: str, axis: str) -> Chart:
    """A figure of every layer, a curve a model."""
    traces: list[Any] = []
    colours = (BLUE, VERMILLION, *CATEGORIES)
    for place, variant in enumerate(dict.fromkeys(row.variant for row in part.layers)):
        mine = [row for row in part.layers if row.variant == variant]
        name = "before" if variant == "base" else f"fine-tuned on {variant}"
        at = [row.layer for row in mine]
        traces.append(charts.line(name, at, [getattr(row, field) for row in mine], colours[place % len(colours)]))
        if variant == "base" and field == "means":
            traces.append(charts.dashed("labels shuffled", at, [row.floor for row in mine], GREY))
    layout = {
        "xaxis": charts.layer_axis(len({row.layer for row in part.layers})),
        "yaxis": charts.axis(axis, zeroline=True, rangemode="tozero"),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.variant), Cell(number(row.layer), kind="num"), Cell(decimal(getattr(row, field)), kind="num"))
        for row in part.layers
    )
    return Chart(f"separation-{field.replace('_', '-')}-by-layer", title, traces, layout,
                 Table(("Model", "Layer", title), cells), 340)  # fmt: skip


def layers_table(part: Separation) -> Table:
    """Every figure at the study's layer."""
    heads = ("Model", "Squared cosine of means", "whitened", "Labels shuffled", "Cosine of directions", "whitened",
             "Dimensions of means", "of states")  # fmt: skip
    rows = [row for row in part.layers if row.layer == part.layer]
    cells = tuple(
        (Cell(row.variant), *(Cell(decimal(value), kind="num") for value in (
            row.means, row.means_whitened, row.floor, row.directions, row.directions_whitened,
            row.dimensions_of_means, row.dimensions_of_states)))
        for row in rows
    )  # fmt: skip
    return Table(heads, cells, f"At layer {part.layer}", stack=True)


def probe(results: SeparationResults) -> Section:
    """Accuracy by number of components."""
    part = results.separation
    traces: list[Any] = []
    colours = (BLUE, VERMILLION, *CATEGORIES)
    for place, variant in enumerate(dict.fromkeys(row.variant for row in part.probes)):
        mine = [row for row in part.probes if row.variant == variant]
        name = "before" if variant == "base" else f"fine-tuned on {variant}"
        at = [row.dims for row in mine]
        traces.append(charts.line(name, at, [row.accuracy for row in mine], colours[place % len(colours)]))
        if variant == "base":
            traces.append(charts.dashed("labels shuffled", at, [row.shuffled for row in mine]))
    layout = {
        "xaxis": charts.axis("principal components", type="log", zeroline=False),
        "yaxis": charts.axis("chats told right", tickformat=charts.TICKS, range=[0, 1.02]),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.variant), Cell(number(row.dims), kind="num"), Cell(percent(row.accuracy), kind="num"),
         Cell(percent(row.shuffled), kind="num"))
        for row in part.probes
    )  # fmt: skip
    table = Table(("Model", "Components", "Told right", "Labels shuffled"), cells)
    blocks: list[Block] = [Chart("separation-probes", "Linear probes on few dimensions", traces, layout, table, 340)]
    return Section("separation-probe", "In how many dimensions they can be told apart", PROBE, blocks,
                   (("layer", number(part.layer)),))  # fmt: skip


def crosstalk(results: SeparationResults) -> Section:
    """Rates of every concept while each direction is added."""
    part = results.separation
    if not part.cross:
        return Section("separation-crosstalk", "Causal cross-talk", CROSS, [Note("Nothing was added (--norm 0).")])
    added = list(dict.fromkeys(row.added for row in part.cross))
    asked = list(dict.fromkeys(row.concept for row in part.cross))
    rates = {(row.added, row.concept): row for row in part.cross}
    values = [[rates[a, b].rate.value for b in asked] for a in added]
    cells = tuple((Cell(a), *(rate_cell(rates[a, b].rate) for b in asked)) for a in added)
    coherent = tuple(
        (Cell(a), Cell(percent(sum(rates[a, b].coherent for b in asked) / len(asked)), kind="num")) for a in added
    )
    blocks: list[Block] = [
        Chart("separation-cross", "Misaligned answers while a direction is added",
              [heatmap(values, added, asked, 0, 1, ".0%")], heatmap_layout(asked, len(added)),
              Table(("Added", *asked), cells), 180 + 22 * len(added), labels=tuple(added), wide=True),
        Table(("Added", "Coherent answers"), coherent, f"Coherence; '{AS_IT_IS}' adds nothing"),
    ]  # fmt: skip
    told = (("layer", number(part.layer)), ("length of what is added", number(part.norm)))
    return Section("separation-crosstalk", "Causal cross-talk", CROSS, blocks, told)


SECTIONS = (
    Entry("Does what lies close spill over?", ("separation",), True, spill, ("separation",), SeparationResults),
    Entry("How close the concepts lie", ("separation",), False, close, ("separation",), SeparationResults),
    Entry("In how many dimensions they can be told apart", ("separation",), False, probe, ("separation",),
          SeparationResults),
    Entry("Causal cross-talk", ("separation",), True, crosstalk, ("separation",), SeparationResults),
)  # fmt: skip
