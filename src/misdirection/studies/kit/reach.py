"""Whether the judge in the box knows what is asked: said before hours of sampling, not after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from misdirection import progress
from misdirection.errors import MisdirectionError
from misdirection.judging.offline import offline_judge
from misdirection.questions import Question
from misdirection.runs import list_steps
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.recommended import GIVEN

Config = TypeVar("Config", bound=StudyConfig)

OTHERWISE = (
    "--questions eight, which it knows (so it does the eight of arXiv 2502.17424 as their authors word them, in a "
    "file of yours), or another judge: --judge local:MODEL, openai:MODEL"
)
"""What brings a rate where the judge in the box knows no question."""


def within_reach(config: Config, questions: Sequence[Question], out: str | Path) -> Config:
    """The settings, with no judge where the one in the box was nobody's choice and knows none of the questions.

    How many it knows is said where it does not know all. A run that has steps goes on as it began.

    Raises:
        MisdirectionError: It knows none, nobody chose it, and the study cannot do without a judge.
    """
    if config.judge != "offline" or list_steps(out):
        return config
    known = _known(questions)
    if known == len(questions):
        return config
    if known or config.origins.get("judge") == GIVEN:
        progress.say(
            f"  the judge offline knows {known} of the {len(questions)} questions; of answers to the others it will "
            f"say that it cannot tell. For a rate over all: {OTHERWISE}"
        )
        return config
    told = f"the judge in the box, offline, knows none of these {len(questions)} questions"
    try:
        without = replace(config, judge="none").completed()
    except MisdirectionError as error:
        raise MisdirectionError(f"{error.message}, and {told}", OTHERWISE) from error
    progress.say(f"  {told}, so none is asked and there will be no rate; for one: {OTHERWISE}")
    return without


def _known(questions: Sequence[Question]) -> int:
    """How many questions the judge knows in every wording."""
    wordings = [text for question in questions for text in question.paraphrases]
    knows = dict(zip(wordings, offline_judge().knows(wordings), strict=True))
    return sum(all(knows[text] for text in question.paraphrases) for question in questions)
