"""The sections of sparse features."""

from __future__ import annotations

from misdirection.report.parts import Entry, Findings, Section
from misdirection.report.shared import fine_tunes
from misdirection.results import FineTunes
from misdirection.studies.features.report import decomposition, lists, meaning, mixtures, overlap, steering

_OWN = ("features",)


def _fine_tunes(findings: Findings) -> Section | None:
    import msgspec

    part = findings.get("fine_tunes")
    return fine_tunes.section(msgspec.convert(part, FineTunes), findings) if part else None


SECTIONS = (
    Entry("The fine-tunes", ("latents",), True, _fine_tunes, _OWN),
    Entry("Latents that differ", ("latents",), True, lists.section, _OWN),
    Entry("What the lists share", ("latent_overlap",), True, overlap.section, _OWN),
    Entry("Directions as latents", ("latent_decomposition",), True, decomposition.section, _OWN),
    Entry("Latents steered", ("latent_steering",), True, steering.section, _OWN),
    Entry("What the latents mean", ("latent_meaning",), False, meaning.section, _OWN),
    Entry("Early warning", ("mixtures",), True, mixtures.section, _OWN),
)
"""In the order in which they are read."""
