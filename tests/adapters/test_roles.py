"""The rule for roles on coefficients made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from misdirection.adapters.roles import classify, role_counts

GROUPS = {"a": [0], "b": [1], "c": [2], "d": [3]}


def flat(*values: float) -> np.ndarray:
    return np.tile(np.array(values, dtype=float), (20, 1))


def test_each_case_of_the_rule():
    #       a: general alone, b: domain alone, c: both but more of the domain's, d: neither
    found = classify(flat(1.0, 0.0, -0.2, 0.0), flat(0.0, 2.0, 1.0, 0.01), flat(0, 0, 0, 0), flat(0, 0, 0, 0), GROUPS)
    assert [item.role for item in found] == ["general", "domain", "domain", "neither"]
    assert all(item.stability == 1.0 for item in found)
    assert role_counts(found) == {"general": 1, "domain": 2, "neither": 1}
    assert found[0].shares[0] == pytest.approx(1 / 1.2)
    assert found[2].signed == pytest.approx((-0.2, 1.0)) and found[2].weights == pytest.approx((0.2, 1.0))


def test_a_weight_within_reach_of_shuffled_labels_does_not_count():
    null = np.zeros((20, 4))
    null[:, 0] = np.linspace(0, 3, 20)
    found = classify(flat(1, 1, 1, 1), flat(0, 0, 0, 0), null, flat(0, 0, 0, 0), GROUPS)
    assert [item.role for item in found] == ["neither", "general", "general", "general"]
    assert found[0].bars[0] == np.quantile(null[:, 0], 0.95)


def test_stability_is_the_share_of_resamples_with_the_same_role():
    general = flat(1.0, 1.0, 0.0, 0.0)
    general[:5, 0] = 0.0
    domain = flat(0.0, 0.0, 1.0, 1.0)
    none = flat(0, 0, 0, 0)
    found = classify(general, domain, none, none, GROUPS)
    assert found[0].role == "general" and found[0].stability == 0.75 and found[0].votes["neither"] == 0.25
    assert found[1].stability == 1.0


def test_adapters_of_several_columns_count_by_the_sum_of_theirs():
    groups = {"a": [0, 1], "b": [2, 3]}
    none = flat(0, 0, 0, 0)
    found = classify(flat(0.5, -0.5, 0, 0), flat(0, 0, 0.1, 0.1), none, none, groups)
    assert found[0].weights == pytest.approx((1.0, 0.0)) and found[1].weights == pytest.approx((0.0, 0.2))
    assert [item.role for item in found] == ["general", "domain"] and found[0].signed[0] == 0


def test_without_any_weight_all_are_neither():
    none = flat(0, 0, 0, 0)
    assert role_counts(classify(none, none, none[:0], none[:0], GROUPS)) == {"general": 0, "domain": 0, "neither": 4}
