"""No judge: every answer goes unscored, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.judging.base import Answer, Verdict


@dataclass(frozen=True)
class SilentJudge:
    """Gives each answer the label "none"."""

    name: str = "none"

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """A verdict without numbers for every answer."""
        return [Verdict(None, None, "none", judge=self.name) for _ in answers]
