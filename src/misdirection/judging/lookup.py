"""Verdicts made elsewhere, looked up by question and answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from misdirection.artefacts import file_hash
from misdirection.errors import MisdirectionError
from misdirection.judging.base import Answer, Verdict
from misdirection.judging.columns import read_told
from misdirection.judging.readers import read_judged
from misdirection.judging.rubrics import Rubric
from misdirection.judging.scales import read_scales
from misdirection.judging.table import How


class TableJudge:
    """Gives each answer the verdict that a table holds for the same question and answer text.

    An answer that the table does not hold gets the label "none": it is counted, never dropped. Of rows with the same
    question and answer, the k-th gives the verdict of the k-th such answer (the last one for all that follow).

    Args:
        argument: A table (see `table.read_table`), and how it is to be read:
            "verdicts.csv?scale=1..5&column=answer=response".
    """

    def __init__(self, argument: str) -> None:
        path, how = _options(argument)
        answers, verdicts = read_judged(path, how=how)
        if verdicts is None:
            raise MisdirectionError(f"{path}: answers without verdicts", "give a table with verdicts")
        self.name = f"table:{file_hash(path)[:12]}" + argument[len(path) :]
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

    def of_traits(self, rubrics: Sequence[Rubric]) -> TableJudge:
        """Itself: what the table holds of a trait stands in its column; see `base.TraitJudge`."""
        return self


def _options(argument: str) -> tuple[str, How]:
    """The table's path, and how it is read."""
    path, _, rest = argument.rpartition("?")
    if not path or Path(argument).exists():
        return argument, How()
    parts = [part.partition("=") for part in rest.split("&")]
    if unknown := [name for name, _, _ in parts if name not in ("scale", "column")]:
        raise MisdirectionError(f"the judge 'table' has no setting '{unknown[0]}'", "settings are scale= and column=")
    columns = read_told([value for name, _, value in parts if name == "column"])
    return path, How(columns, read_scales([value for name, _, value in parts if name == "scale"]))


def _key(answer: Answer) -> tuple[str, str]:
    return answer.question_id, answer.answer.strip()
