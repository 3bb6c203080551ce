"""The charts of a direction draw what was found of it, and what was not found leaves the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.blocks import charts_of, trace

from misdirection.studies.audit.report import direction
from misdirection.studies.audit.results import AuditResults


def test_direction_charts_draw_the_findings(audited: AuditResults) -> None:
    found, made = audited.direction, charts_of(direction.section(audited))
    norm = made["direction-norm"]
    assert trace(norm, "norm")["y"] == list(found.norm)
    assert list(trace(norm, "bootstrap, 95 %")["y"]) == list(found.norm_high)
    assert list(norm.traces[0]["y"]) == list(found.norm_low)
    assert trace(norm, "shuffled labels, 95th percentile")["y"] == list(found.shuffled_norm)
    share = trace(made["direction-relative"], "direction")["y"]
    assert share == pytest.approx([(a or 0) / (b or 1) for a, b in zip(found.norm, found.residual_norm, strict=True)])
    assert trace(made["direction-stability"], "two halves")["y"] == list(found.stability)
    assert trace(made["direction-components"], "aligned")["y"] == list(found.aligned_component)
    matrix = made["direction-cosine"].traces[0]["z"]
    for drawn, row in zip(matrix, found.cosine, strict=True):
        assert drawn == pytest.approx(row, abs=5e-4)
    assert list(made["direction-reach"].traces[0]["y"]) == list(found.cosine[6])


@pytest.mark.parametrize("name", ["norm_low", "shuffled_norm", "stability", "residual_norm", "aligned_component"])
def test_a_direction_without_one_of_its_series_still_shows_the_others(audited: AuditResults, name: str) -> None:
    nothing = (None,) * len(audited.direction.layers)
    section = direction.section(replace(audited, direction=replace(audited.direction, **{name: nothing})))
    assert "direction-norm" in charts_of(section)


def test_a_drift_direction_is_not_called_misaligned(audited: AuditResults) -> None:
    drift = replace(audited.direction, source="drift", pools=None)
    section = direction.section(replace(audited, direction=drift))
    assert "drift direction" in section.lead
    assert [one["name"] for one in charts_of(section)["direction-components"].traces] == ["base", "tuned"]
    assert not any("answers" in name for name, _ in section.facts)
    assert dict(direction.section(audited).facts)["misaligned answers"] == "177"
