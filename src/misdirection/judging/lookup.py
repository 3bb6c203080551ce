"""Verdicts made elsewhere, looked up by question and answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from misdirection.artefacts import file_hash
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.table import load_table


class TableJudge:
    """Gives each answer the verdict that a table holds for the same question and answer text.

    An answer that the table does not hold gets the label "none": it is counted, never dropped. Of rows with the same
    question and answer, the k-th gives the verdict of the k-th such answer (the last one for all that follow).

    Args:
        path: CSV, JSON lines or Parquet (see `load_table`).
    """

    def __init__(self, path: str) -> None:
        answers, verdicts = load_table(path)
        self.name = f"table:{file_hash(path)[:12]}"
        self._held: dict[tuple[str, str], list[Verdict]] = {}
        for answer, verdict in zip(answers, verdicts, strict=True):
            self._held.setdefault(_key(answer), []).append(verdict)

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict an answer."""
        seen: Counter[tuple[str, str]] = Counter()
        found: list[Verdict] = []
        for key in map(_key, answers):
            held = self._held.get(key, [Verdict(None, None, "none")])
            found.append(replace(held[min(seen[key], len(held) - 1)], judge=self.name))
            seen[key] += 1
        return found


def _key(answer: Answer) -> tuple[str, str]:
    return answer.question_id, answer.answer.strip()
