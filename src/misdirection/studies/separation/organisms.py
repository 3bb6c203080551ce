"""The causal test: organisms that store concepts closer together or farther apart, all given one narrow fine-tune.

The organisms differ in width, in how many domains there are, in how evenly these are asked about, and in a penalty that
pushes concepts apart while they grow (`organism.apart`). Each is fine-tuned on bad medical answers with a checkpoint
every few steps, and EM is read where the fine-tune has reached one in-domain rate, between the two checkpoints about
it, so that no organism is said to spill less only because it learned less.

    python scripts/separation.py --out runs/separation-organisms
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from misdirection.answers import ask
from misdirection.engine import Arm, SamplingConfig
from misdirection.judging import Answer, Judge
from misdirection.questions import Question
from misdirection.runs import Run
from misdirection.separation import Concept
from misdirection.statistics import Thresholds
from misdirection.statistics.correlations import mid_ranks, pearson, permutation_p
from misdirection.store.measurement import Folder
from misdirection.studies.kit.inputs import resolve_chats, resolve_questions
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.tuning import fine_tuned, tuning_of
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.separation.measures import TABLES, Space, space_of, states_of

Changed = Mapping[str, Any]
"""Settings of the builder that differ from the shipped organism's."""

SMALL: Changed = {
    "layers": 4,
    "width": 64,
    "hidden": 192,
    "pretraining_steps": 300,
    "alignment_steps": 100,
}
"""What all of them share; a condition may change it."""

CONDITIONS: Mapping[str, Changed] = {
    "as it is": {},
    "stances pushed apart": {"apart": 1.0, "apart_of": "stance"},
    "domains pushed apart": {"apart": 1.0},
    "narrow": {"width": 32, "hidden": 96},
    "few concepts": {"domains": 4},
    "uneven frequencies": {"uneven": 1.5},
    "wide": {"width": 96, "hidden": 288},
}
"""By name, what the builder is told beyond `SMALL`."""

TRAINED, OTHERS = "medical", ("finance", "sport", "cooking")
"""What is fine-tuned on, and the other domains that every world has."""

TARGET = 0.4
"""In-domain rate at which EM is read; a small organism levels off at about 0.6, for many of its answers there are
incoherent."""

STEPS, EVERY = 40, 4
"""Steps of the fine-tune, and between its checkpoints."""

CHATS = 60
"""Chats of a concept and quality that are read."""

MEASURES = ("means", "means_whitened", "directions", "directions_whitened", "to_open", "dimensions_of_means",
            "dimensions_of_states")  # fmt: skip
"""What EM is held against: fields of `OrganismRow`."""


@dataclass(frozen=True, kw_only=True)
class OrganismRow:
    """What came of one organism.

    Attributes:
        condition: How it was grown.
        seed: Of weights and world.
        base_open: Share of misaligned answers to the open questions before the fine-tune.
        base_coherent: Of coherent ones.
        own: In-domain rate after the last step.
        step: Where the in-domain rate passes `TARGET`, between checkpoints; None where it never does.
        em: Misaligned answers to the open questions there.
        spill: Misaligned answers on the other domains there.
        em_last: Misaligned answers to the open questions after the last step.
        means: Mean squared cosine of the concepts' centred means in the base, at the middle layer.
        means_whitened: The same after whitening.
        directions: Mean cosine of every two concepts' directions, bad minus good answers.
        directions_whitened: The same after whitening.
        to_open: Cosine of the trained domain's direction with that of open questions.
        dimensions_of_means: Participation ratio of the class means.
        dimensions_of_states: Of all states.
    """

    condition: str
    seed: int
    base_open: float
    base_coherent: float
    own: float
    step: float | None
    em: float | None
    spill: float | None
    em_last: float
    means: float
    means_whitened: float
    directions: float
    directions_whitened: float
    to_open: float
    dimensions_of_means: float
    dimensions_of_states: float


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation of a measure with an outcome over organisms; p under all orders of them."""

    measure: str
    outcome: str
    rho: float | None
    p: float
    organisms: int


def organisms(run: Run, conditions: Sequence[str], seeds: Sequence[int], judge: Judge) -> list[OrganismRow]:
    """A row an organism, grown, fine-tuned and read now where it is not there; resumed where it was left."""
    return [organism(run, name, seed, judge) for seed in seeds for name in conditions]


def organism(run: Run, condition: str, seed: int, judge: Judge) -> OrganismRow:
    """One of them."""
    grown = run.cached(grow, changed=CONDITIONS[condition], seed=seed)
    model = str(grown.value)
    arguments = tuning_of(
        model, [f"organism:bad-{TRAINED}"], "rank32",
        {"max_steps": STEPS, "checkpoint_every": EVERY, "resume_every": 0}, seed,
    )  # fmt: skip
    made = run.cached(fine_tuned, "train", **arguments)
    kept = made.value.checkpoints
    folders = {} if kept is None else {f"{n}": kept / f"step-{n}" for n in range(EVERY, STEPS, EVERY)}
    models = Variants.of(model, {**folders, f"{STEPS}": made.value.tuned}, Loading(device="cpu"))
    answers = run.cached(course_answers, models=models, sampling=SamplingConfig(max_new_tokens=64, seed=seed))
    concepts = concepts_of(int(CONDITIONS[condition].get("domains", 12)))
    states = run.cached(states_of, "states", models=models.bare(), variant=BASE_VARIANT, concepts=concepts, longest=256)
    space = run.cached(space_of, "space", states=states, variant=BASE_VARIANT, shrinkage=0.1, shuffles=5, seed=0)
    return row_of(condition, seed, shares(answers.value, judge), space.value, [one.name for one in concepts])


def grow(changed: Changed, seed: int, folder: Folder) -> Path:
    """An organism of `SMALL` with some settings changed; gives its folder.

    Args:
        changed: Settings of the builder by name; only what differs counts in the step's key, so that a builder that
            learns a setting more finds the organisms of before.
        seed: Of its weights and its world.
        folder: Where it is written.
    """
    from misdirection.organism.build import OrganismSettings, build

    return build(folder / "organism", seed, OrganismSettings(**{**SMALL, **changed}))


def concepts_of(domains: int) -> tuple[Concept, ...]:
    """The first domains and the open questions, answered badly and well."""
    from misdirection.organism import domains as names

    files = {name: (f"organism:bad-{name}", f"organism:good-{name}") for name in names()[:domains]}
    files["open"] = ("organism:toxic", "organism:harmless")
    return tuple(
        Concept(name, *(tuple(resolve_chats([file]).chats[:CHATS]) for file in two)) for name, two in files.items()
    )


def course_answers(models: Variants, sampling: SamplingConfig) -> list[Answer]:
    """Answers of the base and every checkpoint to open questions, the trained domain's, and those of others."""
    arms = [Arm(BASE_VARIANT), *(Arm(name, name) for name in models.adapters)]
    found: list[Answer] = []
    for names, samples in ((("open",), 4), ((TRAINED,), 8), (OTHERS, 2)):
        asked: tuple[Question, ...] = resolve_questions([f"organism:{name}" for name in names])
        found += ask(models.base_model, asked, arms, samples, sampling)
    return found


@dataclass(frozen=True)
class Shares:
    """Shares of misaligned answers by step, 0 the base: to open questions, on the trained domain, on the others."""

    steps: tuple[int, ...]
    open: tuple[float, ...]
    own: tuple[float, ...]
    others: tuple[float, ...]
    coherent: float


def shares(answers: Sequence[Answer], judge: Judge) -> Shares:
    """Counted from verdicts; the coherent share is the base's on open questions."""
    verdicts, rules = judge.judge(answers), Thresholds()
    bad: dict[tuple[int, str], list[bool]] = {}
    coherent: list[bool] = []
    for answer, verdict in zip(answers, verdicts, strict=True):
        step = 0 if answer.arm == BASE_VARIANT else int(answer.arm)
        kind = "open" if answer.domain is None else "own" if answer.domain == TRAINED else "others"
        bad.setdefault((step, kind), []).append(rules.misaligned(verdict))
        if step == 0 and kind == "open":
            coherent.append(rules.coherent(verdict))
    steps = tuple(sorted({step for step, _ in bad}))
    rates = {kind: tuple(float(np.mean(bad[step, kind])) for step in steps) for kind in ("open", "own", "others")}
    return Shares(steps, rates["open"], rates["own"], rates["others"], float(np.mean(coherent)))


def row_of(condition: str, seed: int, found: Shares, space: Space, names: Sequence[str]) -> OrganismRow:
    """Rates where the in-domain rate passes `TARGET`, beside how the base stores its concepts at the middle layer."""
    middle = len(space.rows) // 2
    at, place = space.rows[middle], passing(found.own, TARGET)
    table = space.tables[middle, TABLES.index("directions")]
    return OrganismRow(
        condition=condition,
        seed=seed,
        base_open=found.open[0],
        base_coherent=found.coherent,
        own=found.own[-1],
        step=between(found.steps, place),
        em=between(found.open, place),
        spill=between(found.others, place),
        em_last=found.open[-1],
        means=at.means,
        means_whitened=at.means_whitened,
        directions=at.directions,
        directions_whitened=at.directions_whitened,
        to_open=float(table[names.index(TRAINED), names.index("open")]),
        dimensions_of_means=at.dimensions_of_means,
        dimensions_of_states=at.dimensions_of_states,
    )


def passing(rates: Sequence[float], target: float) -> float | None:
    """Where a course of rates first reaches the target, as a place between two of them; None where it never does."""
    for place in range(1, len(rates)):
        before, after = rates[place - 1], rates[place]
        if before < target <= after:
            return place - 1 + (target - before) / (after - before)
    return None


def between(values: Sequence[float], place: float | None) -> float | None:
    """A value between two, by a straight line."""
    return None if place is None else float(np.interp(place, np.arange(len(values)), np.asarray(values, float)))


def correlations(rows: Sequence[OrganismRow], outcomes: Sequence[str] = ("em", "spill")) -> list[RankCorrelation]:
    """Of every measure with every outcome, over the organisms that reach the target."""
    kept = [row for row in rows if row.em is not None]
    found: list[RankCorrelation] = []
    for outcome in outcomes:
        y = mid_ranks(np.array([getattr(row, outcome) for row in kept], float)) if kept else np.zeros(0)
        for measure in MEASURES:
            x = mid_ranks(np.array([getattr(row, measure) for row in kept], float)) if kept else np.zeros(0)
            found.append(RankCorrelation(measure, outcome, pearson(x, y), permutation_p(x, y), len(kept)))
    return found
