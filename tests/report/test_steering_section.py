"""Steering and removals: every point and every bar is what was found, controls stand apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.blocks import charts_of, tables_of, texts, trace

from misdirection.report import charts
from misdirection.results.judged import Steering
from misdirection.studies.audit.report import cures, steering
from misdirection.studies.audit.results import AuditResults


@pytest.fixture
def swept(audited: AuditResults) -> Steering:
    assert audited.steering is not None
    return audited.steering


def test_steering_draws_every_point_and_the_control(audited: AuditResults, swept: Steering) -> None:
    made = charts_of(steering.section(audited))
    for part, name in (("rate", "rate"), ("coherent", "coherent")):
        drawn = [one for one in made[f"steering-{part}"].traces if one["name"] != "best"]
        values = sorted(value for one in drawn for value in one["y"])
        assert values == sorted(getattr(point, name).value for point in swept.points)
        assert [one["name"] for one in drawn if one["line"].get("dash")] == ["random, layer 4"]
        assert len(made[f"steering-{part}"].table.rows) == len(swept.points)
    star = trace(made["steering-rate"], "best")
    assert (star["x"], star["y"]) == ([swept.best.coefficient], [swept.best.rate.value])


def test_the_control_beside_the_star_is_drawn_and_the_star_is_explained(audited: AuditResults, swept: Steering) -> None:
    control = replace(swept.points[0], direction="random")
    held = replace(swept, control=control, chosen="the highest of 10 points")
    section = steering.section(replace(audited, steering=held))
    made = charts_of(section)
    for part, rate in (("rate", control.rate), ("coherent", control.coherent)):
        cross = trace(made[f"steering-{part}"], "random direction there")
        assert (cross["x"], cross["y"]) == ([control.coefficient], [rate.value])
        assert [texts(made[f"steering-{part}"].table)[i][0] for i in (-2, -1)] == [
            "best point, asked anew", "random there, asked anew",
        ]  # fmt: skip
    assert trace(made["steering-layers"], "random direction, at the star")["x"] == [control.layer]
    assert section is not None
    text = str(getattr(section.blocks[0], "text", ""))
    assert "A random direction of the same norm there" in text
    assert text.endswith("How it was chosen: the highest of 10 points.")


def test_small_shares_have_ticks_with_decimals() -> None:
    assert charts.share_axis("rate")["tickformat"] == charts.TICKS == ".2~%"


def test_the_best_of_each_layer_is_its_highest(swept: Steering) -> None:
    points = [point for point in swept.points if point.direction != "random"]
    tops = steering.top_of_layers(points)
    assert [top.layer for top in tops] == [2, 4, 6, 8]
    for top in tops:
        assert top.rate.value == max(point.rate.value or 0.0 for point in points if point.layer == top.layer)


def test_a_sweep_over_many_layers_is_a_heatmap(audited: AuditResults, swept: Steering) -> None:
    points = tuple(
        replace(point, layer=layer, rate=replace(point.rate, value=(layer + point.coefficient) / 100))
        for point in swept.points[:5]
        for layer in range(8)
    )
    best = replace(points[3], layer=99)
    made = charts_of(steering.section(replace(audited, steering=replace(swept, points=points, best=best))))
    (heat,) = made["steering-rate"].traces
    assert (heat["type"], heat["x"], heat["y"][:2]) == ("heatmap", ["0.5", "1", "2", "4", "8"], ["0", "1"])
    assert heat["z"][3] == pytest.approx([0.035, 0.04, 0.05, 0.07, 0.11])
    assert len(made["steering-rate"].table.rows) == 40
    inside = replace(swept, points=points, best=points[3])
    star = trace(charts_of(steering.section(replace(audited, steering=inside)))["steering-rate"], "best")
    assert (star["x"], star["y"]) == (["0.5"], ["3"])


def test_without_a_sweep_there_is_no_section(audited: AuditResults, swept: Steering) -> None:
    assert steering.section(replace(audited, steering=None)) is None
    bare = steering.section(replace(audited, steering=replace(swept, baseline=None)))
    assert bare is not None and dict(bare.facts)["baseline, no steering"] == "\u2013"


def test_cures_show_difference_reduction_and_p(audited: AuditResults) -> None:
    shown = texts(tables_of(cures.section(audited))[0])
    assert [row[0] for row in shown] == [
        "Tuned model untouched",
        "Project out, every layer's own direction cure",
        "Project out, one direction at all layers cure",
        "Set to the aligned mean cure",
        "Random direction of the same norm control",
        "No-op, sampled again control",
    ]
    assert shown[0][4:] == ["\u2013", "\u2013", "\u2013"]
    assert shown[3][2] == "0.5\u00a0% [0.1,\u00a01.8], 2\u00a0of\u00a0400"
    assert shown[3][4] == "\u221211.8 [\u221214.8,\u00a0\u22128.8]"
    assert shown[3][5] == "95.9\u00a0% [86.9,\u00a0100.0]"
    assert shown[3][6] == "< 0.001"
    assert shown[5][4].startswith("+0.8")
    assert cures.section(replace(audited, cures=None)) is None


def test_bars_of_cures_are_apart_by_kind(audited: AuditResults) -> None:
    chart = charts_of(cures.section(audited))["cures"]
    kinds = [(one["name"], one["y"]) for one in chart.traces]
    assert kinds == [("untouched", [0]), ("cure", [1, 2, 3]), ("control", [4, 5])]
    assert trace(chart, "cure")["x"] == [cure.rate.value for cure in (audited.cures or ())[1:4]]
    assert trace(chart, "control")["marker"]["pattern"]["shape"]
