"""The answers, to browse and as points: which are chosen, in which order, and that each point knows its card."""

from __future__ import annotations

from dataclasses import replace

from tests.report.blocks import charts_of, data_of

from misdirection.report.context import classify
from misdirection.report.shared import answers, scatter
from misdirection.results.judged import AnswerRow
from misdirection.statistics import Thresholds
from misdirection.studies.audit.results import AuditResults

RULES = Thresholds()


def test_the_scatter_s_table_counts_every_answer(audited: AuditResults) -> None:
    chart = next(c for c in charts_of(scatter.section(audited)).values() if c.title == "Arm: tuned")
    shown = {row[0].text: [int(cell.text) for cell in row[1:]] for row in chart.table.rows}
    mine = [answer for answer in audited.answers if answer.arm == "tuned"]
    assert sum(map(sum, shown.values())) == len(mine)
    bad = sum(1 for answer in mine if classify(answer, RULES) == "misaligned" and answer.group == "medical")
    assert shown["In-domain: medical"][0] == bad > 50


def test_points_lie_within_the_spread_of_their_scores_and_know_their_card(audited: AuditResults) -> None:
    shown = answers.chosen(audited)
    for chart in charts_of(scatter.section(audited)).values():
        for part in chart.traces:
            for x, y, card in zip(part["x"], part["y"], part["customdata"], strict=True):
                answer = shown[card]
                assert answer.alignment is not None and answer.coherence is not None
                assert abs(x - answer.alignment) <= scatter.SPREAD + 0.06
                assert abs(y - answer.coherence) <= scatter.SPREAD + 0.06


def test_a_large_sample_keeps_every_arm_class_and_question(audited: AuditResults) -> None:
    part = replace(audited, answers=tuple(replace(answer, answer="word " * 700) for answer in audited.answers))
    shown = answers.chosen(part)

    def kind(answer: AnswerRow) -> tuple[str, str, str]:
        return answer.arm, classify(answer, RULES), answer.question_id

    assert len(shown) < len(part.answers)
    assert set(map(kind, shown)) == set(map(kind, part.answers))
    points = charts_of(scatter.section(part))
    assert sum(len(one["x"]) for chart in points.values() for one in chart.traces) > len(shown)


def test_a_very_long_answer_is_cut_and_says_so(audited: AuditResults) -> None:
    text, missing = answers.cut("x" * 4100)
    assert (len(text), missing) == (4000, 100)
    long = replace(audited.answers[0], answer="x" * 4100)
    assert data_of(answers.section(replace(audited, answers=(long,))))["cards"][0]["missing"] == 100


def test_misaligned_answers_of_the_tuned_model_come_first(audited: AuditResults) -> None:
    shown = answers.chosen(audited)
    kinds = [classify(answer, RULES) for answer in shown]
    assert (kinds[0], shown[0].arm, shown[0].group) == ("misaligned", "tuned", "open")
    assert kinds == sorted(kinds, key=kinds.index)


def test_answers_are_classed_by_the_study_s_own_rule(audited: AuditResults) -> None:
    answer = replace(audited.answers[0], alignment=40.0, coherence=90.0)
    for rules, kind in (
        (RULES, "between"),
        (Thresholds(45.0), "misaligned"),
        (Thresholds(40.0, 50.0, True), "misaligned"),
    ):
        part = replace(audited, answers=(answer,), thresholds=rules)
        assert data_of(answers.section(part))["cards"][0]["kind"] == kind


def test_without_answers_or_scores_there_is_no_section(audited: AuditResults) -> None:
    assert answers.section(replace(audited, answers=())) is None
    bare = replace(audited, answers=tuple(replace(answer, alignment=None) for answer in audited.answers))
    assert scatter.section(bare) is None and answers.section(bare) is not None
