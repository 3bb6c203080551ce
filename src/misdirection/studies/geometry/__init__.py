"""Are the features that narrow data train near to toxic ones, and does that explain the spillover?"""

from __future__ import annotations

from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.registry import Study

STUDY = Study("geometry", GeometryConfig, __name__)
