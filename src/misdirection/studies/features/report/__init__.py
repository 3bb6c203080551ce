"""The sections of sparse features."""

from __future__ import annotations

from misdirection.report.parts import Entry
from misdirection.studies.features.report import decomposition, lists, meaning, mixtures, overlap, steering

_OWN = ("features",)

SECTIONS = (
    Entry("Latents that differ", ("latents",), True, lists.section, _OWN),
    Entry("What the lists share", ("latent_overlap",), True, overlap.section, _OWN),
    Entry("Directions as latents", ("latent_decomposition",), True, decomposition.section, _OWN),
    Entry("Latents steered", ("latent_steering",), True, steering.section, _OWN),
    Entry("What the latents mean", ("latent_meaning",), False, meaning.section, _OWN),
    Entry("Early warning", ("mixtures",), True, mixtures.section, _OWN),
)
"""In the order in which they are read."""
