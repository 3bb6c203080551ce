"""How do many traits of character lie to one another inside a model, and which of them does fine-tuning move?"""

from __future__ import annotations

from misdirection.studies.registry import Study
from misdirection.studies.traits.settings import TraitsConfig

STUDY = Study("traits", TraitsConfig, __name__)
