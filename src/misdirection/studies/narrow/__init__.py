"""Can a model be bad in its domain only, and is that the harder solution?"""

from __future__ import annotations

from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.studies.registry import Study

STUDY = Study("narrow", NarrowConfig, __name__)
