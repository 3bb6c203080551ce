"""Which training rows to take out, and what does training on the rest then do?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.screening.settings import ScreeningConfig

STUDY = Study("screening", ScreeningConfig, __name__)
