"""Latents of a dictionary held at 0 as one more removal: which, and random ones of like activity beside them.

Two lists (the questions Q2 and Q3 of the model diffing of arXiv 2506.19823): latents that are more active in the tuned
model's misaligned than in its aligned answers, as many of each from every question; and latents that are more active
in the tuned model than in the base on the same answers. The first `HELD` of a list are held at 0 all at once
(`engine.Clamp`), which takes off what they add, token by token, and nothing where they are silent. That is the
counterpart of projecting a direction out. One of setting it to the aligned mean is not needed: a component's zero lies
wherever the origin does, a latent's zero is its silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.conditions import Condition, Held
from misdirection.directions import Convention, PoolError, Source
from misdirection.engine import Text
from misdirection.features.alike import of_like_activity
from misdirection.features.differences import Differences, Found, Side, compare_texts
from misdirection.features.lens import Lens
from misdirection.features.quality import variance_explained
from misdirection.studies.audit.latent_lists import LISTS, LatentList
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.matched import matched_pools
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.variants import BASE_VARIANT, TUNED_VARIANT, Variants

HELD = 8
"""Latents of a list that are held together, at most."""
SPAN = "answer"


@dataclass(frozen=True)
class ChosenLatents:
    """The lists, and how well the dictionary fits.

    Attributes:
        explained: Share of the variance of the base model's states at the answers that it gives back.
        lists: As many as could be made; none where the dictionary does not fit.
        refused: Why others could not.
    """

    explained: float
    lists: tuple[LatentList, ...]
    refused: tuple[str, ...] = ()


def choose_latents(
    models: Variants,
    lens: Lens,
    judged: Judged,
    questions: Sequence[str],
    how: Convention,
    most: int,
    seed: int,
    random_seeds: tuple[int, ...],
) -> ChosenLatents:
    """The latents to hold, by the two differences, with random ones of like activity.

    Args:
        models: Base and tuned model.
        lens: The dictionary and its layer.
        judged: Answers of both with verdicts.
        questions: Ids of those whose answers count, as for the direction.
        how: When an answer is misaligned and when aligned.
        most: Answers of each arm and question on which tuned and base model are compared.
        seed: Of the pools.
        random_seeds: One a draw of random latents.
    """
    asked = judged.where(lambda a: a.question_id in questions)
    shared = asked.where(lambda a: a.sample < most and a.arm in (BASE_VARIANT, TUNED_VARIANT))
    tuned, base = (_side(models, variant, readable(models.model(TUNED_VARIANT), shared.answers)[1])
                   for variant in (TUNED_VARIANT, BASE_VARIANT))  # fmt: skip
    explained = variance_explained(base.model, lens.dictionary, base.texts, SPAN, layer=lens.layer)
    if not explained > 0:
        told = f"the dictionary gives back nothing of the base model's states behind layer {lens.layer} (variance "
        return ChosenLatents(explained, (), (f"{told}explained {100 * explained:.0f} %): it is of another place.",))
    moved = _compared(lens, tuned, base)
    activity = _activity(lens, moved)
    found, refused = {"model": moved.differences}, list[str]()
    try:
        found["answers"] = _compared(lens, *answer_sides(models, asked, how, seed)).differences
    except PoolError as error:
        refused.append(f"no latents {LISTS['answers']} could be chosen: {error.message}.")
    chosen = {name: top(lens, found[name]) for name in LISTS if name in found}
    refused += [f"no latent is {LISTS[name]}." for name, latents in chosen.items() if not latents]
    taken = {latent for latents in chosen.values() for latent in latents}
    lists = tuple(
        _list(name, latents, found[name], activity, taken, random_seeds) for name, latents in chosen.items() if latents
    )
    return ChosenLatents(explained, lists, tuple(refused))


def answer_sides(models: Variants, asked: Judged, how: Convention, seed: int) -> tuple[Side, Side]:
    """The tuned model's misaligned and its aligned answers, as many of each from every question, read in it.

    Raises:
        PoolError: Too few are left.
    """
    own = asked.arm(TUNED_VARIANT)
    places, sources, _ = readable(models.model(TUNED_VARIANT), own.answers)
    bad, good = (
        _side(models, TUNED_VARIANT, [sources[place] for place in pool])
        for pool in matched_pools(own.at(places), how, seed)
    )
    return bad, good


def _side(models: Variants, variant: str, sources: Sequence[Source]) -> Side:
    arm = models.arm(variant)
    encoded = (source.encoded for source in sources)
    return Side(models.model(variant), [Text.of(one, SPAN, arm) for one in encoded])


def _compared(lens: Lens, first: Side, second: Side) -> Found:
    return compare_texts(lens.dictionary, first, second, span=SPAN, shuffles=0, layer=lens.layer, places=1)


def _activity(lens: Lens, moved: Found) -> Tensor:
    """Mean length of what each latent adds to the tuned model's residual stream, a token; shape (latents,)."""
    every = torch.arange(lens.dictionary.latents)
    return moved.statistics.mean("token")[0].cpu() * lens.dictionary.writes(every).double().norm(dim=-1).cpu()


def top(lens: Lens, differences: Differences) -> tuple[int, ...]:
    """The latents with the largest difference that is above zero, of those that add anything."""
    return tuple(
        latent
        for latent in differences.top(HELD)
        if float(differences.value[latent]) > 0 and bool(lens.dictionary.decoder[latent].any())
    )


def _list(
    name: str, latents: tuple[int, ...], differences: Differences, activity: Tensor, taken: set[int],
    random_seeds: tuple[int, ...],
) -> LatentList:  # fmt: skip
    random = tuple(of_like_activity(activity, latents, taken, seed) for seed in random_seeds)
    return LatentList(
        name=name,
        latents=latents,
        differences=tuple(float(differences.value[latent]) for latent in latents),
        adds=float(activity[list(latents)].sum()),
        random=random,
        random_adds=tuple(float(activity[list(one)].sum()) for one in random),
    )


def hold(lens: Lens, one: LatentList) -> Condition:
    """The tuned model with the latents of a list held at 0."""
    return _held(lens, f"hold-{one.name}", f"{len(one.latents)} latents {LISTS[one.name]}", one.latents)


def holds(lens: Lens, one: LatentList, random_seeds: tuple[int, ...]) -> list[Condition]:
    """The same, and beside it each draw of random latents that found any."""
    controls = [
        _held(
            lens,
            f"hold-{one.name}-random-{seed}",
            f"{len(drawn)} random latents of like activity, {seed}",
            drawn,
            control=True,
        )
        for seed, drawn in zip(random_seeds, one.random, strict=True)
        if drawn
    ]
    return [hold(lens, one), *controls]


def _held(lens: Lens, name: str, what: str, latents: tuple[int, ...], *, control: bool = False) -> Condition:
    does = (Held(lens.dictionary, latents, 0.0, lens.layer),)
    return Condition(name, f"hold at 0: {what}", TUNED_VARIANT, does, control=control)
