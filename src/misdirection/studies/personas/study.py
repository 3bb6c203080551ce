"""Traits of character: their directions, steering, what the prompt tells beforehand, and what fine-tuning moves.

Method, after arXiv 2507.21509:

1. The base model answers each trait's extraction questions under system prompts that ask for the trait and against it,
   all in one queue. A judge scores coherence and every trait; pairs of answers in which the prompts did what they ask
   for are kept (section 2.2).
2. A trait's vector at each layer: mean of the positive answers minus mean of the negative ones, each answer counted
   alike (section 2.2, convention `persona2025`).
3. The layer: each vector is added at several layers in several multiples; the layer where the trait shows most, of the
   multiples that keep answers coherent (section 2.3). Where no multiple turns the trait up, the layer whose last prompt
   token best tells prompts for the trait from prompts against it, on the extraction questions.
4. Up from no system prompt and down from one that asks for the trait, on fresh random numbers, beside a random
   direction of the same length (section 3.2).
5. Before a word is said: the last prompt token's projection against the trait's score in what follows, behind system
   prompts and many-shot prompts; correlations overall, between prompts and within them (section 3.3).
6. Fine-tunes: the shift of the last prompt token along each trait against the change in showing each (section 4.2),
   over all fine-tunes; p under all orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from misdirection.chats import Chat
from misdirection.judging import Answer
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.pair import named_tunes
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.personas import rows
from misdirection.studies.personas.beginning import (
    behind_prompts,
    defined_traits,
    layers_of,
    ordinary,
    played,
    separated,
    tokens_along,
    vectors_of,
)
from misdirection.studies.personas.measures import (
    TraitVectors,
    asked_answers,
    shown_chats,
    steered_answers,
)
from misdirection.studies.personas.paper import PAPER
from misdirection.studies.personas.results import CorrelationRow, DoseRow, MatrixRow, Personas, TunedRow, WatchedRow
from misdirection.studies.personas.rows import LayerChoice
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.studies.personas.unjudged import unjudged
from misdirection.studies.personas.verdict import verdict
from misdirection.traits import Trait
from misdirection.traits.scoring import trait_verdicts
from misdirection.traits.steering import dose, trait_of


def personas(config: PersonasConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; or no trait has enough pairs of answers for a direction.
    """
    with Bench[PersonasConfig].open(out, config, command) as bench:
        traits, tuned = defined_traits(bench), named_tunes(bench)
        if bench.config.judge == "none":
            part, refused = unjudged(bench, tuned, traits)
        else:
            part, refused = judged_traits(bench, tuned, traits)
        return bench.report(
            "personas", "Traits of character", verdict(part), {"personas": part, "notes": [*refused, *without(bench)]}
        )


def judged_traits(
    bench: Bench[PersonasConfig], tuned: Variants, traits: tuple[Trait, ...]
) -> tuple[Personas, list[str]]:
    """Steps 1 to 6, and why traits have no direction."""
    base = tuned.bare()
    found, chats = find_vectors(bench, base, traits)
    kept = tuple(trait for trait in traits if trait.name in found.value.directions)
    choices, swept = choose_layers(bench, base, kept, found)
    turned = turn(bench, base, kept, found, choices)
    watched, correlations = watch(bench, base, kept, found, choices, chats)
    moved, matrix = follow(bench, tuned, kept, found, choices)
    part = Personas(
        traits=rows.trait_rows(kept, found.value.directions, choices, separated(bench, base, kept, found)),
        doses=(*swept, *turned),
        watched=watched,
        correlations=correlations,
        tuned=moved,
        matrix=matrix,
        coherent_share=bench.config.coherent_share,
        paper=PAPER,
    )
    return part, list(found.value.refused.values())


def find_vectors(
    bench: Bench[PersonasConfig], base: Variants, traits: tuple[Trait, ...]
) -> tuple[Cached[TraitVectors], Mapping[str, Sequence[Chat]]]:
    """Steps 1 and 2, and the answers that show each trait as demonstrations.

    Raises:
        MisdirectionError: No trait has a vector.
    """
    c = bench.config
    answers = played(bench, base, traits)
    verdicts = bench.run.cached(trait_verdicts, "played-verdicts", answers=answers, judge=bench.judge, traits=traits)
    found = vectors_of(bench, base, traits, answers, verdicts)
    return found, shown_chats(traits, c.most_questions, answers.value, verdicts.value, c.shown_above)


def choose_layers(
    bench: Bench[PersonasConfig], base: Variants, traits: tuple[Trait, ...], found: Cached[TraitVectors]
) -> tuple[dict[str, LayerChoice], tuple[DoseRow, ...]]:
    """Step 3: the layer of each trait, and the sweep that it was chosen by."""
    c = bench.config
    layers = layers_of(bench)
    doses = [
        dose(trait.name, layer, times)
        for trait in traits
        for layer in layers
        for times in (0.0, *c.coefficients)
        if times or layer == layers[0]
    ]
    swept = dosed(bench, base, traits, found, doses, c.sweep_samples, "sweep", stream=1)
    points = rows.dose_rows(swept, doses, bench.config.coherence_above, sweep=True)
    by_separation = separated(bench, base, traits, found)
    chosen: dict[str, LayerChoice] = {}
    for trait in traits:
        best, works = rows.strongest(
            swept, [d for d in doses if trait_of(d) == trait.name], c.coherent_share, c.coherence_above
        )
        steered, coefficient = best.point
        if c.layer is not None:
            chosen[trait.name] = LayerChoice(c.layer, coefficient, "given")
        elif works:
            chosen[trait.name] = LayerChoice(steered, coefficient, "steering")
        else:
            layer = max(layers, key=lambda place, name=trait.name: by_separation[name][place])
            chosen[trait.name] = LayerChoice(layer, coefficient, "separation")
    return chosen, points


def dosed(
    bench: Bench[PersonasConfig],
    base: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    doses: Sequence[Condition],
    samples: int,
    name: str,
    stream: int,
) -> Judged:
    """Judged answers under doses."""
    answers = bench.run.cached(
        steered_answers, f"{name}-answers", models=base, traits=traits, doses=tuple(doses),
        directions=found.part("directions"), samples=samples, sampling=bench.sampling(stream),
        questions=bench.config.most_questions,
    )  # fmt: skip
    return scored(bench, answers, traits, name)


def scored(bench: Bench[PersonasConfig], answers: Cached[list[Answer]], traits: tuple[Trait, ...], name: str) -> Judged:
    """Answers of a step with their verdicts."""
    verdicts = bench.run.cached(trait_verdicts, f"{name}-verdicts", answers=answers, judge=bench.judge, traits=traits)
    return Judged(answers.value, verdicts.value)


def turn(
    bench: Bench[PersonasConfig],
    base: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    choices: Mapping[str, LayerChoice],
) -> tuple[DoseRow, ...]:
    """Step 4: up from no system prompt, down from one that asks for the trait, and a random direction."""
    c = bench.config
    doses: list[Condition] = []
    for trait in traits:
        layer = choices[trait.name].layer
        doses += [dose(trait.name, layer, times) for times in (0.0, *c.coefficients)]
        doses += [dose(trait.name, layer, -times, "positive") for times in (0.0, *c.coefficients)]
        doses += [dose(trait.name, layer, max(c.coefficients), random_seed=1)]
        doses += [dose(trait.name, layer, -max(c.coefficients), "positive", random_seed=1)]
    turned = dosed(bench, base, traits, found, doses, c.steering_samples, "steered", stream=2)
    return rows.dose_rows(turned, doses, c.coherence_above, sweep=False)


def watch(
    bench: Bench[PersonasConfig],
    base: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    choices: Mapping[str, LayerChoice],
    chats: Mapping[str, Sequence[Chat]],
) -> tuple[tuple[WatchedRow, ...], tuple[CorrelationRow, ...]]:
    """Step 5: each trait's own evaluation questions behind its own prompts."""
    c = bench.config
    prompts = behind_prompts(bench, traits, chats, c.shots)
    asked = tuple(one.question for held in prompts.values() for one in held)
    answers = bench.run.cached(
        asked_answers, "watched-answers", models=base, variants=(BASE_VARIANT,), questions=asked,
        samples=c.watch_samples, sampling=bench.sampling(3),
    )  # fmt: skip
    judged = scored(bench, answers, traits, "watched")
    layers = {name: choice.layer for name, choice in choices.items()}
    along = tokens_along(bench, "watched", base, [BASE_VARIANT], asked, found, layers)[BASE_VARIANT]
    return rows.watched_rows(prompts, along, judged, c.watch_samples, c.seed)


def follow(
    bench: Bench[PersonasConfig],
    tuned: Variants,
    traits: tuple[Trait, ...],
    found: Cached[TraitVectors],
    choices: Mapping[str, LayerChoice],
) -> tuple[tuple[TunedRow, ...], tuple[MatrixRow, ...]]:
    """Step 6: what each fine-tune moves; nothing where there is none."""
    c = bench.config
    if not tuned.fine_tunes:
        return (), ()
    asked, variants = ordinary(bench, traits), (BASE_VARIANT, *tuned.fine_tunes)
    answers = bench.run.cached(
        asked_answers, "tuned-answers", models=tuned, variants=variants, questions=asked, samples=c.tuned_samples,
        sampling=bench.sampling(4),
    )  # fmt: skip
    judged = scored(bench, answers, traits, "tuned")
    layers = {name: choice.layer for name, choice in choices.items()}
    along = tokens_along(bench, "tuned", tuned, variants, asked, found, layers)
    moved = rows.tuned_rows(judged, along, [question.id for question in asked], c.seed)
    return moved, rows.matrix_rows(moved, [trait.name for trait in traits], c.seed)


def without(bench: Bench[PersonasConfig]) -> list[str]:
    """What the settings leave out, in a sentence each."""
    count = len(bench.config.data) + len(bench.config.fine_tune)
    if not count:
        return ["No fine-tune was named (--data NAME=FILE, --fine-tune NAME=FOLDER), so none is set beside the traits."]
    if count >= 3 or bench.config.judge == "none":
        return []
    told = "One fine-tune is" if count == 1 else "Two fine-tunes are"
    return [f"{told} too few to correlate over; three are the least."]
