"""What every way of the study begins with: its traits, the fine-tunes beside them, and how their prompts lie apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from misdirection.directions.layers import spread_layers
from misdirection.errors import MisdirectionError
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import resolve_traits
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants
from misdirection.studies.personas.measures import TraitVectors, separations
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.traits import Trait


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


def fine_tunes(bench: Bench[PersonasConfig]) -> Variants:
    """The base and all fine-tunes, trained now where only their data are named."""
    c = bench.config
    made = {name: FineTune(c.preset, (file,), c.training, c.seed) for name, file in named(c.data, "data").items()}
    return bench.tuned_and_given(made, named(c.fine_tune, "fine-tune"))


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


def published(bench: Bench[PersonasConfig], found: Cached[TraitVectors]) -> None:
    """Put each trait's direction into the run under its name.

    Raises:
        MisdirectionError: No trait has one.
    """
    if not found.value.directions:
        raise MisdirectionError("no trait has a direction: " + " | ".join(found.value.refused.values()))
    for name in found.value.directions:
        bench.run.publish(f"trait-{name}.safetensors", found.path / "directions" / f"{name}.safetensors")
