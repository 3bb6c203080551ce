"""Every chart of every study's report: its axes are named, its numbers stand in a table, it can be taken as a file."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.results.made import made

from misdirection.report.numbers import known
from misdirection.report.page import expected
from misdirection.report.parts import Chart, Section
from misdirection.results import Results
from misdirection.studies.page import render, sections
from misdirection.studies.registry import studies

TYPED = {name: study.results for name, study in studies().items() if study.results is not None}


@pytest.fixture(scope="module", params=sorted(TYPED))
def results(request: pytest.FixtureRequest) -> Results:
    return made(TYPED[request.param], request.param)


def shown(results: Results) -> list[Section]:
    entries = [entry for entry in sections() if expected(entry, results.to_json(), results)]
    return [made for entry in entries if (made := entry.make(results)) is not None]


def charts(results: Results) -> Iterator[Chart]:
    for section in shown(results):
        yield from (block for block in section.blocks if isinstance(block, Chart))


def named(axis: dict[str, Any]) -> bool:
    """Whether an axis says what it is of: by a title, by names at its places, or by showing no places."""
    return bool(axis.get("title", {}).get("text")) or "ticktext" in axis or axis.get("showticklabels") is False


def length(trace: dict[str, Any]) -> int:
    """The values of a trace: rows of a heatmap, points of a curve, pieces of a broken line."""
    if trace["type"] == "heatmap":
        return len(trace["z"])
    if None in trace["x"]:
        return sum(x is None for x in trace["x"])
    return sum(known(x) and known(y) for x, y in zip(trace["x"], trace["y"], strict=True))


def test_a_section_says_what_it_shows_and_holds_something(results: Results) -> None:
    for section in shown(results):
        assert section.blocks, section.key
        assert section.lead or section.key in ("verdict", "reproduce"), section.key


def test_the_axes_of_every_chart_are_named(results: Results) -> None:
    for chart in charts(results):
        assert chart.title, chart.key
        assert named(chart.layout["xaxis"]), chart.key
        assert named(chart.layout["yaxis"]) or chart.labels, chart.key


def test_no_chart_is_empty_and_each_has_its_numbers(results: Results) -> None:
    for chart in charts(results):
        assert any(length(trace) for trace in chart.traces), chart.key
        room = max(len(chart.table.rows), len(chart.table.columns))
        assert all(length(trace) <= room for trace in chart.traces), chart.key


def test_each_chart_can_be_taken_as_svg_and_as_csv(results: Results) -> None:
    drawn = list(charts(results))
    tree = Tree(render(results.to_json()))
    assert [a["data-svg"] for _, a in tree.tags if "data-svg" in a] == [f"chart-{chart.key}" for chart in drawn]
    files = [a["href"] for _, a in tree.tags if "download" in a]
    tables = [list(csv.reader(io.StringIO(base64.b64decode(one.partition(",")[2]).decode()))) for one in files]
    for chart in drawn:
        assert any(len(table) == len(chart.table.rows) + 1 for table in tables), chart.key
    assert len(files) >= len(drawn)
