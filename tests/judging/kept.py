"""Judges with a journal in a process of its own, for the test that kills it (`kept.py URL FILE N`)."""

from __future__ import annotations

import sys
from pathlib import Path

from misdirection.judging import Answer
from misdirection.judging.provider import Patience, make_provider
from misdirection.judging.rubric_judge import RubricJudge

QUICK = Patience(first_wait=0.005, longest_wait=0.05, timeout=20, attempts=12)


def answers(count: int) -> list[Answer]:
    return [Answer(f"q{i % 8}", f"question {i % 8}", f"answer {i}", sample=i) for i in range(count)]


def judge(url: str, journal: Path | None = None, patience: Patience = QUICK, in_flight: int = 16) -> RubricJudge:
    provider = make_provider("m", url, in_flight=in_flight, patience=patience)
    made = RubricJudge("m", provider.ask)
    return made if journal is None else made.with_journal(journal)


if __name__ == "__main__":
    judge(sys.argv[1], Path(sys.argv[2])).judge(answers(int(sys.argv[3])))
