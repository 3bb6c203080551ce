"""Verdicts made elsewhere have no section of their own: rates, answers and steering stand as in every report."""

from __future__ import annotations

from misdirection.report.parts import Entry

SECTIONS: tuple[Entry, ...] = ()
"""None."""
