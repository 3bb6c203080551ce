"""Verdicts made elsewhere, looked up by question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from misdirection.artefacts import file_hash
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.table import load_table


class TableJudge:
    """Gives each answer the verdict that a table holds for the same question and answer text.

    An answer that the table does not hold gets the label "none": it is counted, never dropped.

    Args:
        path: CSV, JSON lines or Parquet (see `load_table`).
    """

    def __init__(self, path: str) -> None:
        answers, verdicts = load_table(path)
        self.name = f"table:{file_hash(path)[:12]}"
        self._held = {(a.question_id, a.answer.strip()): v for a, v in zip(answers, verdicts, strict=True)}

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict an answer."""
        missing = Verdict(None, None, "none")
        return [replace(self._held.get((a.question_id, a.answer.strip()), missing), judge=self.name) for a in answers]
