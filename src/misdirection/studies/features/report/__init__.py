"""The sections of sparse features."""

from __future__ import annotations

from misdirection.report.parts import Entry, Section
from misdirection.report.shared import fine_tunes
from misdirection.studies.features.report import decomposition, lists, meaning, mixtures, overlap, steering
from misdirection.studies.features.results import RESULTS, FeaturesResults

_OWN = ("features",)


def _fine_tunes(results: FeaturesResults) -> Section:
    return fine_tunes.section(results.fine_tunes, results)


SECTIONS = (
    Entry("The fine-tunes", ("fine_tunes",), True, _fine_tunes, _OWN, RESULTS),
    Entry("Latents that differ", ("latents",), True, lists.section, _OWN, RESULTS),
    Entry("What the lists share", ("latent_overlap",), True, overlap.section, _OWN, RESULTS),
    Entry("Directions as latents", ("latent_decomposition",), True, decomposition.section, _OWN, RESULTS),
    Entry("Latents steered", ("latent_steering",), True, steering.section, _OWN, RESULTS),
    Entry("What the latents mean", ("latent_meaning",), False, meaning.section, _OWN, RESULTS),
    Entry("Early warning", ("mixtures",), True, mixtures.section, _OWN, RESULTS),
)
"""In the order in which they are read."""
