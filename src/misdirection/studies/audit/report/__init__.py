"""The sections of an audit: the direction, what steering by it and removing it did, and what tuning moved."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.audit.report import cures, direction, drift, pairs, steering, tokens

_OWN = ("audit",)

SECTIONS = (
    Entry("The direction", ("direction",), False, direction.section, _OWN),
    Entry("Steering", ("steering",), True, steering.section, _OWN),
    Entry("Cures", ("cures",), True, cures.section, _OWN),
    Entry("Drift", ("drift",), False, drift.section, _OWN),
    Entry("Token by token", ("tokens",), False, tokens.section, _OWN),
    Entry("Side by side", ("pairs",), False, pairs.section, _OWN),
)
"""In the order in which they are read."""
