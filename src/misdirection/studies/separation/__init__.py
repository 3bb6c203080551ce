"""Are concepts that a model stores too close to each other the reason why narrow training spills over?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.separation.settings import SeparationConfig

STUDY = Study("separation", SeparationConfig, __name__)
