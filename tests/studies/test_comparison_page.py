"""What the page of two runs says of rows that were written by hand: which run a figure is of, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.report.parts import Chart, Note, Section, Table
from misdirection.results.rows import Interval
from misdirection.studies.comparison import report
from misdirection.studies.comparison.results import ArmChange, ComparisonResults, FigureChange, TableFacts
from misdirection.studies.comparison.verdict import leading, verdict


@pytest.fixture(scope="module")
def results() -> ComparisonResults:
    return made(ComparisonResults, "comparison")


def row(results: ComparisonResults, **more: Any) -> ArmChange:
    first, second = (
        replace(side, value=value, low=value - 0.1, high=value + 0.1, misaligned=hits, n=40, undecided=0, ceiling=value)
        for side, value, hits in ((results.arms[0].first, 0.25, 10), (results.arms[0].second, 0.5, 20))
    )
    change = replace(results.arms[0].difference, value=0.25, low=0.05, high=0.45, p=0.01)
    given: dict[str, Any] = {
        "asked": "main", "group": "open", "format": "plain", "arm": "tuned", "first": first, "second": second,
        "difference": change, "q": None, "found": True, "paired": "question", "p_answers": None, "only_first": None,
        "only_second": None, "pairs": 40, "same": None, "unmatched": (0, 0),
    }  # fmt: skip
    return replace(results.arms[0], **{**given, **more})


def cells(section: Section | None, place: int = 0) -> list[list[str]]:
    """Text and second line of every cell of a section's table."""
    assert section is not None
    table = [part for part in section.blocks if isinstance(part, Table)][place]
    return [[f"{cell.text} | {cell.sub}" for cell in line] for line in table.rows]


def test_a_pair_says_how_it_was_matched_and_in_which_run_alone_an_answer_is_bad(results: ComparisonResults) -> None:
    by_sample = row(
        results, paired="question and sample", p_answers=0.002, only_first=3, only_second=13, same=12, unmatched=(5, 7),
        group="medical", asked="steering", format="json", q=0.02, level=0.975,
    )  # fmt: skip
    (line, plain) = cells(report.arms(replace(results, arms=(by_sample, row(results)))))
    assert (
        "40 pairs; 12 word for word the same; bad in the first alone 3, in the second alone 13; p over answers"
        in line[6]
    )
    assert "0.002" in line[6] and line[6].endswith("5 and 7 without a partner")
    assert line[0] == "tuned | steering" and line[1] == "medical | json" and "97.5" in line[4]
    assert line[5].startswith("0.02") and "found, p over questions 0.01" in line[5]
    assert line[2].startswith("25.0") and line[3].startswith("50.0") and "25.0" in line[4]
    # By question alone there is neither, and without several rows no q.
    assert plain[6] == "question | 40 pairs" and plain[5].startswith("0.01") and "%," not in plain[4]
    lost = cells(report.arms(replace(results, arms=(row(results, found=False),))))
    assert "not found" in lost[0][5]


def test_the_chart_places_each_run_s_rates_under_its_name(results: ComparisonResults) -> None:
    section = report.arms(replace(results, arms=(row(results), row(results, arm="other", asked="steering"))))
    assert section is not None
    chart = next(part for part in section.blocks if isinstance(part, Chart))
    first, second = chart.traces
    assert [list(trace["x"]) for trace in (first, second)] == [[0.25, 0.25], [0.5, 0.5]]
    assert (first["name"], second["name"]) == tuple(run.name for run in results.runs)
    assert all(one < two for one, two in zip(first["y"], second["y"], strict=True))
    assert chart.labels == ("tuned", "other, steering")
    assert report.arms(replace(results, arms=())) is None


def figure(number: int, low: float | None = None) -> FigureChange:
    value = Interval(value=number / 100, low=low, high=None if low is None else 0.9, n=0)
    return FigureChange(
        table="cures",
        row=f"row {number}",
        figure="rate",
        first=value,
        second=replace(value, value=0.77),
        difference=value,
    )


def test_tables_show_their_own_figures_and_no_more_than_fit(results: ComparisonResults) -> None:
    facts = [
        TableFacts(table="cures", shared=50, first=2, second=3, differing=45),
        TableFacts(table="norms", shared=1, first=0, second=0, differing=0),
    ]
    rows = [figure(n, 0.1 if n == 0 else None) for n in range(45)]
    section = report.figures(replace(results, tables=tuple(facts), figures=tuple(rows)))
    assert section is not None
    table, note = section.blocks
    assert isinstance(table, Table) and isinstance(note, Note)
    assert len(table.rows) == report.MOST == 40 and "the 40 largest differences here" in table.caption
    assert "50 rows in both, 2 in the first run alone, 3 in the second; differing figures: 45" in table.caption
    assert note.text == "norms: 1 row in both; differing figures: 0"
    top = cells(section)[0]
    assert top[0].startswith("row 0") and "[0.1, 0.9]" in top[2] and "0.77" in top[3]
    assert cells(section)[1][2] == "0.01 | "
    few = report.figures(replace(results, tables=tuple(facts), figures=tuple(rows[:3])))
    assert few is not None and isinstance(few.blocks[0], Table) and "largest" not in few.blocks[0].caption
    assert report.figures(replace(results, tables=())) is None


def test_settings_and_removals_are_of_the_run_that_they_name(results: ComparisonResults) -> None:
    none = report.settings(replace(results, settings_changed=()))
    assert [part.text for part in none.blocks if isinstance(part, Note)] == ["No setting differs."]
    change = replace(results.settings_changed[0], name="samples", first="", second="20")
    assert cells(report.settings(replace(results, settings_changed=(change,)))) == [
        ["samples | ", "\u2013 | ", "20 | "]
    ]
    held = [replace(one, run=n, label=f"cure {n}") for n, one in zip((2, 1), results.removals, strict=False)]
    told = cells(report.removals(replace(results, removals=(*held[:1], replace(held[1], reduction=None)))))
    assert [line[0] for line in told] == [f"{results.runs[1].name} | ", f"{results.runs[0].name} | "]
    assert told[1][4] == "\u2013 | " and told[0][4] != told[1][4]
    assert report.removals(replace(results, removals=())) is None


def test_the_sentence_is_of_the_arm_that_a_reader_looks_for(results: ComparisonResults) -> None:
    def p(value: float) -> Any:
        return replace(results.arms[0].difference, p=value)

    rows = [
        row(results, arm="steered", asked="steering", difference=p(1e-9)), row(results, arm="base", difference=p(1e-8)),
        row(results, arm="one", difference=p(0.2)), row(results, arm="two", difference=p(0.1)),
        row(results, arm="two", group="medical", difference=p(1e-7)),
        row(results, arm="two", format="json", difference=p(1e-7)),
    ]  # fmt: skip
    assert leading(rows) == rows[3] and leading(()) is None and leading(rows[:2]) == rows[1]
    none = verdict(results.runs[:2], (), (), (), ())
    first, second = results.runs[:2]
    assert none.sentence == (
        f"No rates of {first.name} and {second.name} are compared; what their findings share stands below."
    )
    assert none.details[-1] == "No setting differs."
    alike = [row(results, arm=f"a{n}", same=40, found=False) for n in range(7)]
    told = verdict(results.runs[:2], [*alike, row(results, same=39, q=0.01)], (), (), ())
    assert any(text.startswith("Of 8 rows that both runs have, 1 differ at q < 0.05") for text in told.details)
    assert (
        "Word for word the same answers in both: a0 (main), a1 (main), a2 (main), a3 (main), a4 (main) and 2 more."
        in (told.details)
    )
    assert sum(text.startswith("Differs: tuned") for text in told.details) == 1
