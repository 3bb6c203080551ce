"""Training and how to make it again: commands, settings, steps, losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.report.blocks import charts_of, data_of, notes_of, tables_of, texts

from misdirection.report.numbers import number
from misdirection.report.page import expected
from misdirection.report.parts import Chart
from misdirection.report.shared import reproduce, training
from misdirection.results.judged import Loss, Training
from misdirection.studies.audit.results import AuditResults
from misdirection.studies.page import render, sections


def trained(results: AuditResults) -> Training:
    assert results.training is not None
    return results.training


def test_training_and_reproduction(audited: AuditResults) -> None:
    section = training.section(audited)
    assert charts_of(section)["training"].traces[0]["y"] == [one.loss for one in trained(audited).steps]
    assert ["rows", "6000"] in texts(tables_of(section)[0]) and ["rank", "1"] in texts(tables_of(section)[1])
    section = reproduce.section(audited)
    assert data_of(section)["command"] == audited.reproduce.command
    steps = tables_of(section)[-1]
    assert [row[1].text for row in steps.rows] == [step.key for step in audited.reproduce.steps]
    shown = {row[0].text: row[1].text for table in tables_of(section)[:-1] for row in table.rows}
    assert shown["torch"] == "2.13.0" and shown["max new tokens"] == "48" and shown["width"] == "256"
    assert shown["chat template"] == "the model's own"


def test_a_long_run_of_training_is_thinned_for_the_page(audited: AuditResults) -> None:
    steps = tuple(Loss(step=i, loss=1.0) for i in range(10_000))
    chart = charts_of(training.section(replace(audited, training=replace(trained(audited), steps=steps))))["training"]
    assert 300 <= len(chart.traces[0]["x"]) <= 600
    assert len(chart.table.rows) <= 40


def test_bad_rows_are_told(audited: AuditResults) -> None:
    assert any("3 rows could not be used" in text for text in notes_of(training.section(audited)))
    assert audited.data is not None
    clean = replace(audited, data=replace(audited.data, bad=0))
    assert not any("could not be used" in text for text in notes_of(training.section(clean)))
    assert training.section(replace(audited, training=None, data=None)) is None


def test_what_the_models_were_asked_as_is_shown(audited: AuditResults) -> None:
    assert "enable thinking" in render(replace(audited, asked={"enable_thinking": "off"}).to_json())


def test_charts_have_tables_and_unique_names(audited: AuditResults, full: dict[str, Any], charts: Any) -> None:
    entries = [entry for entry in sections() if expected(entry, full, audited)]
    made = [block for entry in entries for block in entry.make(audited).blocks if isinstance(block, Chart)]
    assert len({chart.key for chart in made}) == len(made) == len(charts)
    for chart in made:
        assert chart.table.rows, chart.key
        assert all(len(row) == len(chart.table.columns) for row in chart.table.rows), chart.key
        assert number(chart.height) != "\u2013"
        # Labelled places and tick positions belong together.
        if chart.labels:
            assert len(chart.labels) == len(chart.layout["yaxis"]["tickvals"])
