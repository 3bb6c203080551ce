"""What does each adapter do, read by its scalars and by what scaling, patching and editing it does?"""

from __future__ import annotations

from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.registry import Study

STUDY = Study("adapters", AdaptersConfig, __name__)
