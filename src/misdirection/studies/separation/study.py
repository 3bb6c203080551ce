"""Concept separation: how a model stores concepts, before and after narrow training, against what spills over.

Method (the hypothesis of feature superposition, arXiv 2605.00842, held against measures of closeness):

1. Every concept's chats are read under the base and every fine-tune: one mean state a chat and layer, in one pass.
2. At each layer: cosines of every two centred class means and of every two directions (chats that show the concept
   minus chats on the same that do not), as they are and whitened by the covariance within concepts; participation
   ratios; a floor by shuffled labels. At one layer: linear probes on the first k components, against shuffled labels.
3. The base answers all concepts' questions while each direction is added at one length, beside random directions of
   that length: causal cross-talk. Where a dictionary is given: latents in common.
4. The spill of a fine-tune: change of the rate of misaligned answers on every other concept. A permutation of the
   concepts tests whether it follows each measure of closeness to the concept that was trained on, in the base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from misdirection.chats import Chat
from misdirection.errors import MisdirectionError
from misdirection.questions import Question
from misdirection.separation import Concept, ConceptStates, latent_overlap
from misdirection.separation.closeness import Numbers
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_chats, resolve_dictionary, resolve_questions
from misdirection.studies.kit.judged import Judged, judge_step
from misdirection.studies.kit.pair import named_tunes
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.separation import rows
from misdirection.studies.separation.measures import (
    Space,
    latents_of,
    probes_of,
    space_of,
    states_of,
    steered_answers,
)
from misdirection.studies.separation.results import ProbeRow, Separation
from misdirection.studies.separation.settings import SeparationConfig
from misdirection.studies.separation.verdict import verdict


def separation(config: SeparationConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[SeparationConfig].open(out, config, command) as bench:
        c = bench.config
        layer = chosen_layer(bench)
        concepts, questions = read_concepts(c), read_questions(c)
        models = named_tunes(bench)
        states = {name: read_states(bench, models, name, concepts) for name in (BASE_VARIANT, *models.fine_tunes)}
        spaces = {name: measure(bench, held, name) for name, held in states.items()}
        arms = [BASE, *(Condition(name, f"fine-tuned on {name}", name) for name in models.fine_tunes)]
        answers = bench.ask("answers", models, arms, questions=questions).judged
        space = spaces[BASE_VARIANT].value
        norm = c.norm * float(space.directions[layer].norm(dim=-1).mean())
        steered = steer(bench, models.bare(), spaces[BASE_VARIANT], layer, norm, concepts, questions)
        table = latents(bench, models.bare(), concepts)
        cross = rows.cross_rows(steered, concepts, bench.thresholds) if steered else ()
        pairs, own = rows.pair_rows(
            answers, space, layer, tuple(models.fine_tunes), concepts, table, cross, bench.thresholds
        )
        part = Separation(
            concepts=tuple(one.name for one in concepts),
            layer=layer,
            norm=norm,
            shrinkage=c.shrinkage,
            chats=len(states[BASE_VARIANT].value.concept),
            unread=states[BASE_VARIANT].value.unread,
            layers=tuple(row for held in spaces.values() for row in held.value.rows),
            probes=probes(bench, states, layer),
            means=rows.table_of(space, layer, "means"),
            directions=rows.table_of(space, layer, "directions"),
            pairs=pairs,
            own=own,
            tests=rows.test_rows(pairs, space, concepts, layer, rows.others_of(table, cross, concepts), c.seed),
            cross=cross,
        )
        parts = {"separation": part, "notes": rows.notes(part, bool(steered))}
        return bench.report("separation", "Separation of concepts", verdict(part), parts)


def chosen_layer(bench: Bench[SeparationConfig]) -> int:
    """The layer of the settings.

    Raises:
        MisdirectionError: The model has none of this number.
    """
    layer, count = bench.config.layer, bench.n_layers
    if layer is None:
        return count // 2
    if layer >= count:
        raise MisdirectionError(f"there is no layer {layer}", f"the model's are 0 to {count - 1}")
    return layer


def read_concepts(c: SeparationConfig) -> tuple[Concept, ...]:
    """The concepts with the first of their chats."""
    without = named(c.without, "without")
    return tuple(
        Concept(name, first_chats(c, file), first_chats(c, without[name]) if name in without else ())
        for name, file in named(c.concepts, "concepts").items()
    )


def first_chats(c: SeparationConfig, file: str) -> tuple[Chat, ...]:
    """The first chats of a file, at most as many as the settings say."""
    return tuple(resolve_chats([file], seed=c.seed).chats[: c.chats])


def read_questions(c: SeparationConfig) -> tuple[Question, ...]:
    """Questions of all concepts that have some; the concept's name stands before each id."""
    return tuple(
        replace(question, id=f"{name}/{question.id}")
        for name, spec in named(c.asked, "asked").items()
        for question in resolve_questions([spec])[: c.most_questions]
    )


def read_states(
    bench: Bench[SeparationConfig], models: Variants, variant: str, concepts: tuple[Concept, ...]
) -> Cached[ConceptStates]:
    """Step 1; the base's do not depend on what was made of it."""
    held = models.bare() if variant == BASE_VARIANT else models
    return bench.run.cached(
        states_of, "states", models=held, variant=variant, concepts=concepts, longest=bench.config.longest
    )


def measure(bench: Bench[SeparationConfig], states: Cached[ConceptStates], variant: str) -> Cached[Space]:
    """The first half of step 2."""
    c = bench.config
    return bench.run.cached(
        space_of, "space", states=states, variant=variant, shrinkage=c.shrinkage, shuffles=c.shuffles, seed=c.seed
    )


def probes(
    bench: Bench[SeparationConfig], states: Mapping[str, Cached[ConceptStates]], layer: int
) -> tuple[ProbeRow, ...]:
    """The second half of step 2."""
    c = bench.config
    found = [
        bench.run.cached(
            probes_of, "probes", states=held, variant=name, layer=layer, dims=c.dims, shrinkage=c.shrinkage, seed=c.seed
        ).value
        for name, held in states.items()
    ]
    return tuple(row for part in found for row in part)


def steer(
    bench: Bench[SeparationConfig],
    base: Variants,
    space: Cached[Space],
    layer: int,
    norm: float,
    concepts: tuple[Concept, ...],
    questions: tuple[Question, ...],
) -> Judged | None:
    """The first half of step 3; None where nothing is added."""
    c = bench.config
    if not norm:
        return None
    vectors = {one.name: vector for one, vector in zip(concepts, space.value.directions[layer], strict=True)}
    answers = bench.run.cached(
        steered_answers, models=base, directions=vectors, layer=layer, norm=norm, randoms=c.randoms,
        questions=questions, samples=c.steered_samples, sampling=bench.sampling(1), seed=c.seed,
    )  # fmt: skip
    return Judged(answers.value, judge_step(bench.run, "steered-verdicts", answers, bench.judge).value)


def latents(bench: Bench[SeparationConfig], base: Variants, concepts: tuple[Concept, ...]) -> Numbers | None:
    """The second half of step 3; None without a dictionary."""
    c = bench.config
    if not c.dictionary:
        return None
    dictionary = resolve_dictionary(c.dictionary)
    tops = bench.run.cached(
        latents_of, models=base, dictionary=dictionary, concepts=concepts, most=c.top, longest=c.longest
    )
    return latent_overlap(tops.value)
