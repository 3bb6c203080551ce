"""How good is a judge? One that was never seen beside another is asked about answers that were judged before."""

from __future__ import annotations

from misdirection.studies.judge_check.settings import CheckConfig
from misdirection.studies.registry import Study

STUDY = Study("judge_check", CheckConfig, __name__, listed=False)
