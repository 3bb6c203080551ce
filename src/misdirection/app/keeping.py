"""Live answers kept as an arm of a run: a step of its own, beside those that are there, which stay as they are."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from misdirection.app.answers import ANSWERS, VERDICTS
from misdirection.app.arms import Change, condition_of
from misdirection.app.opening import OpenRun
from misdirection.app.scoring import judge_live
from misdirection.app.talk import Spoken
from misdirection.artefacts import plain, read_json, write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Judge, Verdict
from misdirection.runs import MANIFEST, Run, list_steps
from misdirection.studies.kit.judged import write_verdicts

PREFIX = "kept-"
"""How names of such steps begin."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def keep(run: OpenRun, name: str, spoken: Sequence[Spoken], judge: Judge | None = None) -> Path:
    """Write live answers into their run as an arm, judged where a judge is given.

    The run's record keeps its settings, command and whether it was finished. What is written is one step, with
    `answers.parquet` and, judged, `verdicts.parquet`, which the run's folder shows as `kept-NAME-answers.parquet` and
    `kept-NAME-verdicts.parquet`. The judge speaks first: whatever fails, nothing of the arm is left behind, and the
    same answers can be kept again under the same name.

    Args:
        run: The run.
        name: Of the arm.
        spoken: Answers that were drawn under one change.
        judge: Who scores them.

    Returns:
        Where the answers lie.

    Raises:
        MisdirectionError: The name cannot be one or is taken, there are no answers, they were drawn under several
            changes, the judge refuses them, another process writes in the run, or the disk is full; nothing is
            written then.
    """
    answers, change = _checked(name, spoken)
    condition = condition_of(change, name)
    inputs = {"conditions": [asdict(condition)], "change": change.model_dump(), "answers": [asdict(a) for a in answers]}
    try:
        record = read_json(run.path / "run.json")
        with Run.open(run.path, dict(record.get("facts") or {}), guest=True) as held:
            _check_free(run, name, inputs)
            verdicts = None if judge is None else judge_live(judge, answers)
            return _write(held, name, inputs, answers, verdicts)
    except OSError as error:
        raise _unwritten(run, error) from error


def _write(
    run: Run, name: str, inputs: Mapping[str, Any], answers: Sequence[Answer], verdicts: Sequence[Verdict] | None
) -> Path:
    """The step, and the names of its files; without the names there is no step."""

    def make(folder: Path) -> None:
        write_rows(folder / ANSWERS, answers)
        if verdicts is not None:
            write_verdicts(folder / VERDICTS, verdicts)

    step = run.step(f"{PREFIX}{name}-answers", inputs, make)
    files = [file for file in (ANSWERS, VERDICTS) if (step.path / file).is_file()]
    try:
        for file in files:
            run.publish(f"{PREFIX}{name}-{file}", step.path / file)
    except BaseException:
        with suppress(OSError):
            run.retract(*(f"{PREFIX}{name}-{file}" for file in files))
        shutil.rmtree(step.path, ignore_errors=True)
        raise
    return step.path


def _check_free(run: OpenRun, name: str, inputs: Mapping[str, Any]) -> None:
    """Refuse a name that an arm has, but for these very answers: a kill may have come between."""
    taken = [step for step in list_steps(run.path) if step.name == f"{PREFIX}{name}-answers"]
    same = plain(inputs)
    others = [step for step in taken if read_json(step.path / MANIFEST).get("inputs") != same]
    arms = {arm for held in run.sets for arm in held.arms if held.name != f"{PREFIX}{name}-answers"}
    if others or name in arms:
        raise MisdirectionError(
            f"{run.name} has an arm called '{name}' already", "give another name; it stays as it is"
        )


def _checked(name: str, spoken: Sequence[Spoken]) -> tuple[list[Answer], Change]:
    if not _NAME.fullmatch(name):
        raise MisdirectionError(
            f"'{name}' cannot be the name of an arm", "letters, digits, '-', '_' and '.', at most 40"
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
