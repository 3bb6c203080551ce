"""Differences of latents against plain formulas, SciPy, and planted truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from tests.families import WIDTH, build, prompt, shared

from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary
from misdirection.features.differences import (
    Side,
    compare_texts,
    correlations,
    differences,
    intersections,
    label_columns,
    overlap,
    pooled_p,
    rank_agreement,
)
from misdirection.features.stream import Contexts, LatentStatistics, latent_statistics

LATENTS, TEXTS = 30, 80


def tally(values: torch.Tensor, columns: np.ndarray) -> LatentStatistics:
    """Statistics of texts of one token each, so that every pool is the same."""
    weights = torch.from_numpy(columns).T
    sums, squares = weights @ values.double(), weights @ values.double() ** 2
    counts = weights.sum(1)
    names = ("token", "mean", "max")
    nothing = torch.zeros(0)
    return LatentStatistics(
        dict.fromkeys(names, sums),
        dict.fromkeys(names, squares),
        dict.fromkeys(names, counts),
        weights @ (values > 0).double(),
        nothing,
        Contexts(nothing, nothing, nothing),
    )


@pytest.fixture(scope="module")
def planted():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(TEXTS, LATENTS, generator=generator) - 0.3
    labels = [i % 2 == 0 for i in range(TEXTS)]
    values[::2, :3] += 0.5
    values[:, 29] = 0
    return values.clamp(min=0), labels


def test_correlation_is_scipys_and_the_planted_latents_lead(planted):
    values, labels = planted
    found = differences(tally(values, label_columns(labels, 99, seed=1)), "correlation")
    for latent in range(29):
        wanted = stats.pointbiserialr(labels, values[:, latent].double().numpy()).statistic
        assert float(found.value[latent]) == pytest.approx(wanted, abs=1e-9)
    assert set(found.top(3)) == {0, 1, 2}
    assert (found.q[:3] < 0.05).all() and (found.q[3:] > 0.05).float().mean() > 0.9
    assert not found.alive[29] and found.q[29] == 1 and 29 not in found.top(30)


def test_difference_and_firing(planted):
    values, labels = planted
    first, second = values[::2], values[1::2]
    held = tally(values, label_columns(labels, 3))
    assert torch.allclose(differences(held).value.float(), first.mean(0) - second.mean(0), atol=1e-6)
    fired = (first > 0).float().mean(0) - (second > 0).float().mean(0)
    assert torch.allclose(differences(held, "firing").value.float(), fired, atol=1e-6)
    assert differences(held).top(1, sign=-1)[0] == int((first.mean(0) - second.mean(0)).argmin())


def test_without_an_effect_p_values_are_uniform():
    generator = torch.Generator().manual_seed(5)
    values = torch.rand(200, 400, generator=generator)
    labels = [i < 100 for i in range(200)]
    found = differences(tally(values, label_columns(labels, 50, seed=2)), "correlation")
    assert stats.kstest(found.p.numpy(), "uniform").pvalue > 0.01
    assert int((found.q < 0.05).sum()) <= 2


def test_labels_are_exchanged_within_groups_only():
    labels = [True, False, True, False, True, True, False]
    groups = ["a", "a", "b", "b", "c", "c", "c"]
    columns = label_columns(labels, 200, groups=groups, seed=3)
    assert columns.shape == (7, 402)
    assert (columns[:, 0::2] + columns[:, 1::2] == 1).all()
    for group, many in (("a", 1), ("b", 1), ("c", 2)):
        rows = [i for i, name in enumerate(groups) if name == group]
        assert (columns[rows, 0::2].sum(0) == many).all()
    assert 0.35 < columns[0, 2::2].mean() < 0.65


def test_pooled_p_counts_every_null_value():
    null = torch.tensor([[0.1, -0.5], [0.3, 0.2]])
    assert pooled_p(torch.tensor([0.3, 0.9, 0.0]), null).tolist() == pytest.approx([3 / 5, 1 / 5, 1.0])


def test_overlap_is_fishers_test():
    found = overlap([1, 2, 3, 4], [3, 4, 5], 50)
    assert found.shared == 2 and found.expected == pytest.approx(12 / 50)
    assert found.p == pytest.approx(float(stats.hypergeom.sf(1, 50, 4, 3)))
    assert found.odds_ratio == pytest.approx(2 * 45 / (2 * 1))
    assert overlap([1], [1], 9).odds_ratio == float("inf")


def test_intersections_are_exact():
    lists = {"data": [1, 2, 3], "model": [2, 3, 4], "answers": [3, 9]}
    assert intersections(lists) == {
        ("answers",): 1,
        ("data",): 1,
        ("data", "model"): 1,
        ("data", "model", "answers"): 1,
        ("model",): 1,
    }


def test_rank_agreement_looks_at_living_latents_alone():
    one, other = torch.tensor([1.0, 2.0, 3.0, -9.0]), torch.tensor([10.0, 20.0, 30.0, 99.0])
    assert rank_agreement(one, other, torch.tensor([True, True, True, False])) == pytest.approx(1)


def test_a_latent_that_fires_in_one_class_alone_is_alive_and_a_constant_one_has_no_correlation():
    values = torch.zeros(8, 4)
    values[:4, 0], values[4:, 1], values[:, 3] = 1.0, 2.0, 0.5
    held = tally(values, label_columns([True] * 4 + [False] * 4, 20, seed=1))
    found = differences(held, "correlation")
    assert found.alive.tolist() == [True, True, False, True]
    assert found.value.tolist() == pytest.approx([1, -1, 0, 0])
    assert set(found.top(4)) == {0, 1, 3} and found.p[2] == found.q[2] == 1 and found.p[3] == pytest.approx(1)
    # The silent one has no part in the null: as many values as shuffles and living latents.
    null = correlations(held, "token")[1:, found.alive]
    assert found.p[:2].tolist() == pytest.approx([(1 + int((null.abs() > 0.999).sum())) / (1 + 60)] * 2)


@pytest.fixture(scope="module")
def two_sides():
    """A dictionary that sees each number of the stream, and texts under an adapter and under the base."""
    eye = Dictionary(torch.eye(WIDTH), torch.eye(WIDTH), torch.zeros(WIDTH), torch.zeros(WIDTH), layer=2)

    def texts(adapter: str | None, many: int) -> list[Text]:
        arm = Arm(adapter or "base", adapter)
        return [Text(prompt(n, 9 + n), {"answer": (4, 9 + n)}, arm, 4) for n in range(many)]

    return eye, texts("all", 3), texts(None, 5)


def test_comparing_is_one_pass_over_both_with_the_labels_of_its_seed_and_groups(two_sides):
    eye, first, second = two_sides
    model = shared("llama")
    groups = ["a", "b", "c", "a", "b", "c", "a", "b"]
    labels = [True] * 3 + [False] * 5
    found = compare_texts(eye, Side(model, first), Side(model, second), groups=groups, shuffles=9, seed=4, pool="mean")
    columns = torch.from_numpy(label_columns(labels, 9, groups=groups, seed=4))
    plain = latent_statistics(model, eye, [*first, *second], columns)
    wanted = differences(plain, "difference", "mean")
    assert torch.allclose(found.differences.value, wanted.value) and torch.allclose(found.differences.p, wanted.p)
    assert torch.allclose(found.statistics.sums["token"], plain.sums["token"])
    assert found.statistics.counts["mean"][:2].tolist() == [3, 5] and found.statistics.sums["mean"].shape[0] == 20
    for more in ({"seed": 5}, {"seed": 4, "groups": None}):
        other = compare_texts(eye, Side(model, first), Side(model, second), shuffles=9, **({"groups": groups} | more))
        assert not torch.allclose(other.statistics.sums["token"][2:], plain.sums["token"][2:])
        assert torch.allclose(other.statistics.sums["token"][:2], plain.sums["token"][:2])


def test_texts_of_a_second_model_are_numbered_behind_those_of_the_first(two_sides):
    eye, first, second = two_sides
    model, again = shared("llama"), build("llama")
    one = compare_texts(eye, Side(model, first), Side(model, second), shuffles=3)
    two = compare_texts(eye, Side(model, first), Side(again, second), shuffles=3)
    for pool in ("token", "mean", "max"):
        assert torch.allclose(one.statistics.sums[pool], two.statistics.sums[pool], atol=1e-4)
    contexts = one.statistics.contexts, two.statistics.contexts
    assert torch.allclose(contexts[0].values, contexts[1].values, atol=1e-5)
    assert torch.equal(contexts[0].texts, contexts[1].texts) and int(contexts[1].texts.max()) == 7


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: label_columns([True, True], 1), "empty"),
        (lambda: label_columns([True, False], 1, groups=["a"]), "groups"),
        (lambda: differences(tally(torch.ones(2, 2), label_columns([True, False], 1)), "guess"), "no statistic"),
    ],
)
def test_wrong_input(call, said):
    with pytest.raises(MisdirectionError, match=said):
        call()
