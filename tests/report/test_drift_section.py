"""Drift, token by token, side by side: what is drawn is what was found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.report.blocks import charts_of, data_of, trace

from misdirection.studies.audit.report import drift, pairs, tokens
from misdirection.studies.audit.results import AuditResults


def test_drift_draws_layers_questions_and_projections(audited: AuditResults) -> None:
    found, made = audited.drift, charts_of(drift.section(audited))
    assert list(made["drift-layers"].traces[0]["y"]) == list(found.relative)
    divergence = sorted(question.kl for question in found.questions)
    assert sorted(value for one in made["drift-kl"].traces for value in one["x"]) == divergence
    assert [float(row[1].text) for row in made["drift-kl"].table.rows] == [round(kl, 3) for kl in divergence[::-1]]
    tuned = sorted(question.projection_tuned for question in found.questions)
    assert sorted(trace(made["drift-projection"], "tuned")["x"]) == tuned
    assert made["drift-projection"].title.endswith("at layer 6")
    assert len(made["drift-where"].traces[0]["z"]) == len(found.questions)


def test_a_divergence_of_one_answer_has_no_interval(audited: AuditResults) -> None:
    one = replace(audited.drift.questions[0], kl_low=None, kl_high=None, n=1)
    chart = charts_of(drift.section(replace(audited, drift=replace(audited.drift, questions=(one,)))))["drift-kl"]
    assert chart.traces[0]["error_x"]["array"] == [None] and chart.table.rows[0][1].sub == ""


def test_drift_with_layers_only(audited: AuditResults) -> None:
    section = drift.section(replace(audited, drift=replace(audited.drift, questions=())))
    assert list(charts_of(section)) == ["drift-layers"]


def test_shades_are_even_and_cut_at_the_top() -> None:
    values = (0.0, 0.1, 0.25, 1.0, 2.0, 9.0, -1.0, -9.0, None, math.nan)
    assert [tokens.shade(value, 2.0) for value in values] == ["", "", "p1", "p4", "p8", "p8", "n4", "n8", "", ""]


def test_the_scale_ignores_outliers_and_the_prompt(audited: AuditResults) -> None:
    answer = audited.tokens[0]
    assert tokens.scale([replace(answer, values=(500.0, *[1.0] * 99, 80.0), start=1)]) == 1.0
    assert tokens.scale([replace(answer, values=(None,), start=0)]) == 1.0


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["Hello", "\u0120world", ".\u010a"], "Hello world.\n"),
        (["\u2581Hello", "\u2581world"], " Hello world"),
        (["hello", " world"], "hello world"),
        (["hello", "world", "."], "hello world."),
    ],
)
def test_tokens_read_as_text(given: list[str], shown: str) -> None:
    assert "".join(tokens.readable(given)) == shown


def test_every_token_keeps_its_value(audited: AuditResults) -> None:
    section = tokens.section(audited)
    data = data_of(section)
    for answer, text in zip(audited.tokens, data["texts"], strict=True):
        shown = [float(piece["value"].replace("\u2212", "-")) for piece in text["pieces"]]
        assert shown == [round(value or 0.0, 2) for value in answer.values]
        assert [piece["prompt"] for piece in text["pieces"]].count(True) == answer.start
    drifted = replace(audited, direction=replace(audited.direction, source="drift"))
    other = tokens.section(drifted)
    assert section is not None and "misaligned side" in section.lead
    assert other is not None and "tuned model's side" in other.lead
    assert tokens.section(replace(audited, tokens=())) is None


def test_pairs_stand_side_by_side(audited: AuditResults) -> None:
    shown = data_of(pairs.section(audited))["pairs"]
    assert [pair["tuned"][0] for pair in shown] == [pair.tuned for pair in audited.pairs]
    many = pairs.section(replace(audited, pairs=audited.pairs * 10))
    assert many is not None and dict(many.facts)["pairs shown"] == "60 of 80"
    assert pairs.section(replace(audited, pairs=())) is None
