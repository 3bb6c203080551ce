"""Shuffles without what they share with the labels, means over domains, and overlaps, on numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.families import WIDTH, shared

from misdirection.engine import Arm, Text
from misdirection.features import Dictionary
from misdirection.features.differences import Differences, Found, Side, compare_texts, differences, label_columns
from misdirection.features.stream import Tally
from misdirection.studies.features.comparison import LatentComparison, mean_comparison, unlabelled
from misdirection.studies.features.overlap import overlaps, pair_of, shared_list, top_list
from misdirection.studies.features.results.overlap import Intersection

IDENTITY = Dictionary(torch.eye(6), torch.eye(6), torch.zeros(6), torch.zeros(6), layer=1)


def comparison(
    values: list[float], shuffled: torch.Tensor | None = None, p: float = 0.01, name: str = "a"
) -> LatentComparison:
    value = torch.tensor(values, dtype=torch.float64)
    many = len(values)
    held = Differences(value, value / 10, torch.full((many,), p).double(), torch.full((many,), p).double(),
                       torch.ones(many, dtype=torch.bool))  # fmt: skip
    noise = torch.zeros(3, many) if shuffled is None else shuffled
    return LatentComparison(name, held, value, torch.zeros(many).double(), noise, {})


def found_of(states: list[torch.Tensor], first: int, shuffles: int, groups: list[str] | None) -> Found:
    labels = [place < first for place in range(len(states))]
    columns = torch.from_numpy(label_columns(labels, shuffles, groups=groups, seed=3))
    tally = Tally(IDENTITY, columns, 1)
    tally.read([(place, 0, one) for place, one in enumerate(states)])
    statistics = tally.finish()
    return Found(differences(statistics), statistics)


def texts_of(states: list[torch.Tensor]) -> list[Text]:
    return [Text((1,) * len(one), {"answer": (0, len(one))}, Arm("base")) for one in states]


@pytest.mark.parametrize("paired", [True, False])
def test_a_latent_that_is_the_label_alone_leaves_nothing_under_shuffles(paired: bool) -> None:
    """Latent 0 is 1 in the first class and 0 in the second; latent 1 is noise, and stays what its shuffles say."""
    generator = torch.Generator().manual_seed(0)
    states = []
    for place in range(20):
        one = torch.rand(3 + place % 4, 6, generator=generator)
        one[:, 0] = float(place < 10)
        states.append(one)
    groups = [str(place % 10) for place in range(20)] if paired else None
    found = found_of(states, 10, 15, groups)
    sides = [Side(shared("llama"), texts_of(part)) for part in (states[:10], states[10:])]
    noise = unlabelled(found, *sides, "answer", groups, "difference", "token", 15, 3)
    assert noise.shape == (15, 6)
    assert noise[:, 0].abs().max() < 1e-12 < noise[:, 1].abs().max()
    # The plain way: shuffled difference minus the true one times how far the shuffle follows the labels, by tokens.
    columns = label_columns([place < 10 for place in range(20)], 15, groups=groups, seed=3)
    sizes, totals = np.array([len(one) for one in states]), torch.stack([one.sum(0) for one in states]).double().numpy()
    true = totals[:10].sum(0) / sizes[:10].sum() - totals[10:].sum(0) / sizes[10:].sum()
    for shuffle in range(15):
        a, b = columns[:, 2 + 2 * shuffle], columns[:, 3 + 2 * shuffle]
        seen = a @ totals / (a @ sizes) - b @ totals / (b @ sizes)
        follows = (a[:10] @ sizes[:10]) / (a @ sizes) - (b[:10] @ sizes[:10]) / (b @ sizes)
        np.testing.assert_allclose(noise[shuffle].numpy(), seen - follows * true, atol=1e-6)


def test_the_mean_over_domains_averages_and_combines_by_stouffer() -> None:
    one, other = comparison([3.0, 1.0, -1.0, 0.0], p=0.04), comparison([1.0, -1.0, -3.0, 0.0], p=0.04)
    held = mean_comparison([one, other])
    assert held.differences.value.tolist() == [2.0, 0.0, -2.0, 0.0]
    from scipy.stats import norm

    together = 2 * norm.sf(2 * norm.isf(0.02) / 2**0.5)
    # The first and third agree in sign, the second cancels, the last has no sign.
    assert held.differences.p.tolist() == pytest.approx([together, 1.0, together, 1.0])
    assert held.differences.q.tolist() == pytest.approx([2 * together, 1.0, 2 * together, 1.0])
    alone = mean_comparison([one])
    assert alone.differences.p[:3].tolist() == pytest.approx([0.04] * 3)
    assert torch.equal(alone.differences.value, one.differences.value)


def test_lists_take_rises_alone_and_share_the_latents_of_most_lists() -> None:
    held = comparison([5.0, -7.0, 3.0, 0.0, 4.0])
    assert top_list(held, 10) == [0, 4, 2] and top_list(held, 10, -1) == [1]
    assert shared_list({"a": [1, 2, 3], "b": [3, 2], "c": [9, 2, 3]}) == [2, 3]
    assert shared_list({"a": [1, 2], "b": [3, 1], "c": [4]}) == [1]
    assert shared_list({"a": [1], "b": [2]}) == [] and shared_list({"a": [1]}) == [] and shared_list({}) == []


def test_overlaps_count_latents_that_live_in_both_and_shuffled_lists_beside_them() -> None:
    one = comparison([9.0, 8.0, 7.0, 0.1, 0.2, 0.3, -1.0, -1.0], torch.eye(8)[:2].float() * 5)
    other = comparison([9.0, 0.1, 7.0, 8.0, 0.2, 0.3, -1.0, -1.0], torch.eye(8)[2:4].float() * 5)
    row = pair_of("x", "y", one, other, 3)
    assert (row.shared, row.alive, row.of) == (2, 8, (3, 3))
    assert row.odds_ratio == pytest.approx(2 * 4 / (1 * 1))
    # Lists under shuffles hold latents 2 and 3 of the other (2 in the first's list), and 0 and 1 of the first.
    shuffled = row.shuffled
    assert (shuffled.mean, shuffled.high) == pytest.approx(((1 + 0 + 1 + 0) / 4, 1.0))
    assert shuffled.n == 4 and shuffled.p == pytest.approx(1 / 5)
    silent = replace(other.differences, alive=torch.arange(8) > 0)
    dead = replace(other, differences=silent)
    assert pair_of("x", "z", one, dead, 3).alive == 7
    whole = overlaps({"x": one, "y": one}, 3)
    assert whole.pairs[0].odds_ratio is None and whole.pairs[0].shared == 3
    assert whole.intersections == (Intersection(lists=("x", "y"), count=3),)


def test_two_models_are_compared_as_one_model_with_two_arms() -> None:
    """An adapter in one resident model, and the same as two readings of two models, give the same figures."""
    from tests.families import build, prompt

    both = Dictionary(torch.eye(WIDTH), torch.eye(WIDTH), torch.zeros(WIDTH), torch.zeros(WIDTH), layer=2)
    one, again = shared("llama"), build("llama")

    def texts(adapter: str | None) -> list[Text]:
        arm = Arm(adapter or "base", adapter)
        return [Text(prompt(n, 12), {"answer": (4, 12)}, arm, 4) for n in range(6)]

    groups = 2 * [str(n) for n in range(6)]
    same = compare_texts(both, Side(one, texts("all")), Side(one, texts(None)), span="answer", groups=groups,
                            shuffles=5)  # fmt: skip
    apart = compare_texts(both, Side(one, texts("all")), Side(again, texts(None)), span="answer",
                             groups=groups, shuffles=5)  # fmt: skip
    assert torch.allclose(same.differences.value, apart.differences.value, atol=1e-5)
    assert torch.allclose(same.differences.p, apart.differences.p, atol=1e-3)
    assert float(same.differences.value.abs().max()) > 0.01
