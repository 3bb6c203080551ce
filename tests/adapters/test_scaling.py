"""Arms of scaled adapters: the paper's own, controls, leave-one-out and pairs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from misdirection.adapters.scaling import (
    Role,
    alone,
    interaction,
    leave_one_out,
    leave_two_out,
    no_op,
    pair_matrix,
    paper_arms,
    shuffled_arms,
    shuffled_roles,
)
from misdirection.conditions import Condition, Scaled

GENERAL, MEDICAL = (15, 16, 17, 22, 28, 29), (21, 23)
ROLES: dict[int, Role] = {**dict.fromkeys(GENERAL, "general"), **dict.fromkeys(MEDICAL, "domain"), 27: "neither"}


def scaled(arm: Condition) -> Scaled:
    assert arm.scaled and arm.variant == "tuned"
    return arm.scaled


def factors(arm: Condition) -> tuple[tuple[int, float], ...]:
    return scaled(arm).factors


def test_the_paper_s_split_gives_the_paper_s_arms() -> None:
    domain, general, against = paper_arms("tuned", ROLES)
    assert dict(factors(domain)) == {21: 30.0, 23: 30.0}
    assert dict(factors(general)) == dict.fromkeys(GENERAL, 20.0)
    assert dict(factors(against)) == {21: 30.0, 23: 30.0} | dict.fromkeys(GENERAL, -10.0)
    assert {scaled(arm).others for arm in (domain, general, against)} == {0.0}
    assert all(a < b for a, b in pairwise(layer for layer, _ in factors(against)))


def test_a_dose_is_a_share_of_every_factor() -> None:
    for arm, full in zip(paper_arms("tuned", ROLES, 0.05), paper_arms("tuned", ROLES), strict=True):
        assert arm.name != full.name and arm.dose == 0.05
        assert [layer for layer, _ in factors(arm)] == [layer for layer, _ in factors(full)]
        assert [f for _, f in factors(arm)] == pytest.approx([0.05 * f for _, f in factors(full)])


def test_a_role_without_layers_has_no_arm() -> None:
    assert [arm.name for arm in paper_arms("tuned", {3: "general", 4: "neither"})] == ["general-1"]
    assert [arm.name for arm in paper_arms("tuned", {3: "domain"})] == ["domain-1"]
    assert paper_arms("tuned", {3: "neither"}) == []


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_roles_are_the_same_roles_elsewhere(seed: int) -> None:
    dealt = shuffled_roles(ROLES, seed)
    assert dealt.keys() == ROLES.keys() and Counter(dealt.values()) == Counter(ROLES.values())
    assert dealt != ROLES and dealt == shuffled_roles(ROLES, seed)
    arms = shuffled_arms("tuned", ROLES, 0.5, seed)
    assert all(arm.control for arm in arms) and [len(factors(arm)) for arm in arms] == [2, 6, 8]
    assert not {arm.name for arm in arms} & {arm.name for arm in paper_arms("tuned", ROLES, 0.5)}
    assert shuffled_roles({1: "general", 2: "general"}, seed) == {1: "general", 2: "general"}


def test_leaving_out_and_alone() -> None:
    layers = sorted(ROLES)
    assert [dict(factors(arm)) for arm in leave_one_out("tuned", layers)] == [{at: 0.0} for at in layers]
    pairs = leave_two_out("tuned", layers)
    assert len(pairs) == 36 == len({arm.name for arm in pairs})
    assert all(len(factors(arm)) == 2 and scaled(arm).others == 1.0 for arm in pairs)
    assert [(dict(factors(arm)), scaled(arm).others) for arm in alone("tuned", [4])] == [({4: 1.0}, 0.0)]
    assert set(dict(factors(no_op("tuned", layers))).values()) == {1.0} and no_op("tuned", layers).control


def test_the_matrix_and_what_a_pair_does_beyond_its_two() -> None:
    rates = {"without-1": 0.3, "without-2": 0.2, "without-5": 0.5, "without-1-2": 0.1, "without-2-5": 0.0}
    assert pair_matrix(rates, [1, 2, 5]) == [[0.3, 0.1, None], [0.1, 0.2, 0.0], [None, 0.0, 0.5]]
    assert interaction(rates, 0.5, 1, 2) == pytest.approx(-0.4 - (-0.2 - 0.3))
    assert interaction(rates, 0.5, 1, 5) is None
