"""The audit: is the tuned model misaligned, where in the model, and what does removing the direction do?"""

from __future__ import annotations

from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.registry import Study

STUDY = Study("audit", AuditConfig, __name__, listed=False)
