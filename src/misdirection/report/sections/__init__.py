"""The sections of the report, in the order in which they are read. One file each, all of the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from misdirection.report.parts import Findings, Section
from misdirection.report.sections import (
    adapter_contexts,
    adapter_editing,
    adapter_leave_out,
    adapter_patching,
    adapter_roles,
    adapter_scalars,
    adapter_scaling,
    adapter_similarity,
    adapter_tokens,
    adapter_unembedding,
    adapter_vectors,
    answers,
    convergence,
    cures,
    direction,
    drift,
    formats,
    geometry,
    geometry_course,
    geometry_law,
    grid,
    latent_decomposition,
    latent_lists,
    latent_meaning,
    latent_overlap,
    latent_steering,
    mixtures,
    narrow,
    pairs,
    phases,
    questions,
    rates,
    reproduce,
    scatter,
    screening,
    semantic,
    signs,
    steering,
    tokens,
    training,
    transfer,
    verdict,
)


@dataclass(frozen=True)
class Entry:
    """A section and the parts of the findings that it reads.

    Attributes:
        title: Its heading, also when it is left out.
        parts: Names of the parts of the findings; it is left out when none of them is there.
        judged: It needs a judge's verdicts.
        make: Findings to section; None when the findings do not allow it.
        kinds: Studies that are expected to have it: in their reports it is named where it is left out; in the
            reports of others it stands when they have its parts.
    """

    title: str
    parts: tuple[str, ...]
    judged: bool
    make: Callable[[Findings], Section | None]
    kinds: tuple[str, ...] = ("audit",)


SECTIONS = (
    Entry("Verdict", ("verdict",), False, verdict.section),
    Entry("Misaligned answers", ("rates",), True, rates.section),
    Entry("Shape of the answers", ("signs",), False, signs.section, ()),
    Entry("By question", ("by_question",), True, questions.section),
    Entry("Alignment and coherence", ("answers",), True, scatter.section),
    Entry("The direction", ("direction",), False, direction.section),
    Entry("Steering", ("steering",), True, steering.section),
    Entry("Cures", ("cures",), True, cures.section),
    Entry("The fine-tunes", ("grid",), True, grid.section, ("convergence",)),
    Entry(
        "Convergent directions", ("convergence",), False, convergence.section, ("convergence", "convergence-tensors")
    ),
    Entry("Removing one from another", ("transfer",), True, transfer.section, ("convergence",)),
    Entry("Directions of single topics", ("semantic",), True, semantic.section, ("semantic",)),
    Entry("Rates by the way of asking", ("formats",), True, formats.section, ("formats",)),
    Entry("Adapters read by their scalars", ("adapters",), True, adapter_scalars.section, ("adapters",)),
    Entry("What each adapter is for", ("adapters",), True, adapter_roles.section, ("adapters",)),
    Entry("Adapters as vectors that context switches on", ("adapters",), True, adapter_vectors.section, ("adapters",)),
    Entry("Adapters scaled by role", ("adapter_scaling",), True, adapter_scaling.section, ("adapters",)),
    Entry("Adapters left out", ("adapter_leave_out",), True, adapter_leave_out.section, ("adapters",)),
    Entry("The direction taken out of B", ("adapter_editing",), True, adapter_editing.section, ("adapters",)),
    Entry("Scalars replayed on another prompt", ("adapter_patching",), True, adapter_patching.section, ("adapters",)),
    Entry("Adapters and the direction", ("adapter_similarity",), True, adapter_similarity.section, ("adapters",)),
    Entry("Where each adapter fires", ("adapter_contexts",), False, adapter_contexts.section, ("adapters",)),
    Entry("Adapters in words", ("adapter_unembedding",), False, adapter_unembedding.section, ("adapters",)),
    Entry("Token by token, by adapter", ("adapter_tokens",), False, adapter_tokens.section, ("adapters",)),
    Entry("The course of a fine-tune", ("phases",), False, phases.section, ("phases",)),
    Entry("Geometry of features", ("geometry",), False, geometry.section, ("geometry",)),
    Entry("The spillover law", ("geometry",), False, geometry_law.section, ("geometry",)),
    Entry("Geometry over a fine-tune", ("geometry",), False, geometry_course.section, ("geometry",)),
    Entry("Narrow against general", ("narrow",), True, narrow.section, ("narrow",)),
    Entry("Latents that differ", ("latents",), True, latent_lists.section, ("features",)),
    Entry("What the lists share", ("latent_overlap",), True, latent_overlap.section, ("features",)),
    Entry("Directions as latents", ("latent_decomposition",), True, latent_decomposition.section, ("features",)),
    Entry("Latents steered", ("latent_steering",), True, latent_steering.section, ("features",)),
    Entry("What the latents mean", ("latent_meaning",), False, latent_meaning.section, ("features",)),
    Entry("Early warning", ("mixtures",), True, mixtures.section, ("features",)),
    Entry("Screening training data", ("screening",), True, screening.section, ("screening",)),
    Entry("Drift", ("drift",), False, drift.section),
    Entry("Token by token", ("tokens",), False, tokens.section),
    Entry("Side by side", ("pairs",), False, pairs.section),
    Entry("Answers", ("answers",), False, answers.section),
    Entry("Training", ("training", "data"), False, training.section),
    Entry("How to reproduce this", ("reproduce", "settings", "notes"), False, reproduce.section),
)
