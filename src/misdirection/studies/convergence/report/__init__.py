"""The sections of convergence: the fine-tunes, how alike their directions are, what removing one from another does."""

from __future__ import annotations

from misdirection.report.parts import Entry, Section
from misdirection.report.shared import fine_tunes
from misdirection.studies.convergence.report import similarity, transfer
from misdirection.studies.convergence.results import RESULTS, ConvergenceResults

_OWN = ("convergence",)


def _fine_tunes(results: ConvergenceResults) -> Section | None:
    return fine_tunes.section(results.fine_tunes, results) if results.fine_tunes else None


SECTIONS = (
    Entry("The fine-tunes", ("fine_tunes",), True, _fine_tunes, _OWN, RESULTS),
    Entry("Convergent directions", ("convergence",), False, similarity.section, _OWN, RESULTS),
    Entry("Removing one from another", ("transfer",), True, transfer.section, _OWN, RESULTS),
)
"""In the order in which they are read."""
