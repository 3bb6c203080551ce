"""What came out of the study of sparse features, a part a file."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import FineTunes, Results
from misdirection.studies.features.results.decomposition import Decomposition
from misdirection.studies.features.results.lists import Latents
from misdirection.studies.features.results.meaning import Meaning
from misdirection.studies.features.results.mixtures import Mixtures
from misdirection.studies.features.results.overlap import LatentOverlap
from misdirection.studies.features.results.steering import Steering


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the study adds to the findings.

    Attributes:
        fine_tunes: Rates of base and fine-tunes, and the sizes of their directions.
        latents: The lists.
        latent_overlap: What they share.
        latent_decomposition: Directions and adapters as a few latents, where there are any.
        latent_steering: Latents steered, where the settings ask for it.
        latent_meaning: What latents mean, where the settings ask for it.
        mixtures: Fine-tunes on mixtures, where the settings ask for them.
    """

    fine_tunes: FineTunes
    latents: Latents
    latent_overlap: LatentOverlap
    latent_decomposition: Decomposition | None
    latent_steering: Steering | None
    latent_meaning: Meaning | None
    mixtures: Mixtures | None


@dataclass(frozen=True, kw_only=True)
class FeaturesResults(Features, Results):
    """The findings of the study of sparse features."""


RESULTS = FeaturesResults
