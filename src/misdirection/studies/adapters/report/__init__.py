"""The sections of adapters read by their scalars, scaled, patched, edited and left out."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.adapters.report import (
    contexts,
    editing,
    leave_out,
    patching,
    roles,
    scalars,
    scaling,
    similarity,
    tokens,
    unembedding,
    vectors,
)
from misdirection.studies.adapters.results import RESULTS

_OWN = ("adapters",)

SECTIONS = (
    Entry("Adapters read by their scalars", ("adapters",), True, scalars.section, _OWN, RESULTS),
    Entry("What each adapter is for", ("adapters",), True, roles.section, _OWN, RESULTS),
    Entry("Adapters as vectors that context switches on", ("adapters",), True, vectors.section, _OWN, RESULTS),
    Entry("Adapters scaled by role", ("adapter_scaling",), True, scaling.section, _OWN, RESULTS),
    Entry("Adapters left out", ("adapter_leave_out",), True, leave_out.section, _OWN, RESULTS),
    Entry("The direction taken out of B", ("adapter_editing",), True, editing.section, _OWN, RESULTS),
    Entry("Scalars replayed on another prompt", ("adapter_patching",), True, patching.section, _OWN, RESULTS),
    Entry("Adapters and the direction", ("adapter_similarity",), True, similarity.section, _OWN, RESULTS),
    Entry("Where each adapter fires", ("adapter_contexts",), False, contexts.section, _OWN, RESULTS),
    Entry("Adapters in words", ("adapter_unembedding",), False, unembedding.section, _OWN, RESULTS),
    Entry("Token by token, by adapter", ("adapter_tokens",), False, tokens.section, _OWN, RESULTS),
)
"""In the order in which they are read."""
