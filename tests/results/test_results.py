"""Typed findings: to JSON and back, as flat rows, and refused by the field that does not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.results.made import made

import misdirection
from misdirection.artefacts import write_json
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.report.numbers import NBSP, counts
from misdirection.report.page import expected
from misdirection.results import (
    Difference,
    Interval,
    PairedChange,
    RateRow,
    Results,
    read_results,
    row_of,
)
from misdirection.statistics import Thresholds, compare, rate, shares
from misdirection.studies.page import render, sections
from misdirection.studies.registry import studies

TYPED = {name: study.results for name, study in studies().items() if study.results is not None}


@pytest.fixture(scope="module", params=sorted(TYPED))
def results(request: pytest.FixtureRequest) -> Results:
    return made(TYPED[request.param], request.param)


def test_through_json_and_back(results: Results):
    text = json.dumps(results.to_json(), allow_nan=False)
    assert read_results(json.loads(text), type(results), "here", "again") == results


def test_report_shows_each_section_with_nothing_missing(results: Results):
    found = results.to_json()
    tree = Tree(page := render(found))
    assert tree.problems == []
    shown = [entry for entry in sections() if expected(entry, found, results)]
    assert shown and all(isinstance(results, entry.results) for entry in shown if entry.results)
    for entry in shown:
        assert entry.make(results).key in tree.ids
    said = page.replace(NBSP, " ")
    assert "not complete" not in said and ">None<" not in said
    for row in rates(results):
        assert counts(row).replace(NBSP, " ") in said
        assert f"{100 * (row.value or 0):.1f} %" in said


DRAWN = {
    ("LeaveOut", "pairs"), ("PatchedGroup", "cut"), ("Versions", "clean"),
    ("JudgedHeadline", "test"), ("JudgedHeadline", "arms"),  # in the verdict's sentence
    ("JudgeRate", "coherent_share"), ("AsideRow", "any"), ("AsideRow", "topic"),  # of these the page shows others
    *(("SignsRow", name) for name in ("empty", "cut", "markup", "repeating", "language")),  # the share alone
}  # fmt: skip
"""Fields whose rates are shown as their changes, in words or without counts: some would fill a table of a hundred."""


def rates(value: Any) -> Iterator[RateRow]:
    """Every rate inside some results that a page shows with its counts."""
    if isinstance(value, RateRow):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if (type(value).__name__, field.name) not in DRAWN:
                yield from rates(getattr(value, field.name))
    elif isinstance(value, tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from rates(one)


def test_rows_are_flat_and_each_number_is_in_them(results: Results):
    tables = results.rows()
    assert tables
    cells = [cell for rows in tables.values() for row in rows for cell in row.values()]
    assert not any(isinstance(cell, dict) or dataclasses.is_dataclass(cell) for cell in cells)
    held = {number for cell in cells for number in floats(cell)}
    own = own_fields(results)
    assert {n for name in own for n in in_rows(results.to_json()[name])} <= held


def own_fields(results: Results) -> list[str]:
    """What a study adds to what all findings share; what has a default came later, and older files lack it."""
    shared = {field.name for field in dataclasses.fields(Results)}
    own = [field for field in dataclasses.fields(results) if field.name not in shared]
    return [field.name for field in own if field.default is dataclasses.MISSING]


def in_rows(value: Any) -> set[float]:
    """Every float inside the lists of mappings of a part."""
    if isinstance(value, list):
        return {n for one in value if isinstance(one, dict) for n in floats(one)}
    return {n for one in value.values() for n in in_rows(one)} if isinstance(value, dict) else set()


def floats(value: Any) -> set[float]:
    if isinstance(value, float):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return {n for one in inner for n in floats(one)}


def test_a_run_gives_the_object_of_its_study(results: Results, tmp_path: Path):
    write_json(tmp_path / "findings.json", results.to_json())
    assert misdirection.load_results(tmp_path) == results == misdirection.load_results(tmp_path / "findings.json")


def without(found: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != field}


def test_a_folder_that_is_not_there_is_told_from_one_that_is_not_done(tmp_path: Path):
    for folder, said in ((tmp_path / "mistyped", "does not exist"), (tmp_path, "holds no findings.json")):
        with pytest.raises(MisdirectionError, match=said):
            misdirection.load_results(folder)


def test_what_does_not_fit_is_refused_by_its_field(results: Results, tmp_path: Path):
    found = results.to_json()
    again = found["reproduce"]["command"]
    broken = [
        (without(found, "schema"), "the field 'schema' is missing: an older version"),
        (found | {"schema": 0}, "the field 'schema' is 0, and this version reads 1"),
        (found | {"schema": 2}, "a later version wrote these findings (layout 2, this one reads 1)"),
        (without(found, "created"), "the field 'created' is missing"),
        (
            found | {"thresholds": {"alignment": "low"}},
            "the field 'thresholds.alignment' does not fit: expected 'float'",
        ),
        (found | {"verdict": without(found["verdict"], "sentence")}, "the field 'verdict.sentence' is missing"),
        *((without(found, name), f"the field '{name}' is missing") for name in own_fields(results)),
    ]
    for number, (value, said) in enumerate(broken):
        write_json(folder := tmp_path / f"{number}" / "findings.json", value)
        for read in (lambda file=folder: misdirection.load_results(file), lambda value=value: render(value)):
            with pytest.raises(MisdirectionError) as error:
                read()
            assert said in error.value.message and again in str(error.value.hint)


def test_a_function_s_run_names_the_command_of_its_study(tmp_path: Path):
    found = made(TYPED["formats"], "formats").to_json() | {"schema": 0}
    found["reproduce"]["command"] = "FormatsConfig(...)"
    write_json(tmp_path / "findings.json", found)
    with pytest.raises(MisdirectionError) as error:
        misdirection.load_results(tmp_path)
    assert f"misdirection study formats --out {tmp_path}" in str(error.value.hint)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"kind": "elsewhere"}, "findings of 'elsewhere' cannot be read as objects yet; those of .*formats"),
        ([1], "these are no findings of a study"),
    ],
)
def test_other_findings_are_told_apart(found: Any, said: str, tmp_path: Path):
    write_json(tmp_path / "findings.json", found)
    with pytest.raises(MisdirectionError, match=said):
        misdirection.load_results(tmp_path)


def test_a_folder_without_findings(tmp_path: Path):
    with pytest.raises(MisdirectionError, match="holds no findings"):
        misdirection.load_results(tmp_path)


def arm(name: str, hits: int) -> tuple[list[Answer], list[Verdict]]:
    """32 answers to eight questions, so many of them misaligned."""
    answers = [Answer(f"q{i // 4}", "q", "a", name, sample=i % 4) for i in range(32)]
    return answers, [Verdict(0.0 if i < hits else 90.0, 90.0) for i in range(32)]


def test_rows_take_the_figures_of_statistics():
    first, second = arm("base", 2), arm("tuned", 17)
    found = rate(*second, thresholds=Thresholds())
    row = RateRow.of(found)
    assert {f.name: getattr(row, f.name) for f in dataclasses.fields(row)} == {
        f.name: getattr(found, f.name) for f in dataclasses.fields(row)
    }
    assert (row.misaligned, row.n, row.value) == (17, 32, 17 / 32)
    assert RateRow.of_share(shares(*second)["coherent"]).misaligned == 32
    change = compare(first, second)
    difference = Difference.of(change)
    assert (difference.value, difference.p) == (15 / 32, change.p_questions)
    assert (difference.low, difference.high) == (change.low, change.high)


def test_a_rate_of_nothing_has_no_value():
    nothing = rate([Answer("q", "q", "a", "base")], [Verdict(None, None)], denominator="scored")
    row = RateRow.of(nothing)
    assert row.n == 0 and row.value is None


def test_a_paired_change_tells_what_is_left_of_what_was_there():
    comparison = compare(arm("before", 16), arm("after", 4))
    change = PairedChange.of(comparison)
    assert change.difference == Difference.of(comparison) and change.difference.value == -12 / 32
    assert change.reduction is not None and change.reduction.value == 0.75
    assert change.reduction.high == comparison.reduction_high
    assert PairedChange.of(compare(arm("before", 0), arm("after", 4))).reduction is None


def test_a_row_takes_fields_of_the_same_names():
    @dataclasses.dataclass
    class Measured:
        value: float
        low: float
        high: float

    row = row_of(Interval, Measured(0.5, float("nan"), float("inf")), n=3)
    assert row == Interval(value=0.5, low=None, high=None, n=3)
