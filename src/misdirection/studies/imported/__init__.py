"""Verdicts made elsewhere, read and counted by the same rules."""

from __future__ import annotations

from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.registry import Study

STUDY = Study("imported", ImportedConfig, __name__, listed=False)
