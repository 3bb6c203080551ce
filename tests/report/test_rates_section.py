"""Rates by arm and group, and misaligned answers by question: what is shown and drawn is what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.blocks import charts_of, data_of, notes_of, tables_of, texts, trace

from misdirection.report.numbers import counts, percent, rate_cell
from misdirection.report.shared import answers, questions, rates
from misdirection.results.judged import AnswerRow, ArmRates, Mass
from misdirection.studies.audit.results import AuditResults


def rows_of(results: AuditResults) -> tuple[ArmRates, ...]:
    assert results.rates is not None
    return results.rates


def with_row(results: AuditResults, row: ArmRates) -> AuditResults:
    """The first row replaced."""
    return replace(results, rates=(row, *rows_of(results)[1:]))


def test_each_group_has_a_table_of_its_own_with_all_denominators(audited: AuditResults) -> None:
    made = tables_of(rates.section(audited))
    assert [table.caption for table in made] == ["Open questions", "In-domain: medical"]
    assert [len(table.rows) for table in made] == [3, 2]
    row, shown = rows_of(audited)[1], made[0].rows[1]
    assert [cell.text for cell in shown[:3]] == ["tuned", "plain", "none"]
    assert shown[3:7] == tuple(map(rate_cell, (row.all, row.scored, row.coherent, row.coherent_share)))
    assert f"{shown[7].text}, {shown[7].sub}" == "396\u00a0scored, 3\u00a0code, 1\u00a0refusal"


def test_the_rates_chart_draws_values_and_intervals(audited: AuditResults) -> None:
    chart = charts_of(rates.section(audited))["rates"]
    assert chart.labels == (
        "Open questions",
        "Open questions, json, system: \u201cAnswer in JSON.\u201d",
        "In-domain: medical",
    )
    tuned = trace(chart, "tuned")
    wanted = [rows_of(audited)[i].all for i in (1, 4, 3)]
    assert tuned["x"] == [rate.value for rate in wanted]
    high = [v + e for v, e in zip(tuned["x"], tuned["error_x"]["array"], strict=True)]
    low = [v - e for v, e in zip(tuned["x"], tuned["error_x"]["arrayminus"], strict=True)]
    assert high == pytest.approx([rate.high for rate in wanted])
    assert low == pytest.approx([rate.low for rate in wanted])
    assert counts(wanted[0]) in tuned["text"][0]


def test_missing_verdicts_and_warnings_are_marked(audited: AuditResults) -> None:
    row = rows_of(audited)[0]
    section = rates.section(with_row(audited, replace(row, labels={**row.labels, "none": 7})))
    cell = tables_of(section)[0].rows[0][7]
    assert cell.kind == "warn" and "7\u00a0no\u00a0number" in cell.sub
    assert any("tuned, open questions, plain: 4 answers were cut" in text for text in notes_of(section))


def test_labels_and_mass_stand_beside_the_rate(audited: AuditResults) -> None:
    labels = {"scored": 380, "code": 3, "refusal": 9, "malformed": 1, "none": 7}
    row = replace(rows_of(audited)[0], labels=labels, mass={"alignment": Mass(n=380, mean=0.973, least=0.262)})
    cell = tables_of(rates.section(replace(audited, rates=(row,))))[0].rows[0][-1]
    said = f"{cell.text}, {cell.sub}".replace("\u00a0", " ")
    assert said == "380 scored, 3 code, 9 refusal, 1 malformed, 7 no number, mass on numbers 0.97 (least 0.26)"


def test_what_the_judge_cannot_tell_is_named_and_its_rate_is_a_range(audited: AuditResults) -> None:
    row = rows_of(audited)[0]
    whole = replace(row.all, misaligned=8, n=400, value=0.02, undecided=60, ceiling=0.17, bounded=True)
    unsure = replace(row, labels={**row.labels, "unsure": 60}, unsure={"language": 50, "form": 10}, all=whole)
    cells = tables_of(rates.section(with_row(audited, unsure)))[0].rows[0]
    assert cells[3].text == "2.0\u00a0to\u00a017.0\u00a0%" and "60\u00a0undecided" in cells[3].sub
    assert cells[7].kind == "warn" and "60\u00a0unsure\u00a0(language\u00a050,\u00a0form\u00a010)" in cells[7].sub
    answer = AnswerRow(
        arm="base", question_id="q", question="q", group="open", answer="a", system=None, alignment=None,
        coherence=None, label="unsure", why="form",
    )  # fmt: skip
    (card,) = data_of(answers.section(replace(audited, answers=(answer,))))["cards"]
    assert (card["label"], card["scores"], card["kind"]) == ("unsure: form", "no scores", "unscored")


def test_questions_are_ranked_by_the_tuned_model(audited: AuditResults) -> None:
    chart = charts_of(questions.section(audited))["questions-0"]
    tuned = {row.question: row for row in audited.by_question or () if (row.arm, row.group) == ("tuned", "open")}
    values = [tuned[question].value for question in chart.labels]
    assert values == sorted(values, reverse=True) and len(values) == 16
    assert sorted(trace(chart, "tuned")["x"]) == sorted(values)
    shown, best = texts(chart.table)[0], tuned[chart.labels[0]]
    assert shown[2].startswith(percent(best.value))
    assert shown[2].endswith(f"{best.misaligned}\u00a0of\u00a0{best.n}")


def test_open_and_domain_questions_have_charts_of_their_own(audited: AuditResults) -> None:
    made = charts_of(questions.section(audited))
    assert [chart.title for chart in made.values()] == ["Open questions", "In-domain: medical"]
    assert not set(made["questions-0"].labels) & set(made["questions-1"].labels)


def test_formats_have_charts_of_their_own(audited: AuditResults) -> None:
    rows = audited.by_question or ()
    json = tuple(replace(row, format="json") for row in rows if row.group == "open")
    made = charts_of(questions.section(replace(audited, by_question=(*rows, *json))))
    assert sorted(chart.title for chart in made.values()) == [
        "In-domain: medical", "Open questions", "Open questions, json format",
    ]  # fmt: skip
