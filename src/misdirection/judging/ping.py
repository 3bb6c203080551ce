"""Whether a judge can be asked at all, found out before anything is loaded: one cheap question to its server."""

from __future__ import annotations

from misdirection.errors import MisdirectionError
from misdirection.judging.base import Judge
from misdirection.judging.retries import JudgeError
from misdirection.judging.rubric_judge import RubricJudge
from misdirection.judging.scoring import Reading


def ping(judge: Judge) -> None:
    """Ask a judge that stands behind a server one cheap question; any other judge is at hand, and nothing is done.

    How it wants to be asked is learned by the way, what it says is not kept. A server that is there and busy passes.

    Raises:
        JudgeError: Nobody answers, or what answers takes neither key, model nor question.
    """
    if not isinstance(judge, RubricJudge) or judge.probe is None:
        return
    said: list[Reading] = []
    try:
        judge.probe(said.append)
    except JudgeError as error:
        if getattr(error.__cause__, "busy", False):
            return
        raise JudgeError(error.message, _hint(error)) from error
    if any(reading.outcome == "malformed" for reading in said):
        raise JudgeError(
            f"{judge.model} answers, but not as a judge: no reply of the protocol came back",
            "check the base URL (most end in /v1) and the model; nothing was loaded or asked yet",
        )


def _hint(error: MisdirectionError) -> str:
    """The error's own hint; that of a judge that fails midway would not be true here."""
    own = "" if "so far is kept" in (error.hint or "") else error.hint
    return f"{own or 'check that the server runs and its base URL'}; nothing was loaded or asked yet"
