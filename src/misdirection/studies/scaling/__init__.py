"""Does emergent misalignment go with parameters, training tokens, or their ratio?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.scaling.settings import ScalingConfig

STUDY = Study("scaling", ScalingConfig, __name__)
