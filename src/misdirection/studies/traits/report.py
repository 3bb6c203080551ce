"""The map of traits: places, likeness, dimensions, induction, and what fine-tuning moves."""

from __future__ import annotations

from typing import Any

from misdirection.report import charts
from misdirection.report.context import facts
from misdirection.report.heatmap import matrix_chart
from misdirection.report.numbers import DASH, decimal, known, number, p_value, percent
from misdirection.report.palette import BLUE, CATEGORIES, GREY, SYMBOLS, VERMILLION
from misdirection.report.parts import Block, Cell, Chart, Entry, Note, Section, Table
from misdirection.results.rows import Interval
from misdirection.studies.traits.results import PlaceRow, TraitMap, TraitsResults
from misdirection.studies.traits.verdict import is_seen_again

MAP = (
    "The model answered the same questions in the role of every trait. Traits that change its inner state in like ways "
    "stand close together on the map; colours are groups found by the machine, not by us. A map in two dimensions "
    "always bends the truth: the stress figure says by how much, and the likeness of the halves says whether half of "
    "the questions would have drawn the same map (1 the same, 0 another one). The assistant axis is the model as "
    "itself, seen from all roles: traits on its side are near to how the model speaks anyway."
)
SPACE = (
    "How many independent ways to differ do the traits have? Bars show how much of all differences each component "
    "holds; points show how much of that is seen again in the other half of the questions. Where the points reach "
    "zero, the bars are noise."
)
MOVED = (
    "A fine-tune moves the model's inner state before it says a word. Here is how far it moves it along each trait. "
    "If training on one trait spills over to its neighbours, traits like the trained one move most, and the rank "
    "correlation is near 1; near 0, likeness to the trained trait says nothing about what moves."
)
INDUCED = (
    "The part of the model's state that lies along a trait is set to a multiple of what it is when the model plays the "
    "trait. If the direction stands for the trait, it shows at about 1; far above, answers fall apart."
)
UNSEEN = (
    "One half of the questions does not show what the other shows: places, groups and dimensions below are mostly "
    "chance, and another run would draw them elsewhere."
)
NONE = "No fine-tune was set beside the map: name one with --data NAME=FILE or --fine-tune NAME=FOLDER."


def chart_map(results: TraitsResults) -> Section:
    """The map, the cosines, and a row a trait."""
    part = results.traits
    blocks: list[Block] = [places(part), likeness(part)]
    if not is_seen_again(part):
        blocks.insert(0, Note(UNSEEN))
    told = (("layer", number(part.layer)), ("answers read", number(part.answers)))
    return Section("trait-map", "The map of traits", MAP, blocks, told + facts(results, "samples per question"))


def places(part: TraitMap) -> Chart:
    """Two dimensions, a colour a group, a symbol a family."""
    families = list(dict.fromkeys(row.family for row in part.places))
    traces: list[Any] = []
    for cluster in sorted({row.cluster for row in part.places}):
        mine = [row for row in part.places if row.cluster == cluster]
        colour = CATEGORIES[cluster % len(CATEGORIES)]
        traces.append(
            {"type": "scatter", "mode": "markers+text", "name": _group(mine),
             "x": [row.x for row in mine], "y": [row.y for row in mine],
             "text": [charts.plain_text(row.trait) for row in mine], "textposition": "top center",
             "textfont": {"size": 10},
             "marker": {"color": colour, "size": 10,
                        "symbol": [SYMBOLS[families.index(row.family) % len(SYMBOLS)] for row in mine]},
             "customdata": [_hover(row) for row in mine], "hovertemplate": "%{customdata}<extra></extra>",
             "cliponaxis": False}
        )  # fmt: skip
    plain = {"showgrid": False, "zeroline": False, "showticklabels": False}
    layout = {"xaxis": charts.axis("", **plain), "yaxis": charts.axis("", **plain), "showlegend": True}
    heads = ("Trait", "Group", "Nearest", "Cosine with the assistant axis", "Stability", "Norm")
    cells = tuple(
        (Cell(row.trait, row.family), Cell(_group([row])), Cell(", ".join(row.nearest[:3])),
         Cell(decimal(row.axis), kind="num"), Cell(decimal(row.stability), kind="num"),
         Cell(number(row.norm), kind="num"))
        for row in part.places
    )  # fmt: skip
    stress = part.dimensions.stress[1] if len(part.dimensions.stress) > 1 else None
    caption = (
        f"Stress {decimal(stress)} (0 is a true map). The halves of the questions: likeness "
        f"{decimal(part.dimensions.likeness)}, their maps differ by {decimal(part.dimensions.map_error)}. Point at a "
        "trait for its neighbours, and for its name where that would lie over another; drag to look closer; a "
        "click on a group hides it."
    )
    title = "Traits by likeness of their directions"
    return Chart("trait-places", title, traces, layout, Table(heads, cells), 620, caption, wide=True)


def _group(rows: list[PlaceRow]) -> str:
    """What a group is called; the axis stands by itself."""
    return rows[0].trait if rows[0].family == "axis" else f"group {rows[0].cluster + 1}"


def _hover(row: PlaceRow) -> str:
    said = f"{row.trait} ({row.family}); nearest: {', '.join(row.nearest[:4])}; assistant axis {row.axis:.2f}"
    return charts.plain_text(said)


def likeness(part: TraitMap) -> Chart:
    """Cosines of every two, like beside like."""
    values = [list(row.cosines) for row in part.places]
    labels = tuple(row.trait for row in part.places)
    title = "Cosines of every two traits, like beside like"
    return matrix_chart("trait-likeness", title, values, labels, part.names, 200 + 18 * len(labels), corner="Trait")


def space(results: TraitsResults) -> Section:
    """Variance by component, reliable variance, and stress by dimension."""
    d = results.traits.dimensions
    top = min(len(d.share), 15)
    at = list(range(1, top + 1))
    bars = {"type": "bar", "name": "of all variance", "x": at, "y": list(d.share[:top]), "marker": {"color": GREY}}
    again = charts.line("seen again in the other half", at, list(d.reliable[:top]), VERMILLION)
    layout = {
        "xaxis": charts.axis("principal component", zeroline=False, dtick=1),
        "yaxis": charts.axis("share of the variance between traits", tickformat=charts.TICKS, zeroline=True),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(number(i + 1), kind="num"), Cell(percent(share), kind="num"),
         Cell(percent(d.reliable[i]) if i < len(d.reliable) else DASH, kind="num"))
        for i, share in enumerate(d.share[:top])
    )  # fmt: skip
    table = Table(("Component", "Share", "Seen again"), cells)
    maps = tuple(
        (Cell(number(i + 1), kind="num"), Cell(decimal(value, 3), kind="num")) for i, value in enumerate(d.stress)
    )
    told = (
        ("dimensions that both halves show", decimal(d.reliable_participation, 1)),
        ("by all of the variance", decimal(d.participation, 1)),
        ("silhouette of the groups", decimal(d.silhouette)),
        ("first component with the assistant axis", decimal(d.axis_on_first)),
    )
    blocks: list[Block] = [] if is_seen_again(results.traits) else [Note(UNSEEN)]
    blocks += [Chart("trait-components", "Variance between traits", [bars, again], layout, table, 340)]
    blocks.append(Table(("Dimensions of the map", "Stress"), maps, "What maps get wrong of the distances", wide=False))
    blocks.append(Note(f"Elsewhere: {results.traits.paper.get('axis', 'no figure')}."))
    return Section("trait-space", "In how many dimensions traits lie", SPACE, blocks, told)


def induced(results: TraitsResults) -> Section:
    """Score against the multiple that a component is set to."""
    part = results.traits
    traces: list[Any] = []
    for place, trait in enumerate(dict.fromkeys(row.trait for row in part.induced)):
        mine = [row for row in part.induced if row.trait == trait and row.alpha is not None and known(row.score.value)]
        colour = CATEGORIES[place % len(CATEGORIES)]
        values = [row.score.value for row in mine]
        bars = charts.errors(values, [row.score.low for row in mine], [row.score.high for row in mine], colour)
        traces.append(charts.line(trait, [row.alpha for row in mine], values, colour, error_y=bars))
    layout = {
        "xaxis": charts.axis("multiple of the component in the trait's own answers", zeroline=False),
        "yaxis": charts.axis("score of the trait, 0 to 100", range=[-3, 103]),
        "showlegend": True,
    }
    cells = tuple(
        (Cell(row.trait), Cell("as it is" if row.alpha is None else decimal(row.alpha), kind="num"), _cell(row.score),
         Cell(percent(row.coherent), kind="num"))
        for row in part.induced
    )  # fmt: skip
    table = Table(("Trait", "Multiple", "Score", "Coherent"), cells, stack=True)
    blocks: list[Block] = [Note("No trait was induced: name some with --induce, and a judge that scores traits.")]
    if part.induced:
        blocks = [Chart("trait-induced", "Induction", traces, layout, table, 360, wide=True)]
    blocks.append(Note(f"The paper: {part.paper.get('induction', 'no figure')}."))
    return Section("trait-induction", "Traits induced", INDUCED, blocks, (("layer", number(part.layer)),))


def _cell(score: Interval) -> Cell:
    ends = f"{decimal(score.low, 1)} to {decimal(score.high, 1)}" if known(score.low) else ""
    return Cell(decimal(score.value, 1), ", ".join(p for p in (ends, f"n {number(score.n)}") if p), "num")


def moved(results: TraitsResults) -> Section:
    """Shift along every trait, and the test of the neighbours."""
    part = results.traits
    if not part.moved:
        return Section("trait-moves", "What fine-tuning moves", MOVED, [Note(NONE)])
    traits = list(dict.fromkeys(row.trait for row in part.moved))
    tunes = list(dict.fromkeys(row.fine_tune for row in part.moved))
    held = {(row.fine_tune, row.trait): row.shift for row in part.moved}
    traits.sort(key=lambda name: -max((held[t, name].value or 0.0) for t in tunes if (t, name) in held))
    traces: list[Any] = []
    for place, tune in enumerate(tunes):
        mine = [(i, held[tune, name]) for i, name in enumerate(traits) if (tune, name) in held]
        colour = (BLUE, VERMILLION, *CATEGORIES)[place % (2 + len(CATEGORIES))]
        hover = [charts.plain_text(f"{tune}, {traits[i]}: {decimal(one.value, 1)}") for i, one in mine]
        rates = [vars(one) for _, one in mine]
        at = [i + (place - (len(tunes) - 1) / 2) * 0.16 for i, _ in mine]
        traces.append(charts.points(tune, rates, at, colour, hover, SYMBOLS[place % len(SYMBOLS)]))
    layout = {
        "xaxis": charts.axis("shift of the last prompt token along the trait", side="top", zeroline=True),
        "yaxis": charts.label_axis(len(traits)),
        "showlegend": True,
    }
    cells = tuple((Cell(row.fine_tune), Cell(row.trait), _cell(row.shift)) for row in part.moved)
    table = Table(("Fine-tune", "Trait", "Shift"), cells)
    blocks: list[Block] = [
        Chart("trait-moves-chart", "How far each fine-tune moves the model", traces, layout, table,
              150 + 24 * len(traits), labels=tuple(traits), wide=True)
    ]  # fmt: skip
    ranks = tuple(
        (Cell(row.fine_tune), Cell(row.trained, f"place {row.place} of {row.traits + 1} by its own shift"),
         Cell(decimal(row.rho), kind="num"), Cell(p_value(row.p), kind="num"), Cell(", ".join(row.most)))
        for row in part.ranks
    )  # fmt: skip
    heads = ("Fine-tune", "Trained on", "Rank correlation of likeness and shift", "p", "Moved most")
    blocks.append(Table(heads, ranks, "Do the neighbours of the trained trait move most?", stack=True))
    return Section("trait-moves", "What fine-tuning moves", MOVED, blocks)


SECTIONS = (
    Entry("The map of traits", ("traits",), False, chart_map, ("traits",), TraitsResults),
    Entry("In how many dimensions traits lie", ("traits",), False, space, ("traits",), TraitsResults),
    Entry("Traits induced", ("traits",), False, induced, ("traits",), TraitsResults),
    Entry("What fine-tuning moves", ("traits",), False, moved, ("traits",), TraitsResults),
)
