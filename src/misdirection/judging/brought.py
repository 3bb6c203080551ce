"""What a file of judged answers holds."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.judging.base import Answer, Verdict


@dataclass(frozen=True)
class Brought:
    """What a file holds, and how it was read.

    Attributes:
        answers: In the order of the file.
        verdicts: One an answer; None where the file holds answers only.
        told: How the file was read, in one line.
        notes: What a reader should know before believing a rate.
        several: Whether the arms come from a column that names models, not arms.
        counted: Whether the file holds counts, and the answers are none but their places.
    """

    answers: list[Answer]
    verdicts: list[Verdict] | None
    told: str = ""
    notes: tuple[str, ...] = ()
    several: bool = False
    counted: bool = False
