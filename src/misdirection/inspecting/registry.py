"""What Inspect finds in this package: the task, its scorer and its metrics."""

from misdirection.inspecting.metrics import by_format, interval
from misdirection.inspecting.scorer import rubric_scorer
from misdirection.inspecting.task import emergent_misalignment

__all__ = ["by_format", "emergent_misalignment", "interval", "rubric_scorer"]
