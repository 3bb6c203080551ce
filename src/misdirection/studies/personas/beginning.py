"""What every way of the study does alike: its traits, their vectors, their prompts, and where tokens lie along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from misdirection.chats import Chat
from misdirection.directions.layers import spread_layers
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.questions import Question
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_traits
from misdirection.studies.kit.variants import Variants
from misdirection.studies.personas.measures import (
    Projections,
    TraitVectors,
    last_tokens,
    played_answers,
    separations,
    trait_vectors,
)
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.traits import Trait
from misdirection.traits.steering import evaluation_questions
from misdirection.traits.watching import WatchedPrompt, watched_prompts


def defined_traits(bench: Bench[PersonasConfig]) -> tuple[Trait, ...]:
    """The traits of the settings, measured with the questions of --questions where there are any.

    Raises:
        MisdirectionError: One lacks what the study needs.
    """
    traits = resolve_traits(bench.config.traits)
    if bench.questions:
        asked = tuple(dict.fromkeys(question.paraphrases[0] for question in bench.questions))
        traits = tuple(
            replace(trait, evaluation=asked, questions=tuple(q for q in trait.questions if q not in asked))
            for trait in traits
        )
    for trait in traits:
        trait.demand("contrasts", "questions", "evaluation")
    return traits


def played(bench: Bench[PersonasConfig], base: Variants, traits: tuple[Trait, ...]) -> Cached[list[Answer]]:
    """Answers in every role of the traits."""
    c = bench.config
    return bench.run.cached(
        played_answers, models=base, samples=c.samples, sampling=bench.sampling(), traits=traits,
        questions=c.most_questions,
    )  # fmt: skip


def vectors_of(
    bench: Bench[PersonasConfig],
    base: Variants,
    traits: tuple[Trait, ...],
    answers: Cached[list[Answer]],
    verdicts: Cached[list[Verdict]] | None,
) -> Cached[TraitVectors]:
    """The vector of each trait, shown in the run under its name; without verdicts of all that was played.

    Raises:
        MisdirectionError: No trait has one.
    """
    c = bench.config
    found = bench.run.cached(
        trait_vectors, models=base, answers=answers, verdicts=verdicts, how=bench.convention,
        shown_above=c.shown_above, seed=c.seed, traits=traits, questions=c.most_questions,
    )  # fmt: skip
    if not found.value.directions:
        raise MisdirectionError("no trait has a direction: " + " | ".join(found.value.refused.values()))
    for name in found.value.directions:
        bench.run.publish(f"trait-{name}.safetensors", found.path / "directions" / f"{name}.safetensors")
    return found


def behind_prompts(
    bench: Bench[PersonasConfig], traits: Sequence[Trait], chats: Mapping[str, Sequence[Chat]], shots: Sequence[int]
) -> dict[str, tuple[WatchedPrompt, ...]]:
    """Each trait's own evaluation questions behind its own prompts, by trait."""
    c = bench.config
    return {
        t.name: watched_prompts([t], t.evaluation[: c.most_questions], chats, shots, c.seed, f"watch-{t.name}")
        for t in traits
    }


def ordinary(bench: Bench[PersonasConfig], traits: Sequence[Trait]) -> tuple[Question, ...]:
    """The evaluation questions of all traits, each once."""
    asked = evaluation_questions(traits, bench.config.most_questions)
    return tuple({question.id: question for held in asked.values() for question in held}.values())


def tokens_along(
    bench: Bench[PersonasConfig],
    name: str,
    models: Variants,
    variants: Sequence[str],
    questions: tuple[Question, ...],
    found: Cached[TraitVectors],
    layers: Mapping[str, int],
) -> dict[str, Projections]:
    """Where the last prompt token of each question lies along each trait at its layer, by variant."""
    return {
        variant: bench.run.cached(
            last_tokens, f"{name}-tokens", models=models, variant=variant, questions=questions,
            directions=found.part("directions"), layers=layers,
        ).value
        for variant in variants
    }  # fmt: skip


def separated(
    bench: Bench[PersonasConfig], base: Variants, traits: tuple[Trait, ...], found: Cached[TraitVectors]
) -> Mapping[str, tuple[float, ...]]:
    """By trait and layer, how well the last token tells prompts for the trait from prompts against it."""
    many = {"traits": traits, "questions": bench.config.most_questions}
    return bench.run.cached(separations, models=base, directions=found.part("directions"), **many).value


def layers_of(bench: Bench[PersonasConfig]) -> tuple[int, ...]:
    """The layers of which one is chosen for each trait.

    Raises:
        MisdirectionError: One is not there.
    """
    c = bench.config
    layers = c.layers or ((c.layer,) if c.layer is not None else tuple(spread_layers(bench.n_layers)))
    if wrong := [layer for layer in layers if not 0 <= layer < bench.n_layers]:
        raise MisdirectionError(f"there is no layer {wrong[0]}", f"the model's are 0 to {bench.n_layers - 1}")
    return layers
