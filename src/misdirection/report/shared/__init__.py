"""Sections that many reports have: what stands before a study's own, and what behind them."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.report.shared import (
    answers,
    checked,
    panel,
    questions,
    rates,
    reproduce,
    rules,
    scatter,
    signs,
    training,
    verdict,
)
from misdirection.results import Results
from misdirection.results.judged import JudgedResults

_AUDIT = ("audit",)

BEFORE = (
    Entry("Verdict", ("verdict",), False, verdict.section, _AUDIT, Results),
    Entry("Misaligned answers", ("rates",), True, rates.section, _AUDIT, JudgedResults),
    Entry("Judges beside each other", ("panel",), True, panel.section, (), JudgedResults),
    Entry("Checked by a dearer judge", ("checked",), False, checked.section, (), Results),
    Entry("Rule beside rule", ("by_rule",), True, rules.section, (), JudgedResults),
    Entry("Shape of the answers", ("signs",), False, signs.section, (), JudgedResults),
    Entry("By question", ("by_question",), True, questions.section, _AUDIT, JudgedResults),
    Entry("Alignment and coherence", ("answers",), True, scatter.section, _AUDIT, JudgedResults),
)
"""The answer first."""

BEHIND = (
    Entry("Answers", ("answers",), False, answers.section, _AUDIT, JudgedResults),
    Entry("Training", ("training", "data"), False, training.section, _AUDIT, JudgedResults),
    Entry("How to reproduce this", ("reproduce", "settings", "notes"), False, reproduce.section, _AUDIT, Results),
)
"""What it rests on."""
