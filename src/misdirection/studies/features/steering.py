"""Does a latent cause what it stands for? The causal step of the model diffing of arXiv 2506.19823.

1. The base model and the first fine-tune answer the open questions as they are. From these texts come the median norm
   of the residual stream at the layer, and which latents fire at all.
2. The latents at the top of each list, and random ones of no list as controls, are steered at that layer and at all
   tokens by their decoder vector: up in the base model, which should turn bad, and down in the first fine-tune, which
   should turn good. Every strength (a multiple of the median norm) is a row of one sweep.
3. Of each latent and side the strength of the largest effect is kept, among those after which at most
   `incoherent_at_most` of the answers are incoherent (or as many as there are without steering). Controls are chosen
   for alike, so that the luck of the largest of several is theirs too.
4. The strengths kept are measured on fresh random numbers, paired with the unsteered model; Benjamini-Hochberg over
   all latents, sides and controls. A side passes when its rate moves the right way (q < 0.05) and the answers are as
   coherent as asked, here too: incoherent answers count as not misaligned, and would pass for a cure.
5. In the fine-tune the latents of each list are held at 0 all at once, beside the random ones (`clamping`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from misdirection.answers import read_back
from misdirection.directions import Direction
from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.errors import MisdirectionError
from misdirection.features.stream import latent_statistics
from misdirection.judging import Answer
from misdirection.studies.features.clamping import clamps, held_effects, held_together
from misdirection.studies.features.effects import (
    SIDES,
    Steered,
    Sweeps,
    arm_name,
    best,
    steered_effects,
    summary,
    sweep,
)
from misdirection.studies.features.paper import STEERING
from misdirection.studies.features.results.steering import Side, Steering
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition
from misdirection.studies.kit.record import LeftOut
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import Variants

if TYPE_CHECKING:
    from misdirection.features import Dictionary


def causal_check(
    bench: Bench[FeaturesConfig],
    models: Variants,
    dictionary: Dictionary,
    lists: Mapping[str, Sequence[int]],
    layer: int,
) -> Steering:
    """Steer the latents at the top of each list, and random ones.

    Args:
        bench: The open run.
        models: The base model and its fine-tunes; the first of these is steered down.
        dictionary: Whose decoder vectors are added.
        lists: Latents by list, best first.
        layer: After which decoder layer.

    Raises:
        MisdirectionError: No fine-tune, no latent to steer, or one that the dictionary has no decoder vector of.
    """
    c = bench.config
    if not models.fine_tunes:
        raise MisdirectionError("latents are steered down in a fine-tune, and there is none", "--data or --fine-tune")
    chosen = tops(lists, c.steered)
    if not chosen:
        raise MisdirectionError("no list has a latent to steer", "--steered 0 leaves the causal check out")
    check_latents(dictionary, [s.latent for s in chosen])
    target = next(iter(models.fine_tunes))
    whole: dict[Side, Condition] = {"up": BASE, "down": Condition(target, target, target)}
    unsteered = bench.ask("latents-unsteered", models, [*whole.values()], samples=c.sweep_samples, stream=1)
    read = bench.run.cached(
        reading, "latents-reading", models=models, answers=unsteered.answers, dictionary=dictionary, layer=layer
    ).value
    norm = read.norm
    chosen += controls(lists, read.fired, c.random_latents, c.seed)
    numbers = [s.latent for s in chosen]
    vectors = bench.run.cached(
        decoder_directions, "latents-vectors", units=dictionary.directions[numbers].cpu(), latents=numbers,
        layer=layer, norm=norm, n_layers=bench.n_layers,
    )  # fmt: skip
    both: list[tuple[Steered, Side]] = [(s, side) for s in chosen for side in SIDES]
    grid = [point(s, side, whole[side], x, layer) for s, side in both for x in c.strengths]
    swept = bench.ask("latents-sweep", models, grid, samples=c.sweep_samples, stream=1, directions=vectors)
    sweeps: Sweeps = {(s.latent, side): sweep(bench, unsteered, swept, s, side, whole[side]) for s, side in both}
    kept: list[tuple[Steered, Side, float]] = [
        (s, side, x) for s, side in both if (x := best(sweeps[s.latent, side], SIDES[side])) is not None
    ]
    arms = [*whole.values(), *(point(s, side, whole[side], x, layer) for s, side, x in kept)]
    measured = bench.ask("latents-steered", models, arms, samples=c.steer_samples, stream=2, directions=vectors)
    rows = bench.run.cached(
        steered_effects, "latents-effects", judged=measured.kept, chosen=chosen, sweeps=sweeps, whole=whole,
        rules=bench.thresholds, incoherent=c.incoherent_at_most,
    ).value  # fmt: skip
    groups = held_together(chosen, [*lists])
    held = bench.ask(
        "latents-held", models, clamps(groups, target, dictionary, layer), samples=c.steer_samples, stream=2
    )
    return Steering(
        layer=layer,
        norm=norm,
        target=target,
        incoherent_at_most=c.incoherent_at_most,
        strengths=tuple(c.strengths),
        samples={"sweep": c.sweep_samples, "measured": c.steer_samples},
        unsteered={side: effect_of(measured.judged.arm(arm.name), bench.thresholds) for side, arm in whole.items()},
        rows=rows,
        summary=summary(rows, [*lists]),
        wanted_controls=c.random_latents,
        paper=STEERING,
        held=held_effects(measured.judged.arm(whole["down"].name), held.judged, groups, bench.thresholds),
    )


def tops(lists: Mapping[str, Sequence[int]], most: int) -> list[Steered]:
    """The first `most` latents of each list, each once, in the order of the lists."""
    ranks: dict[int, dict[str, int]] = {}
    for name, latents in lists.items():
        for rank, latent in enumerate(latents, 1):
            ranks.setdefault(latent, {}).setdefault(name, rank)
    first = dict.fromkeys(latent for latents in lists.values() for latent in latents[:most])
    return [
        Steered(latent, tuple(name for name, rank in ranks[latent].items() if rank <= most), ranks[latent])
        for latent in first
    ]


def check_latents(dictionary: Dictionary, latents: Sequence[int]) -> None:
    """Refuse latents that cannot be steered, before anything is asked.

    Raises:
        MisdirectionError: The dictionary does not have one, or its decoder vector is zero.
    """
    if beyond := [latent for latent in latents if not 0 <= latent < dictionary.latents]:
        raise MisdirectionError(
            f"the dictionary has no latent {beyond[0]}", f"its latents are 0 to {dictionary.latents - 1}"
        )
    if zero := [latent for latent in latents if not bool(dictionary.decoder[latent].any())]:
        raise MisdirectionError(f"the decoder vector of latent {zero[0]} is zero", "it cannot be steered")


def controls(lists: Mapping[str, Sequence[int]], fired: Tensor, most: int, seed: int) -> list[Steered]:
    """Random latents of no list that fire (`fired`: tokens by latent); as many as there are where they are few."""
    listed = {latent for latents in lists.values() for latent in latents}
    alive = [latent for latent in fired.nonzero()[:, 0].tolist() if latent not in listed]
    return [Steered(latent, (), {}) for latent in Random(f"{seed}/controls").sample(alive, min(most, len(alive)))]


@dataclass(frozen=True)
class UnsteeredStream:
    """What the unsteered chats show.

    Attributes:
        norm: Median norm of the base model's residual stream.
        fired: Tokens at which each latent fires, in any model.
        left_out: Answers that could not be read back; None where all could.
    """

    norm: float
    fired: Tensor
    left_out: LeftOut | None


def reading(models: Variants, answers: list[Answer], dictionary: Dictionary, layer: int) -> UnsteeredStream:
    """Norm and firings over all tokens, but for the first, where many models hold a state far larger than all others.

    Raises:
        MisdirectionError: The base gave empty answers only.
    """
    fired = torch.zeros(dictionary.latents, dtype=torch.float64)
    norms: list[Tensor] = []
    unread: Counter[str] = Counter()
    for variant in dict.fromkeys(answer.arm for answer in answers):
        model, arm = models.model(variant), models.arm(variant)
        back = read_back(model, [a for a in answers if a.arm == variant])
        unread += back.aside
        texts = [Text(one.ids, {"all": (1, len(one.ids))}, arm, one.start) for one in back.encoded]
        statistics = latent_statistics(
            model, dictionary.to(model.device), texts, torch.ones(len(texts), 1), span="all", layer=layer, places=1
        )
        fired += statistics.fired[0].cpu()
        if variant == BASE.variant:

            def add(_: Sequence[int], states: Sequence[Tensor]) -> None:
                norms.extend(state.float().norm(dim=-1).cpu() for state in states)

            visit_states(model, texts, layer, "all", add)
    if not norms:
        raise MisdirectionError("the base model gave nothing but empty answers", "raise --max-new-tokens")
    left_out = LeftOut(len(answers), dict(unread)) if unread else None
    return UnsteeredStream(float(torch.cat(norms).median()), fired, left_out)


def decoder_directions(
    units: Tensor, latents: Sequence[int], layer: int, norm: float, n_layers: int
) -> dict[str, Direction]:
    """The latents' decoder vectors, each as long as the median norm, as directions by name; zero at other layers."""
    found: dict[str, Direction] = {}
    nothing = torch.zeros(n_layers)
    for latent, unit in zip(latents, units, strict=True):
        vectors = torch.zeros(n_layers, units.shape[1])
        vectors[layer] = norm * unit
        facts = {"kind": "decoder vector", "latent": latent, "layer": layer, "norm": norm}
        found[str(latent)] = Direction(vectors, 0 * vectors, 0 * vectors, nothing, nothing, nothing, nothing, facts)
    return found


def point(steered: Steered, side: Side, whole: Condition, strength: float, layer: int) -> Condition:
    """A latent steered on one side at one strength, a multiple of the median norm."""
    sign = "+" if SIDES[side] > 0 else "-"
    return Condition(
        arm_name(steered.latent, side, strength), f"{whole.label} {sign} {strength:g} x latent {steered.latent}",
        whole.variant, (Along("steer", (layer,), SIDES[side] * strength, source=str(steered.latent)),),
        control=steered.control,
    )  # fmt: skip
