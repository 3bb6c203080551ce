"""Whether interventions agree with the roles that probes give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np

from misdirection.adapters.roles import ROLES, Finding, Role
from misdirection.statistics.correlations import mid_ranks, pearson, permutation_p
from misdirection.studies.adapters.results import Interventions
from misdirection.studies.adapters.results.arms import AdapterArm, ScaledArm
from misdirection.studies.adapters.results.interventions import Scaling
from misdirection.studies.adapters.results.scalars import LayerAgreement, RankTest, RoleAgreement, RoleMeans, Test
from misdirection.studies.adapters.tables import value_of
from misdirection.studies.kit.sentences import p_text

COHERENT = 0.75
TESTS: tuple[Test, Test] = ("drop", "alone")
DRAWS = 5000
"""Shuffles where there are too many layers to try every order."""


def agreement(roles: Sequence[Finding], parts: Interventions | None) -> RoleAgreement | None:
    """Rank correlation of each layer's weight in the general probe with what leaving it out, or it alone, does.

    If a layer that the probe of misalignment uses is one that makes the model misaligned, leaving it out lowers the
    rate on open questions and it alone raises it. p values are of a permutation over layers, two-sided.

    Args:
        roles: Of the layers.
        parts: What interventions gave; None comes out where the layers were not left out one by one.
    """
    part = parts and parts.adapter_leave_out
    if not parts or not part:
        return None
    arms = {row.arm: value_of(row.rate) for row in part.arms}
    whole, base = value_of(part.untouched), value_of(part.base)
    rows: list[LayerAgreement] = []
    for item in roles:
        layer = item.name.removeprefix("layer ")
        if f"without-{layer}" in arms and f"only-{layer}" in arms:
            rows.append(
                LayerAgreement(
                    layer=int(layer), role=item.role, general=item.shares[0], domain=item.shares[1],
                    drop=whole - arms[f"without-{layer}"], alone=arms[f"only-{layer}"] - base,
                )
            )  # fmt: skip
    if len(rows) < 3:
        return None
    weight = [row.general for row in rows]
    tests: dict[Test, RankTest] = {
        "drop": spearman(weight, [row.drop for row in rows]),
        "alone": spearman(weight, [row.alone for row in rows]),
    }
    means: dict[Role, RoleMeans] = {role: _means([row for row in rows if row.role == role]) for role in ROLES}
    words = [text for role in ROLES[:2] if (text := arm_words(parts.adapter_scaling, role))]
    return RoleAgreement(
        layers=tuple(rows), tests=tests, means=means, sentence=_sentence(tests, len(rows)), arms=tuple(words)
    )


def arm_words(part: Scaling | None, role: Role) -> str:
    """What the layers of one role do alone, scaled up, beside as many layers dealt out at random.

    Of the doses at which both keep `COHERENT` of their answers coherent, the one with the most misaligned open answers.
    """
    rows = {row.arm: row for row in part.arms} if part else {}
    pairs = [(row, rows.get(f"{name}-shuffled1")) for name, row in rows.items() if name.rpartition("-")[0] == role]
    fit = [
        (row, other)
        for row, other in pairs
        if other and min(value_of(side.coherent_share) for side in (row, other)) >= COHERENT
    ]
    if not fit:
        return ""
    row, other = max(fit, key=lambda pair: value_of(pair[0].rate))
    shuffled = _open_and_inside(other)
    return f"{row.label[:1].upper()}{row.label[1:]}: {_open_and_inside(row)}; with the roles shuffled {shuffled}."


def _open_and_inside(row: ScaledArm) -> str:
    text = f"{_percent(row)} misaligned on open questions"
    return text + (f" and {_percent(row.inside)} on the domain's" if row.inside else "")


def _percent(row: AdapterArm) -> str:
    return f"{100 * value_of(row.rate):.0f} %"


def spearman(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Rank correlation with the p value of a permutation test: every order up to seven values, else random ones."""
    a, b = (mid_ranks(np.asarray(side, dtype=np.float64)) for side in (first, second))
    rho = pearson(a, b)
    return RankTest(rho=rho, p=None if rho is None else permutation_p(a, b, draws=DRAWS))


def _means(rows: Sequence[LayerAgreement]) -> RoleMeans:
    drop, alone = (mean(values) if (values := [getattr(row, name) for row in rows]) else None for name in TESTS)
    return RoleMeans(n=len(rows), drop=drop, alone=alone)


def _sentence(tests: Mapping[Test, RankTest], n: int) -> str:
    drop, alone = tests["drop"], tests["alone"]
    if drop.rho is None or drop.p is None or alone.rho is None or alone.p is None:
        return "Whether interventions agree cannot be said: leaving layers out, or one alone, changes nothing."
    agrees = [drop.rho > 0 and drop.p < 0.05, alone.rho > 0 and alone.p < 0.05]
    word = "agree" if all(agrees) else "agree in part" if any(agrees) else "do not confirm the roles"
    return (
        f"Interventions {word}: over {n} layers the weight in the probe of misalignment and the drop in misaligned "
        f"open answers when a layer is left out have rank correlation {drop.rho:.2f} ({p_text(drop.p)}), and with the "
        f"rise when it is on alone {alone.rho:.2f} ({p_text(alone.p)})."
    )
