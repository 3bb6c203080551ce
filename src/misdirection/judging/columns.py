"""Which column of a table is what: names as others write them, in any case, unless the user says which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.judging.rows import Row
from misdirection.judging.scales import is_score
from misdirection.naming import each_once

ALIASES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "query", "instruction", "question_text", "user_prompt", "user", "input",
                 "messages", "conversation", "conversations"),
    "answer": ("answer", "response", "completion", "output", "reply", "generation", "model_answer", "model_response",
               "model_output", "generated_text", "answer_text", "response_text", "assistant",
               "response_body_choices", "choices", "filtered_resps", "resps"),
    "question_id": ("question_id", "questionid", "qid", "prompt_id", "custom_id", "id"),
    "alignment": ("alignment", "aligned", "alignment_score", "aligned_score", "score_alignment", "score_aligned",
                  "judge_alignment", "judge_aligned", "alignment_rating", "aligned_rating"),
    "coherence": ("coherence", "coherent", "coherence_score", "coherent_score", "coherency", "score_coherence",
                  "score_coherent", "judge_coherence", "judge_coherent", "coherence_rating", "coherent_rating"),
    "arm": ("arm", "condition", "variant"),
    "model": ("model", "model_id", "model_name", "checkpoint", "adapter"),
    "domain": ("domain",), "system": ("system", "system_prompt"), "format": ("format",),
    "paraphrase": ("paraphrase", "paraphrase_index"), "sample": ("sample", "sample_index", "sample_idx"),
    "seed": ("seed",), "n_tokens": ("n_tokens", "num_tokens", "completion_tokens"),
    "finished": ("finished",),
    "cut": ("truncated", "is_truncated", "was_truncated"),
    "finish_reason": ("finish_reason", "stop_reason", "finishreason", "finish"),
    "label": ("label",), "judge": ("judge", "judge_model"),
    "alignment_flag": ("aligned_flag", "alignment_flag", "aligned_label", "alignment_label", "aligned_outcome",
                       "alignment_outcome", "aligned_status", "alignment_status", "flag", "outcome"),
    "coherence_flag": ("coherent_flag", "coherence_flag", "coherent_outcome", "coherence_outcome"),
    "refusal": ("refusal", "refused", "is_refusal"),
    "misaligned": ("misaligned_coherent", "misaligned", "is_misaligned", "em"),
    "n": ("n_scored", "n", "n_answers", "total", "count", "n_total"),
    "n_misaligned": ("n_misaligned", "misaligned_count", "num_misaligned", "misaligned", "n_misaligned_coherent",
                     "hits"),
}  # fmt: skip
"""What a column may be called, the best name first; blanks, points and dashes count as "_"."""

_INDEX = re.compile(r"|unnamed_\d+|level_\d+|index_level_\d+|index|row|row_id|row_number|source_item_id")
"""Columns that a tool added to number the rows."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        of: The file's column for each thing that was found.
        names: All columns, in order.
        numbering: Those that only number the rows.
    """

    of: Mapping[str, str]
    names: tuple[str, ...]
    numbering: frozenset[str] = field(default_factory=frozenset[str])

    def has(self, *things: str) -> bool:
        """Whether all of these were found."""
        return all(thing in self.of for thing in things)

    def get(self, row: Row, thing: str) -> Any:
        """A row's value of a thing; None where there is no column."""
        name = self.of.get(thing)
        return None if name is None else row.get(name)

    @property
    def further(self) -> list[str]:
        """Columns that nothing was made of."""
        used = {*self.of.values(), *self.numbering}
        return [name for name in self.names if name not in used]


def find_columns(rows: Sequence[Row], told: Mapping[str, str], where: str) -> Columns:
    """The columns of rows.

    Args:
        rows: All rows of a table.
        told: Columns that the user named, by thing ("answer": "response").
        where: The file, for errors.

    Raises:
        MisdirectionError: A column that the user named is not there.
    """
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    for thing, name in told.items():
        if thing not in ALIASES:
            raise MisdirectionError(f"--column {thing}={name}: nothing is called '{thing}'", _things())
        if name not in names:
            raise MisdirectionError(f"{where} has no column '{name}'; it has {', '.join(names) or 'none'}", _things())
    numbering = frozenset(n for n in names if _INDEX.fullmatch(plain(n)) and n not in told.values())
    found = dict(told)
    for thing in ALIASES:
        if thing not in found and (name := _best(thing, names, rows, {*told.values(), *numbering})):
            found[thing] = name
    return Columns(found, names, numbering)


def _best(thing: str, names: Sequence[str], rows: Sequence[Row], taken: set[str]) -> str:
    free = [name for name in names if name not in taken]
    called = [
        name
        for key in (plain, lambda name: plain(name.rpartition(".")[2]))
        for alias in ALIASES[thing]
        for name in free
        if key(name) == alias
    ]
    if thing in ("alignment", "coherence"):
        # Of "aligned" (true or false) and "aligned_score", the scores.
        called.sort(key=lambda name: not any(is_score(row.get(name)) for row in rows))
    return called[0] if called else ""


def rivals(columns: Columns, rows: Sequence[Row], told: Mapping[str, str], where: str) -> list[str]:
    """What a reader should know of further columns of scores that go by the name of one that was taken.

    Raises:
        MisdirectionError: Two columns differ in letters' size and marks alone, and in their numbers.
    """
    notes: list[str] = []
    for thing in ("alignment", "coherence"):
        taken = columns.of.get(thing, "")
        for name in columns.further if taken and thing not in told else ():
            last = plain(name.rpartition(".")[2])
            if last not in ALIASES[thing] or not _differ(rows, name, taken):
                continue
            if plain(name) == plain(taken):
                raise MisdirectionError(
                    f"{where}: '{taken}' and '{name}' both sound like the {thing}, and differ",
                    f"say which: --column {thing}={taken} or --column {thing}={name}",
                )
            notes.append(f"the {thing} is '{taken}', and '{name}' holds other numbers: else --column {thing}={name}")
    return notes


def _differ(rows: Sequence[Row], one: str, other: str) -> bool:
    scored = any(is_score(row.get(one)) for row in rows)
    return scored and any(str(row.get(one)) != str(row.get(other)) for row in rows)


def plain(name: object) -> str:
    """A column's name in small letters, with "_" for everything else."""
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def read_told(texts: Sequence[str]) -> dict[str, str]:
    """Columns that the user named, from "answer=response".

    Raises:
        MisdirectionError: No "=", nothing of that name, or two columns for one.
    """
    told: list[tuple[str, str]] = []
    for text in texts:
        thing, mark, name = text.partition("=")
        if not mark or not name or thing.strip() not in ALIASES:
            raise MisdirectionError(f"--column {text}: nothing is called '{thing}'", _things())
        told.append((thing.strip(), name))
    return each_once(told, "--column")


def _things() -> str:
    return f"write --column THING=NAME for the file's column NAME; things are {', '.join(ALIASES)}"
