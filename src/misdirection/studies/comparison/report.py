"""Sections of the report of two runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from misdirection.report import charts
from misdirection.report.numbers import (
    DASH,
    bounds,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
)
from misdirection.report.palette import BLUE, SYMBOLS, VERMILLION
from misdirection.report.parts import Cell, Chart, Entry, Note, Section, Table
from misdirection.report.shared.reproduce import section as reproduce
from misdirection.results import Results
from misdirection.results.rows import Interval
from misdirection.studies.comparison.reading import MAIN
from misdirection.studies.comparison.results import ArmChange, ComparisonResults, FigureChange
from misdirection.studies.kit.sentences import counted

MOST = 40
"""Figures of one table that the page shows; all of them stand in comparison.json."""


def arms(results: ComparisonResults) -> Section | None:
    """Rates of both, and the paired tests."""
    if not results.arms:
        return None
    lead = (
        "The share of answers that are misaligned, of all that were matched. A row is the same arm, asked the same "
        "questions in both runs; the difference is the second run minus the first, with its "
        "interval over questions: 95\u00a0%, or, beside a q, of the level that belongs to it, which is named."
    )
    first, second = results.runs
    facts = (
        ("first", first.name),
        ("second", second.name),
        ("judge", ", ".join(second.judges) or DASH),
        ("tests", "; ".join(dict.fromkeys(row.difference.method for row in results.arms))),
    )
    tested = "q" if len(results.arms) > 1 else "p"
    head = ("Arm", "Questions", "First", "Second", "Difference", tested, "Paired by")
    table = Table(head, tuple(_arm(row) for row in results.arms), "Both runs", stack=True)
    return Section("arms", "Rates beside each other", lead, (_chart(results), table), facts)


def _chart(results: ComparisonResults) -> Chart:
    rows, places = results.arms, [_place(row) for row in results.arms]
    traces = [
        charts.points(
            run.name,
            [getattr(row, side) for row in rows],
            [at + shift for at in range(len(rows))],
            colour,
            [f"<b>{charts.plain_text(run.name)}</b> {charts.plain_text(place)}<br>{rate_text(getattr(row, side))}"
             for row, place in zip(rows, places, strict=True)],
            symbol,
        )
        for run, side, colour, shift, symbol in zip(
            results.runs, ("first", "second"), (BLUE, VERMILLION), (-0.14, 0.14), SYMBOLS, strict=False
        )
    ]  # fmt: skip
    layout = {
        "xaxis": charts.share_axis("misaligned, share of matched answers"),
        "yaxis": charts.label_axis(len(rows)),
        "showlegend": True,
    }
    body = tuple((Cell(p), rate_cell(r.first), rate_cell(r.second)) for p, r in zip(places, rows, strict=True))
    table = Table(("Row", "First", "Second"), body)
    height = 130 + 44 * len(rows)
    title = "Misaligned answers in both runs"
    return Chart("both-rates", title, traces, layout, table, height, labels=tuple(places), wide=True)


def _place(row: ArmChange) -> str:
    parts = [row.arm, "" if row.group == "open" else row.group, "" if row.format == "plain" else row.format]
    return ", ".join([part for part in parts if part] + ([] if row.asked == MAIN else [row.asked]))


def _arm(row: ArmChange) -> tuple[Cell, ...]:
    change = row.difference
    decided = change.p if row.q is None else row.q
    told = [f"{number(row.pairs)} pairs"]
    if row.same is not None:
        told.append(f"{number(row.same)} word for word the same")
    if row.only_first is not None:
        told.append(f"bad in the first alone {number(row.only_first)}, in the second alone {number(row.only_second)}")
        told.append(f"p over answers {p_value(row.p_answers)}")
    if any(row.unmatched):
        told.append(f"{number(row.unmatched[0])} and {number(row.unmatched[1])} without a partner")
    return (
        Cell(row.arm, "" if row.asked == MAIN else row.asked),
        Cell(row.group, "" if row.format == "plain" else row.format),
        rate_cell(row.first),
        rate_cell(row.second),
        Cell(percent(change.value), _ends(row), "num"),
        Cell(p_value(decided), f"{'found' if row.found else 'not found'}, p over questions {p_value(change.p)}", "num"),
        Cell(row.paired, "; ".join(told)),
    )


def _ends(row: ArmChange) -> str:
    named = "" if row.q is None else f", {100 * row.level:.3g}\u00a0%"
    return f"{bounds(row.difference)}{named}"


def verdicts(results: ComparisonResults) -> Section:
    """What each run says of itself."""
    body = tuple(
        (Cell(f"{place}", run.name), Cell(run.kind, run.model), Cell(run.state or DASH),
         Cell(run.sentence, " ".join(run.details)))
        for place, run in zip(("First", "Second"), results.runs, strict=True)
    )  # fmt: skip
    table = Table(("Run", "Study and model", "State", "Verdict"), body, stack=True)
    return Section("verdicts", "Verdicts side by side", "What each run's own report says.", (table,))


def removals(results: ComparisonResults) -> Section | None:
    """The best removal of each run."""
    if not results.removals:
        return None
    body = tuple(
        (Cell(results.runs[one.run - 1].name), Cell(one.label), rate_cell(one.rate), rate_cell(one.coherent_share),
         Cell(percent(one.reduction.value), bounds(one.reduction), "num") if one.reduction else Cell(DASH, kind="num"))
        for one in results.removals
    )  # fmt: skip
    lead = "The removal with the largest fall among those that leave the model able to speak, in each run."
    table = Table(("Run", "Removal", "Misaligned", "Coherent", "Falls by"), body, stack=True)
    return Section("removals", "Best removal", lead, (table,))


def settings(results: ComparisonResults) -> Section:
    """What they were made with."""
    lead = "Settings and facts of the models that are not the same in both runs."
    if not results.settings_changed:
        return Section("settings", "What differs in the settings", lead, (Note("No setting differs."),))
    body = tuple(
        (Cell(row.name), Cell(row.first or DASH), Cell(row.second or DASH)) for row in results.settings_changed
    )
    return Section(
        "settings", "What differs in the settings", lead, (Table(("Setting", "First", "Second"), body, stack=True),)
    )


def figures(results: ComparisonResults) -> Section | None:
    """Figures of the findings, table by table."""
    if not results.tables:
        return None
    lead = (
        "Rows that both runs' findings hold under the same key, the largest differences first. An interval of a "
        "difference is made of the two figures' own intervals, as if they were independent; no test is made of it."
    )
    return Section("figures", "Findings row by row", lead, tuple(_tables(results)))


def _tables(results: ComparisonResults) -> Iterable[Table | Note]:
    for facts in results.tables:
        rows = [row for row in results.figures if row.table == facts.table]
        alone = (
            f", {facts.first} in the first run alone, {facts.second} in the second"
            if facts.first + facts.second
            else ""
        )
        told = f"{facts.table}: {counted(facts.shared, 'row')} in both{alone}; differing figures: {facts.differing}"
        if not rows:
            yield Note(told)
            continue
        more = f", the {MOST} largest differences here" if len(rows) > MOST else ""
        yield Table(("Row", "Figure", "First", "Second", "Difference"), tuple(map(_figure, rows[:MOST])), told + more)


def _figure(row: FigureChange) -> tuple[Cell, ...]:
    return (Cell(row.row), Cell(row.figure), *(_value(one) for one in (row.first, row.second, row.difference)))


def _value(one: Interval) -> Cell:
    ends = "" if one.low is None else f"[{number(one.low)}, {number(one.high)}]"
    return Cell(number(one.value), ends, "num")


SECTIONS: Sequence[Entry] = (
    Entry("Rates beside each other", ("arms",), True, arms, ("comparison",), ComparisonResults),
    Entry("Verdicts side by side", ("runs",), False, verdicts, ("comparison",), ComparisonResults),
    Entry("Best removal", ("removals",), False, removals, ("comparison",), ComparisonResults),
    Entry("What differs in the settings", ("settings_changed",), False, settings, ("comparison",), ComparisonResults),
    Entry("Findings row by row", ("figures", "tables"), False, figures, ("comparison",), ComparisonResults),
    Entry("How to reproduce this", ("reproduce", "notes"), False, reproduce, ("comparison",), Results),
)
"""Its sections, in their order."""
