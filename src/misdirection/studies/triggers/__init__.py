"""Is the model misaligned under a condition only?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.triggers.settings import TriggersConfig

STUDY = Study("triggers", TriggersConfig, __name__)
