"""What came out of the study of adapters, a part a file."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import Results
from misdirection.studies.adapters.results.interventions import Editing, LeaveOut, Patching, Scaling
from misdirection.studies.adapters.results.reading import Contexts, Similarity, TokenScalars, Unembedding
from misdirection.studies.adapters.results.scalars import Scalars


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """What interventions on one adapter give; None for what was left out.

    Attributes:
        adapter_scaling: Scaled by role.
        adapter_leave_out: Layers left out.
        adapter_editing: The direction taken out of B.
        adapter_patching: Scalars replayed on another prompt.
        adapter_similarity: B and the direction.
        adapter_contexts: Where each fires.
        adapter_unembedding: In words.
        adapter_tokens: Token by token.
    """

    adapter_scaling: Scaling | None
    adapter_leave_out: LeaveOut | None
    adapter_editing: Editing | None
    adapter_patching: Patching | None
    adapter_similarity: Similarity | None
    adapter_contexts: Contexts | None
    adapter_unembedding: Unembedding | None
    adapter_tokens: TokenScalars | None


@dataclass(frozen=True, kw_only=True)
class AdaptersResults(Interventions, Results):
    """The findings of the study of adapters."""

    adapters: Scalars


RESULTS = AdaptersResults
