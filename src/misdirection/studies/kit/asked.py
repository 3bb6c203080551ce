"""What is asked of models, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from misdirection.judging import Answer, Verdict
from misdirection.questions import Question
from misdirection.store import Cached
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged, kept
from misdirection.studies.kit.variants import Variants


@dataclass(frozen=True)
class Asked:
    """Answers with verdicts, and the steps that hold them.

    Attributes:
        answers: The step with the answers.
        verdicts: That with the verdicts on them, in the same order.
        against: By arm, the one that a dear judge's rate of it is held against; None for the first arm.
    """

    answers: Cached[list[Answer]]
    verdicts: Cached[list[Verdict]]
    against: Mapping[str, str] | None = None

    @cached_property
    def judged(self) -> Judged:
        """Answers and verdicts in the same order."""
        return Judged(self.answers.value, self.verdicts.value)

    @property
    def kept(self) -> Judged:
        """The same as an argument of a measurement."""
        return kept(self.answers, self.verdicts)


@dataclass(frozen=True)
class Queue:
    """What is asked of which models, under which conditions."""

    models: Variants
    conditions: Sequence[Condition]
    questions: Sequence[Question]
