"""Is there one direction, or one a subject?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.semantic.settings import SemanticConfig

STUDY = Study("semantic", SemanticConfig, __name__)
