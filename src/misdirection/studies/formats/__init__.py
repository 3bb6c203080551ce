"""Does the rate depend on how the question is asked?"""

from __future__ import annotations

from misdirection.studies.formats.settings import FormatsConfig
from misdirection.studies.registry import Study

STUDY = Study("formats", FormatsConfig, __name__)
