"""How strongly answers show traits, by any judge that can say so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Journaled, Judge, TraitJudge, Verdict
from misdirection.store import Workspace
from misdirection.traits.trait import Trait


def judge_of(judge: Judge, traits: Sequence[Trait]) -> Judge:
    """The judge, asked for coherence and for every one of the traits.

    Raises:
        MisdirectionError: It scores no traits, or not one of these.
    """
    if not isinstance(judge, TraitJudge):
        raise MisdirectionError(
            f"the judge '{judge.name}' scores no traits",
            "--judge local:<model>, openai:<model>, or table:<file> with a column a trait; exact for the organism's",
        )
    return judge.of_traits([trait.asked() for trait in traits])


def trait_verdicts(
    answers: list[Answer], judge: Judge, traits: tuple[Trait, ...], workspace: Workspace
) -> list[Verdict]:
    """Coherence of each answer and its score for every trait."""
    able = judge_of(judge, traits)
    if isinstance(able, Journaled):
        able = able.with_journal(workspace / "journal.jsonl")
    return able.judge(answers)


def trait_score(verdict: Verdict, trait: str) -> float:
    """What a judge said of a trait, 0 .. 100; NaN where it said nothing.

    A rubric calls the score "trait:<name>", a table's column may be called by the name alone.
    """
    held = dict(verdict.scores)
    return held.get(f"trait:{trait}", held.get(trait, math.nan))


def score_table(verdicts: Sequence[Verdict], traits: Sequence[str]) -> NDArray[np.float64]:
    """Scores of all answers for all traits, 0 .. 100, NaN where there is none; shape (answers, traits)."""
    found = [[trait_score(verdict, name) for name in traits] for verdict in verdicts]
    return np.array(found, dtype=np.float64).reshape(len(verdicts), len(traits))
