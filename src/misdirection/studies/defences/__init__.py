"""Which defence prevents or undoes misalignment, at what cost, and does it last under conditions?"""

from __future__ import annotations

from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.registry import Study

STUDY = Study("defences", DefencesConfig, __name__)
