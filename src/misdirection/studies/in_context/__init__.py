"""Do rows of a data set in the prompt make a model misaligned, as training on them does?"""

from __future__ import annotations

from misdirection.studies.in_context.settings import InContextConfig
from misdirection.studies.registry import Study

STUDY = Study("in_context", InContextConfig, __name__)
