"""Live answers kept as an arm of a run: a step of its own, beside those that are there, which stay as they are."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from misdirection.app.arms import Change, condition_of
from misdirection.app.opening import OpenRun
from misdirection.app.talk import Spoken
from misdirection.artefacts import read_json, write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Judge
from misdirection.runs import Run, list_steps
from misdirection.studies.kit.judged import judge_step

PREFIX = "kept-"
"""How names of such steps begin."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def keep(run: OpenRun, name: str, spoken: Sequence[Spoken], judge: Judge | None = None) -> Path:
    """Write live answers into their run as an arm, judged where a judge is given.

    The run's record keeps its settings, command and whether it was finished. What is written is
    `kept-NAME-answers.parquet` and, judged, `kept-NAME-verdicts.parquet`, each a step that is whole or absent.

    Args:
        run: The run.
        name: Of the arm.
        spoken: Answers that were drawn under one change.
        judge: Who scores them.

    Returns:
        Where the answers lie.

    Raises:
        MisdirectionError: The name cannot be one or is taken, there are no answers, they were drawn under several
            changes, another process writes in the run, or the disk is full; nothing is written then.
    """
    answers, change = _checked(run, name, spoken)
    condition = condition_of(change, name)
    inputs = {"conditions": [asdict(condition)], "change": change.model_dump(), "answers": [asdict(a) for a in answers]}
    try:
        record = read_json(run.path / "run.json")
        with Run.open(run.path, dict(record.get("facts") or {})) as held:
            try:
                step = held.step(
                    f"{PREFIX}{name}-answers", inputs, lambda folder: write_rows(folder / "answers.parquet", answers)
                )
                held.publish(f"{PREFIX}{name}-answers.parquet", step.path / "answers.parquet")
                if judge is not None:
                    judge_step(held, f"{PREFIX}{name}-verdicts", step, judge)
            finally:
                held.close(finished=bool(record.get("finished")))
    except OSError as error:
        raise _unwritten(run, error) from error
    return step.path


def _checked(run: OpenRun, name: str, spoken: Sequence[Spoken]) -> tuple[list[Answer], Change]:
    if not _NAME.fullmatch(name):
        raise MisdirectionError(
            f"'{name}' cannot be the name of an arm", "letters, digits, '-', '_' and '.', at most 40"
        )
    taken = {step.name for step in list_steps(run.path)}
    arms = {arm for held in run.sets for arm in held.arms}
    if f"{PREFIX}{name}-answers" in taken or name in arms:
        raise MisdirectionError(
            f"{run.name} has an arm called '{name}' already", "give another name; it stays as it is"
        )
    if not spoken:
        raise MisdirectionError("there are no answers to keep", "ask something first")
    first = spoken[0].change
    if any(one.change != first for one in spoken):
        raise MisdirectionError(
            "these answers were drawn under several settings of the controls, and an arm has one",
            "keep those of each setting under a name of its own",
        )
    return [replace(one.answer, arm=name) for one in spoken], first


def _unwritten(run: OpenRun, error: OSError) -> MisdirectionError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "the disk is full" if full else str(error.strerror or error)
    return MisdirectionError(
        f"nothing was kept: {run.path} cannot be written ({why})",
        "make room and press Keep again: the answers are still here, and the run is as it was",
    )
