"""Are the updates of several fine-tunes alike in the weights, and what does the line between two of them do?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.weights.settings import WeightsConfig

STUDY = Study("weights", WeightsConfig, __name__)
