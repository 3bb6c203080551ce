"""Which traits does a model show, can they be turned up and down, and does fine-tuning move it along them?"""

from __future__ import annotations

from misdirection.studies.personas.settings import PersonasConfig
from misdirection.studies.registry import Study

STUDY = Study("personas", PersonasConfig, __name__)
