"""What is known of how far a judge can be trusted: said beside every rate that is made of its verdicts."""

from __future__ import annotations

from collections.abc import Iterable

ERROR = "judge's error"
"""The setting under which findings say it."""


def standing(judges: Iterable[str]) -> str:
    """What is known of the error of some judges, in a sentence each; "" where nothing is.

    Args:
        judges: As they are named on the command line ("offline") or in verdicts ("offline@1").
    """
    return " ".join(dict.fromkeys(text for judge in judges if (text := _of(judge))))


def _of(judge: str) -> str:
    if judge.partition("@")[0] != "offline":
        return ""
    from misdirection.judging.offline import card

    return card.sentence(judge)
