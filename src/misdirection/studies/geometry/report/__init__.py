"""The sections of the geometry of features."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.geometry.report import course, distances, law
from misdirection.studies.geometry.results import GeometryResults

_OWN = ("geometry",)

SECTIONS = (
    Entry("Geometry of features", ("geometry",), False, distances.section, _OWN, GeometryResults),
    Entry("The spillover law", ("geometry",), False, law.section, _OWN, GeometryResults),
    Entry("Geometry over a fine-tune", ("geometry",), False, course.section, _OWN, GeometryResults),
)
"""In the order in which they are read."""
