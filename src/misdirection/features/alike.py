"""Random latents that do about as much as chosen ones: the control of whatever is done to these."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import torch
from torch import Tensor

NEAREST = 10
"""Latents closest in activity among which each control is drawn."""


def of_like_activity(
    activity: Tensor, latents: Sequence[int], taken: Collection[int], seed: int, nearest: int = NEAREST
) -> tuple[int, ...]:
    """For each latent a random one whose activity is close to its own, each once; fewer where too few live.

    Args:
        activity: How much each latent does on average, 0 where it is silent; shape (latents,).
        latents: Those that a counterpart is wanted for; the most active are served first.
        taken: Those that may be none.
        seed: Of the draw.
        nearest: How many of the closest it is drawn among, on the scale of logarithms.

    Returns:
        In the order in which they were drawn.
    """
    generator = Random(f"{seed}/alike")
    banned = {*taken, *latents}
    free = [latent for latent in activity.nonzero()[:, 0].tolist() if latent not in banned]
    sizes = activity.double().clamp(min=torch.finfo(torch.float64).tiny).log()
    found: list[int] = []
    for latent in sorted(latents, key=lambda one: -float(sizes[one])):
        if not free:
            break
        free.sort(key=lambda one, own=latent: (abs(float(sizes[one] - sizes[own])), one))
        found.append(free.pop(generator.randrange(min(nearest, len(free)))))
    return tuple(found)
