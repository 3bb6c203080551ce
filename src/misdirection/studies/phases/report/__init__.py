"""The section of the course of a fine-tune."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.phases.report import course
from misdirection.studies.phases.results import RESULTS

SECTIONS = (Entry("The course of a fine-tune", ("phases",), False, course.section, ("phases",), RESULTS),)
"""In the order in which they are read."""
