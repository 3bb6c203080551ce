"""When does training turn?"""

from __future__ import annotations

from misdirection.studies.phases.settings import PhasesConfig
from misdirection.studies.registry import Study

STUDY = Study("phases", PhasesConfig, __name__)
