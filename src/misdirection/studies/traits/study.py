"""The map of traits: many directions of character, how they lie to one another, and what fine-tuning moves.

Method, after arXiv 2412.10427 (directions against neutral prompts, induction, the map) and 2601.10387 (the axis):

1. The base model answers the same questions under the prompts of every trait, under neutral prompts, and without any,
   in one queue. At one layer: mean answer of each role, over all questions and over each half of them.
2. A trait's direction: its mean minus the neutral one. The assistant axis: the mean without any prompt minus the mean
   of all roles.
3. Cosines of every two; groups by average linkage; the number of dimensions by principal components, by what one half
   of the questions finds and the other shows again, and by metric scaling; a map of two dimensions. The correlation of
   the halves' cosines, and what is left between their maps, say how far it can be trusted.
4. Induction: the component along a trait is set to alpha times that of its own answers, a sweep over alpha.
5. Fine-tunes: the shift of the last prompt token along each trait (2507.21509 section 4.2), without system prompt.
   Where it is known on which trait a fine-tune was trained: rank correlation, over all other traits, of their likeness
   to it with their shift; p under orders of the shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.questions import Question
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_traits
from misdirection.studies.kit.pair import named_tunes
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.traits import rows
from misdirection.studies.traits.measures import (
    RoleMeans,
    induced_answers,
    last_token_places,
    role_answers,
    role_means,
    role_questions,
)
from misdirection.studies.traits.paper import PAPER
from misdirection.studies.traits.results import InducedRow, MoveRow, RankRow, TraitMap
from misdirection.studies.traits.settings import TraitsConfig
from misdirection.studies.traits.verdict import verdict
from misdirection.traits import Trait
from misdirection.traits.scoring import trait_verdicts
from misdirection.traits.steering import evaluation_questions

LEAST = 4
"""Traits that make a map."""


def traits(config: TraitsConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input, or fewer traits than make a map.
    """
    with Bench[TraitsConfig].open(out, config, command) as bench:
        known = defined_traits(bench)
        tuned = named_tunes(bench)
        base = tuned.bare()
        layer = bench.n_layers // 2 if bench.config.layer is None else bench.config.layer
        means = find_means(bench, base, known, layer)
        space = rows.space_of(means.value, known)
        moved, ranks = follow(bench, tuned, known, space, layer)
        part = TraitMap(
            layer=layer,
            answers=means.value.answers,
            names=tuple(row.trait for row in space.places),
            places=space.places,
            dimensions=space.dimensions,
            moved=moved,
            ranks=ranks,
            induced=induce(bench, base, known, space, means.value, layer),
            paper=PAPER,
        )
        notes = rows.notes(means.value, bool(tuned.fine_tunes))
        return bench.report("traits", "A map of traits", verdict(part), {"traits": part, "notes": notes})


def defined_traits(bench: Bench[TraitsConfig]) -> tuple[Trait, ...]:
    """The traits of the settings.

    Raises:
        MisdirectionError: Too few, or a setting names one that is not among them, or a layer that is not there.
    """
    found = resolve_traits(bench.config.traits)
    names = [trait.name for trait in found]
    if len(found) < LEAST:
        raise MisdirectionError(f"{len(found)} traits make no map", f"{LEAST} or more; lexicon holds 60")
    wanted = (*bench.config.induce, *named(bench.config.trained, "trained").values())
    if strange := [name for name in wanted if name not in names]:
        raise MisdirectionError(f"--traits holds no trait '{strange[0]}'", did_you_mean(strange[0], names, "there are"))
    if bench.config.layer is not None and bench.config.layer >= bench.n_layers:
        raise MisdirectionError(f"there is no layer {bench.config.layer}", f"the model's are 0 to {bench.n_layers - 1}")
    return found


def find_means(bench: Bench[TraitsConfig], base: Variants, known: tuple[Trait, ...], layer: int) -> Cached[RoleMeans]:
    """Step 1."""
    asked = role_questions(known, bench.config.most_questions)
    answers = bench.run.cached(
        role_answers, models=base, questions=asked, samples=bench.config.samples, sampling=bench.sampling()
    )
    return bench.run.cached(role_means, models=base, answers=answers, layer=layer, how=bench.convention)


def follow(
    bench: Bench[TraitsConfig], tuned: Variants, known: tuple[Trait, ...], space: rows.Space, layer: int
) -> tuple[tuple[MoveRow, ...], tuple[RankRow, ...]]:
    """Step 5; nothing where there is no fine-tune."""
    if not tuned.fine_tunes:
        return (), ()
    asked = plain_questions(bench, known)
    along = {
        variant: bench.run.cached(
            last_token_places, "last-tokens", models=tuned, variant=variant, questions=asked, units=space.units,
            layer=layer,
        ).value
        for variant in (BASE_VARIANT, *tuned.fine_tunes)
    }  # fmt: skip
    moved = rows.move_rows(space, along, [question.id for question in asked], bench.config.seed)
    trained = named(bench.config.trained, "trained")
    return moved, tuple(rows.rank_row(space, moved, name, trait, bench.config.seed) for name, trait in trained.items())


def plain_questions(bench: Bench[TraitsConfig], known: Sequence[Trait]) -> tuple[Question, ...]:
    """What fine-tunes are read on: --questions, or the traits' questions of evaluation, each once."""
    if bench.questions:
        return bench.questions
    held = evaluation_questions(known, bench.config.most_questions).values()
    return tuple({question.id: question for questions in held for question in questions}.values())


def induce(
    bench: Bench[TraitsConfig],
    base: Variants,
    known: tuple[Trait, ...],
    space: rows.Space,
    means: RoleMeans,
    layer: int,
) -> tuple[InducedRow, ...]:
    """Step 4, for the traits of --induce."""
    c = bench.config
    chosen = tuple(trait for trait in known if trait.name in c.induce)
    if not chosen:
        return ()
    units: dict[str, Tensor] = {trait.name: space.unit(trait.name) for trait in chosen}
    components = {
        name: float(torch.dot(means.means[means.names.index(name), 0], unit.double())) for name, unit in units.items()
    }
    answers = bench.run.cached(
        induced_answers, models=base, traits=chosen, units=units, components=components, alphas=c.alphas, layer=layer,
        samples=c.induce_samples, sampling=bench.sampling(1), most=c.most_questions,
    )  # fmt: skip
    verdicts = bench.run.cached(trait_verdicts, "induced-verdicts", answers=answers, judge=bench.judge, traits=chosen)
    return rows.induced_rows(answers.value, verdicts.value, chosen, c.alphas, c.coherence_above)
