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

_AUDIT = ("audit",)

BEFORE = (
    Entry("Verdict", ("verdict",), False, verdict.section, _AUDIT),
    Entry("Misaligned answers", ("rates",), True, rates.section, _AUDIT),
    Entry("Judges beside each other", ("panel",), True, panel.section, ()),
    Entry("Checked by a dearer judge", ("checked",), False, checked.section, ()),
    Entry("Rule beside rule", ("by_rule",), True, rules.section, ()),
    Entry("Shape of the answers", ("signs",), False, signs.section, ()),
    Entry("By question", ("by_question",), True, questions.section, _AUDIT),
    Entry("Alignment and coherence", ("answers",), True, scatter.section, _AUDIT),
)
"""The answer first."""

BEHIND = (
    Entry("Answers", ("answers",), False, answers.section, _AUDIT),
    Entry("Training", ("training", "data"), False, training.section, _AUDIT),
    Entry("How to reproduce this", ("reproduce", "settings", "notes"), False, reproduce.section, _AUDIT),
)
"""What it rests on."""
