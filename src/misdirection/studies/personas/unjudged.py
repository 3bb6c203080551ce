"""The study where nobody scores traits (`--judge none`): all that needs no score.

A small model at hand often has no judge of traits beside it. Vectors are then made of all that was played, not only of
the answers that a judge found to show the trait; the layer is the one whose last prompt token best tells prompts for a
trait from prompts against it; where prompts lie along each trait and how far fine-tunes move the model along it are
read as ever. What answers show is not known: nothing is turned up or down, and nothing correlated.
"""

from __future__ import annotations

from collections.abc import Mapping

from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.personas import rows
from misdirection.studies.personas.beginning import (
    behind_prompts,
    layers_of,
    ordinary,
    played,
    separated,
    tokens_along,
    vectors_of,
)
from misdirection.studies.personas.measures import TraitVectors
from misdirection.studies.personas.paper import PAPER
from misdirection.studies.personas.results import Personas, TunedRow, WatchedRow
from misdirection.studies.personas.rows import LayerChoice
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.traits import Trait


def unjudged(bench: Bench[PersonasConfig], tuned: Variants, traits: tuple[Trait, ...]) -> tuple[Personas, list[str]]:
    """What the study finds without a judge, and why traits have no direction.

    Raises:
        MisdirectionError: No trait has one.
    """
    base = tuned.bare()
    found = vectors_of(bench, base, traits, played(bench, base, traits), None)
    kept = tuple(trait for trait in traits if trait.name in found.value.directions)
    apart = separated(bench, base, kept, found)
    choices = choose(bench, kept, apart)
    layers = {name: choice.layer for name, choice in choices.items()}
    part = Personas(
        traits=rows.trait_rows(kept, found.value.directions, choices, apart),
        doses=(),
        watched=placed(bench, base, kept, found, layers),
        correlations=(),
        tuned=shifted(bench, tuned, kept, found, layers),
        matrix=(),
        coherent_share=bench.config.coherent_share,
        paper=PAPER,
        judged=False,
    )
    return part, list(found.value.refused.values())


def choose(
    bench: Bench[PersonasConfig], traits: tuple[Trait, ...], apart: Mapping[str, tuple[float, ...]]
) -> dict[str, LayerChoice]:
    """The layer of each trait: the one that was given, or at which prompts are told apart best."""
    given, layers = bench.config.layer is not None, layers_of(bench)
    best = {trait.name: max(layers, key=lambda layer, name=trait.name: apart[name][layer]) for trait in traits}
    return {name: LayerChoice(layer, 0.0, "given" if given else "separation") for name, layer in best.items()}


def placed(
    bench: Bench[PersonasConfig],
    base: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    layers: Mapping[str, int],
) -> tuple[WatchedRow, ...]:
    """Where the last token of each trait's prompts lies along it, over questions that its vector was not made of."""
    prompts = behind_prompts(bench, traits, {}, ())
    asked = tuple(one.question for held in prompts.values() for one in held)
    along = tokens_along(bench, "watched", base, [BASE_VARIANT], asked, found, layers)[BASE_VARIANT]
    return rows.placed_rows(prompts, along)


def shifted(
    bench: Bench[PersonasConfig],
    tuned: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    layers: Mapping[str, int],
) -> tuple[TunedRow, ...]:
    """How far each fine-tune moves the last prompt token of ordinary questions along each trait."""
    if not tuned.fine_tunes:
        return ()
    asked = ordinary(bench, traits)
    along = tokens_along(bench, "tuned", tuned, (BASE_VARIANT, *tuned.fine_tunes), asked, found, layers)
    return rows.shift_rows(along, [question.id for question in asked], bench.config.seed)
