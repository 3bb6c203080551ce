"""Do narrow fine-tunes share one direction, and does removing one's cure another?"""

from __future__ import annotations

from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.registry import Study

STUDY = Study("convergence", ConvergenceConfig, __name__)
