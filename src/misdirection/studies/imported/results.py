"""What came out of results that a user already has."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results.judged import JudgedResults


@dataclass(frozen=True, kw_only=True)
class ImportedResults(JudgedResults):
    """The findings on verdicts made elsewhere."""


RESULTS = ImportedResults
