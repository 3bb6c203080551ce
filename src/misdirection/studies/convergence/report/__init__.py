"""The sections of convergence: the fine-tunes, how alike their directions are, what removing one from another does."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.convergence.report import grid, similarity, transfer

_OWN = ("convergence",)

SECTIONS = (
    Entry("The fine-tunes", ("grid",), True, grid.section, _OWN),
    Entry("Convergent directions", ("convergence",), False, similarity.section, ("convergence", "convergence-tensors")),
    Entry("Removing one from another", ("transfer",), True, transfer.section, _OWN),
)
"""In the order in which they are read."""
