"""Axes with a fixed range: nothing that is drawn lies beyond them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.report import charts
from misdirection.report.page import spec
from misdirection.report.parts import Chart, Table
from misdirection.studies.personas.report import cosine_map, stability
from misdirection.studies.personas.results import PersonasResults


def reach(traces: list[dict[str, Any]], name: str = "yaxis", **axis: Any) -> Any:
    return charts.holding_all({name: axis, "showlegend": True}, traces)[name].get("range")


def test_a_range_that_holds_everything_stays_as_it_is():
    assert reach([charts.line("a", [0, 1], [0.0, 1.0], "red")], range=[-0.05, 1.05]) == [-0.05, 1.05]
    assert reach([], range=[0, 1]) == [0, 1]


def test_values_below_and_above_it_are_given_room():
    low, high = reach([charts.line("a", [0, 1, 2], [-0.3, None, 1.5], "red")], range=[0.0, 1.0])
    assert (low, high) == (pytest.approx(-0.33), pytest.approx(1.53))


def test_bars_of_intervals_count():
    trace = charts.points("a", [{"value": 0.5, "low": 0.1, "high": 0.9}], [0], "red", ["a"])
    assert reach([trace], "xaxis", range=[0.3, 1.0]) == [pytest.approx(0.079), 1.0]


def test_each_axis_is_fitted_to_its_own_traces():
    traces = [charts.line("a", [0], [0.5], "red"), charts.line("b", [0], [9.0], "red") | {"yaxis": "y2"}]
    layout = charts.holding_all({"yaxis": {"range": [0, 1]}, "yaxis2": {"range": [0, 1]}}, traces)
    assert layout["yaxis"]["range"] == [0, 1] and layout["yaxis2"]["range"] == [0, pytest.approx(9.03)]


def test_axes_without_a_range_and_those_that_run_downwards_are_left_alone():
    trace = charts.line("a", [0], [5.0], "red")
    assert reach([trace], title={"text": "t"}) is None
    assert reach([trace], range=[2.6, -0.6]) == [2.6, -0.6]


def test_the_page_draws_the_wider_range():
    trace = charts.line("a", [0], [-0.5], "red")
    chart = Chart("c", "c", [trace], {"yaxis": {"range": [0, 1]}}, Table(("a",), ()))
    drawn = json.loads(spec(chart))
    assert drawn["layout"]["yaxis"]["range"] == [pytest.approx(-0.53), 1]


def test_an_unsteady_trait_is_drawn_and_the_map_is_square_in_one_order():
    part = made(PersonasResults, "personas").personas
    rows = [replace(part.traits[0], trait=name, stability=(-0.4, 0.2), separation=(0.5, 0.6), layer=1,
                    cosines={"evil": 0.1, "kind": 0.2, "vain": 0.3}) for name in ("vain", "evil", "kind")]  # fmt: skip
    part = replace(part, traits=tuple(rows))
    assert json.loads(spec(stability(part)))["layout"]["yaxis"]["range"][0] < -0.4
    chart = cosine_map(part)
    assert chart.layout["xaxis"]["ticktext"] == ["vain", "evil", "kind"] and chart.traces[0]["z"][0] == [0.3, 0.1, 0.2]
