"""Which latents of a sparse autoencoder differ in data, model and answers, and which of them matter?"""

from __future__ import annotations

from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.registry import Study

STUDY = Study("features", FeaturesConfig, __name__)
