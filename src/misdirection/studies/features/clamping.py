"""Latents held at 0 in a fine-tune: a list's top latents all at once, beside random ones.

Steering down subtracts a fixed vector from every token; holding at 0 takes off what a latent really adds, token by
token, and nothing where it does not fire (`engine.Clamp`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from misdirection.conditions import Condition, Held
from misdirection.results import Difference, Reduction
from misdirection.statistics import Thresholds, benjamini_hochberg, compare
from misdirection.studies.features.effects import Steered
from misdirection.studies.features.results.steering import HeldLatents
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of

if TYPE_CHECKING:
    from misdirection.features import Dictionary

RANDOM = "random"
"""Name of the controls among lists."""


def held_together(chosen: Sequence[Steered], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Latents by list, as they are steered, the random ones last; lists that have none are left out."""
    found = {name: tuple(one.latent for one in chosen if name in one.lists) for name in names}
    found[RANDOM] = tuple(one.latent for one in chosen if one.control)
    return {name: latents for name, latents in found.items() if latents}


def clamps(groups: Mapping[str, tuple[int, ...]], target: str, dictionary: Dictionary, layer: int) -> list[Condition]:
    """The fine-tune with each group of latents held at 0, all of a group at once."""
    return [
        Condition(
            f"hold {name}", f"{target}, {len(latents)} latents of {name} held at 0", target,
            (Held(dictionary, latents, 0.0, layer),), control=name == RANDOM,
        )
        for name, latents in groups.items()
    ]  # fmt: skip


def held_effects(
    before: Judged, after: Judged, groups: Mapping[str, tuple[int, ...]], rules: Thresholds
) -> tuple[HeldLatents, ...]:
    """What holding each group changes, with q over all groups.

    Args:
        before: The fine-tune as it is, asked with the same random numbers.
        after: All arms of `clamps`.
        groups: Latents by list.
        rules: When an answer is misaligned.
    """
    rows: list[HeldLatents] = []
    for name, latents in groups.items():
        arm = after.arm(f"hold {name}")
        change = compare(before.pair, arm.pair, thresholds=rules)
        difference = Difference.of(change)
        rows.append(
            HeldLatents(
                **vars(effect_of(arm, rules)), list=name, latents=latents, control=name == RANDOM,
                difference=difference, reduction=Reduction.of(change), q=difference.p,
            )
        )  # fmt: skip
    adjusted = benjamini_hochberg([row.q for row in rows])
    return tuple(replace(row, q=float(q)) for row, q in zip(rows, adjusted, strict=True))
