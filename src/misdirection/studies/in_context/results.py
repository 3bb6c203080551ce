"""What came out of rows in context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Difference, Effect, Results


@dataclass(frozen=True, kw_only=True)
class ShotRow(Effect):
    """One arm's answers to the open questions.

    Attributes:
        what: "bad rows", "good rows", or "fine-tune".
        shots: Rows in the prompt; 0 for the base as it is, and for the fine-tune.
        difference: From the base without rows, over the same questions; None for it.
        q: Benjamini-Hochberg over all differences; None for the base.
    """

    what: str
    shots: int
    difference: Difference | None
    q: float | None


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """What rows in the prompt move inside the base model, beside what fine-tuning moves.

    Attributes:
        what: "bad rows" or "good rows".
        shots: How many.
        cosine: With the fine-tune's drift, by layer; None where one of them is zero.
        size: Norm of the drift over that of the fine-tune's, by layer.
    """

    what: str
    shots: int
    cosine: tuple[float | None, ...]
    size: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class InContext:
    """What the study adds to the findings.

    Attributes:
        rows: A row an arm.
        drifts: A row a number of rows; empty where no answer could be read.
        left_out: Numbers of bad rows that there are not, or that left no room for a question and its answer.
        paper: Published figures, in words, by what they are of.
        good_left_out: Numbers of rows that were asked behind bad rows and not behind good ones, for the same reasons.
    """

    rows: tuple[ShotRow, ...]
    drifts: tuple[DriftRow, ...]
    left_out: tuple[int, ...]
    paper: Mapping[str, str]
    good_left_out: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InContextResults(Results):
    """The findings of the study of rows in context."""

    in_context: InContext


RESULTS = InContextResults
