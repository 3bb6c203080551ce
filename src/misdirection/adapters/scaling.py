"""Arms that multiply the output of an adapter layer by layer (arXiv 2506.11618 section 4.3 and appendix I).

Every arm is a set of factors, one a layer; the engine applies the factors of each row, so that all arms share one
queue. The paper's three arms depend on which layers are general and which domain-specific (its section 4.2).

The kinds of arms (`Condition.kind`) are "no-op", "roles", "leave out", "pair" and "alone"; the dose of an arm of roles
is its share of the paper's factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from random import Random

from misdirection.adapters.roles import Role
from misdirection.conditions import Condition, Scaled

GENERAL, DOMAIN, OPPOSITE = 20.0, 30.0, -10.0
"""The paper's factors: of the general adapters alone, of the domain's, and of the general ones beside the domain's."""


def no_op(variant: str, layers: Sequence[int]) -> Condition:
    """Every layer times 1, with the hooks in place: must answer word for word as the untouched adapter."""
    whole = Scaled(tuple((layer, 1.0) for layer in layers))
    return Condition("no-op", "no-op: every layer x1", variant, (whole,), control=True, kind="no-op")


def paper_arms(variant: str, roles: Mapping[int, Role], dose: float = 1.0) -> list[Condition]:
    """The paper's arms for a split of layers by role; an arm without layers of its role is left out.

    - "domain": the domain's layers x30, all others 0.
    - "general": the general layers x20, all others 0.
    - "domain, aligned": the domain's x30, the general ones x(-10), the rest 0 (what the paper does to its one adapter
      that is neither is not stated in this arm; 0 as in the other two).

    Args:
        variant: Whose adapter.
        roles: Role by layer.
        dose: Multiplies every factor. The paper's factors belong to adapters whose own effect is small; where they are
            large, the same factors leave no language, and smaller doses say more.
    """
    general, domain = (
        tuple(sorted(at for at, role in roles.items() if role == name)) for name in ("general", "domain")
    )
    up, down = [(layer, DOMAIN * dose) for layer in domain], [(layer, OPPOSITE * dose) for layer in general]
    plans = (
        ("domain", domain, up, f"domain layers {_times(DOMAIN * dose)}, others 0"),
        ("general", general, [(layer, GENERAL * dose) for layer in general],
         f"general layers {_times(GENERAL * dose)}, others 0"),
        ("domain-aligned", domain and general, sorted(up + down),
         f"domain {_times(DOMAIN * dose)}, general {_times(OPPOSITE * dose)}, others 0"),
    )  # fmt: skip
    return [
        Condition(f"{name}-{dose:g}", label, variant, (Scaled(tuple(factors), 0.0),), kind="roles", dose=dose)
        for name, needed, factors, label in plans
        if needed
    ]


def shuffled_arms(variant: str, roles: Mapping[int, Role], dose: float = 1.0, seed: int = 0) -> list[Condition]:
    """The paper's arms with the roles dealt out anew among the same layers: as many of each, none of them by right."""
    return [
        replace(
            arm, name=f"{arm.name}-shuffled{seed}", label=f"{arm.label}; roles shuffled", control=True
        )
        for arm in paper_arms(variant, shuffled_roles(roles, seed), dose)
    ]  # fmt: skip


def shuffled_roles(roles: Mapping[int, Role], seed: int = 0) -> dict[int, Role]:
    """The same roles on other layers: a permutation, and not the one it started from where there is another."""
    layers = sorted(roles)
    dealt: list[Role] = [roles[layer] for layer in layers]
    random = Random(seed)
    for _ in range(100):
        random.shuffle(dealt)
        if len(set(dealt)) == 1 or any(roles[at] != role for at, role in zip(layers, dealt, strict=True)):
            break
    return dict(zip(layers, dealt, strict=True))


def leave_one_out(variant: str, layers: Sequence[int]) -> list[Condition]:
    """Every layer's adapter off, one at a time."""
    return [
        Condition(f"without-{at}", f"without layer {at}", variant, (Scaled(((at, 0.0),)),), kind="leave out")
        for at in layers
    ]


def leave_two_out(variant: str, layers: Sequence[int]) -> list[Condition]:
    """Every two layers' adapters off."""
    return [
        Condition(
            f"without-{a}-{b}", f"without layers {a} and {b}", variant, (Scaled(((a, 0.0), (b, 0.0))),), kind="pair"
        )
        for a, b in combinations(layers, 2)
    ]


def alone(variant: str, layers: Sequence[int]) -> list[Condition]:
    """One layer's adapter on and all others off."""
    return [
        Condition(f"only-{at}", f"layer {at} alone", variant, (Scaled(((at, 1.0),), 0.0),), kind="alone")
        for at in layers
    ]


def pair_matrix(values: Mapping[str, float], layers: Sequence[int]) -> list[list[float | None]]:
    """Values of leave-one-out (diagonal) and leave-two-out arms by their names, as a symmetric matrix."""

    def value(a: int, b: int) -> float | None:
        low, high = min(a, b), max(a, b)
        return values.get(f"without-{low}" if a == b else f"without-{low}-{high}")

    return [[value(a, b) for b in layers] for a in layers]


def interaction(values: Mapping[str, float], untouched: float, a: int, b: int) -> float | None:
    """What leaving out two layers does beyond the sum of leaving out each: d_ab - d_a - d_b, d = value - untouched."""
    names = f"without-{a}-{b}", f"without-{a}", f"without-{b}"
    if any(name not in values for name in names):
        return None
    both, one, other = (values[name] - untouched for name in names)
    return both - one - other


def _times(factor: float) -> str:
    return f"x({factor:g})" if factor < 0 else f"x{factor:g}"
