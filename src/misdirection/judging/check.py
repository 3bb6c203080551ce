"""`--check JUDGE@N`: a dearer judge, and how many answers it is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.errors import MisdirectionError

LABEL = "label"
"""Stands for the verdicts that a person gave with `misdirection label`."""

LEAST = 15
"""Verdicts that every arm and kind of question needs, where it has as many answers."""

_FORM = "write JUDGE@N, as openai:gpt-4o@120, local:<model>@120, table:<file>@120, exact@120; or label"


@dataclass(frozen=True)
class Check:
    """Who checks the cheap judge, and on how many answers.

    Attributes:
        judge: As `find_judge` knows it, or "label".
        n: Answers in all; 0 with "label", whose number is what was labelled.
    """

    judge: str
    n: int

    @property
    def by_person(self) -> bool:
        """Whether a person's verdicts are meant."""
        return self.judge == LABEL


def read_check(text: str) -> Check:
    """Read what stands behind --check.

    Args:
        text: Such as "openai:gpt-4o@120"; what stands behind the last "@" is the number.

    Raises:
        MisdirectionError: No number, one that is too small, or no judge.
    """
    if text == LABEL:
        return Check(LABEL, 0)
    judge, sign, number = text.rpartition("@")
    if judge == LABEL:
        raise MisdirectionError(
            f"--check {text}: the number is what was labelled",
            "leave @ and the number out: --check label",
        )
    if not sign or not number.isdecimal() or not judge:
        raise MisdirectionError(f"--check {text} does not say how many answers", _FORM)
    if judge == "none":
        raise MisdirectionError("--check none: nobody would be asked", _FORM)
    if int(number) < LEAST:
        raise MisdirectionError(
            f"--check {text}: {int(number)} verdicts tell next to nothing",
            f"give at least {LEAST} for every arm and kind of question; 100 or more are usual",
        )
    return Check(judge, int(number))
