"""The sections of an audit: the direction, what steering by it and removing it did, and what tuning moved."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.results.judged import JudgedResults
from misdirection.studies.audit.report import cures, direction, drift, fix, pairs, steering, thoughts, tokens
from misdirection.studies.audit.results import AuditResults

_OWN = ("audit",)

SECTIONS = (
    Entry("The direction", ("direction",), False, direction.section, _OWN, AuditResults),
    Entry("Steering", ("steering",), True, steering.section, _OWN, JudgedResults),
    Entry("Thoughts", ("thoughts",), False, thoughts.section, (), AuditResults),
    Entry("Cures", ("cures",), True, cures.section, _OWN, AuditResults),
    Entry("Repair", ("fix",), True, fix.section, (), AuditResults),
    Entry("Drift", ("drift",), False, drift.section, _OWN, AuditResults),
    Entry("Token by token", ("tokens",), False, tokens.section, _OWN, AuditResults),
    Entry("Side by side", ("pairs",), False, pairs.section, _OWN, AuditResults),
)
"""In the order in which they are read."""
