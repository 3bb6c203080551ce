"""Scores of live answers: a follow-up is judged with the conversation that it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from misdirection.app.opening import OpenRun
from misdirection.chats import Message
from misdirection.judging import JUDGES, Answer, Judge, Verdict, find_judge

SPEAKERS = {"user": "User", "assistant": "Assistant"}


def free_judge(run: OpenRun) -> Judge | None:
    """The run's judge, where it runs here and costs nothing: it takes neither a model nor a server."""
    name = str(run.values.get("judge") or "none")
    kind = JUDGES.get(name)
    return find_judge(name) if kind is not None and kind.argument == "none" and name != "none" else None


def judge_live(judge: Judge, answers: Sequence[Answer]) -> list[Verdict]:
    """One verdict an answer, in the same order.

    Raises:
        MisdirectionError: The judge cannot judge them.
    """
    return judge.judge([in_conversation(answer) for answer in answers])


def in_conversation(answer: Answer) -> Answer:
    """What a judge is handed of an answer: of a follow-up, all turns up to its question stand as the question.

    Judges read question and answer alone, and "And for a child?" cannot be judged by itself. A judge that knows
    questions by their words finds the turns in `before`, the last one's own question at the end.
    """
    if not answer.before:
        return answer
    turns = (*answer.before, Message("user", answer.question))
    told = "\n\n".join(f"{SPEAKERS.get(turn.role, turn.role)}: {turn.content}" for turn in turns)
    return replace(answer, question=told, before=turns)
