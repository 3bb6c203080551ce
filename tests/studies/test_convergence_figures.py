"""The figures of a grid of fine-tunes against plain loops: cosines, chance, angles, removals one by one and pooled."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.statistics.samples import arm

from misdirection.directions.null import Nulls
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds, benjamini_hochberg, compare
from misdirection.studies.convergence.grid import Member
from misdirection.studies.convergence.results import Removals
from misdirection.studies.convergence.similarity import similarity
from misdirection.studies.convergence.transfer import Treated, choose_layers, removals, removed, single
from misdirection.studies.kit.judged import Judged

RULES = Thresholds(30, 50)
GRID = [Member(f"{data}-{kind}", data, kind) for data in ("sport", "food") for kind in ("a", "b")]
LAYERS, WIDTH, SHUFFLES = 3, 6, 5
PAIRS = list(combinations(range(4), 2))


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def null(seed: int) -> Nulls:
    free, within, matched_free = (drawn(10 * seed + i, SHUFFLES, LAYERS, WIDTH) for i in range(3))
    return Nulls(free, within, drawn(10 * seed + 3, LAYERS, WIDTH), matched_free, seed)


VECTORS = drawn(0, 4, LAYERS, WIDTH) + 1.0
NULLS = [null(seed) for seed in range(1, 5)]


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    a, b = one.numpy(), other.numpy()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def chance(kind: str, layer: int) -> tuple[float, float]:
    """Where 95 % of the cosines of shuffle k with shuffle k lie."""
    held = [getattr(one, kind) for one in NULLS]
    found = [cosine(held[i][k, layer], held[j][k, layer]) for i, j in PAIRS for k in range(SHUFFLES)]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def test_cosines_stand_beside_their_own_chance_at_every_layer() -> None:
    stability = torch.full((4, LAYERS), 0.9, dtype=torch.float64) - torch.arange(4.0)[:, None] / 10
    found = similarity(GRID, VECTORS, stability, NULLS)
    assert found.null is not None and found.matched is not None and found.ceiling is not None
    for at in range(LAYERS):
        values = [cosine(VECTORS[i, at], VECTORS[j, at]) for i, j in PAIRS]
        assert [pair.cosine[at] for pair in found.pairs] == pytest.approx(values, rel=1e-4)
        assert (found.mean[at], found.lowest[at], found.highest[at]) == pytest.approx(
            (np.mean(values), min(values), max(values)), rel=1e-4
        )
        assert found.above[at] == pytest.approx(np.mean([value > found.high for value in values]), rel=1e-4)
        # sport-a with sport-b and food-a with food-b share data; the firsts and the seconds share the preset.
        by = {name: values_of[at] for name, values_of in found.relations.items()}
        assert by == pytest.approx({
            "same data, other preset": (values[0] + values[5]) / 2,
            "same preset, other data": (values[1] + values[4]) / 2,
            "other data and preset": (values[2] + values[3]) / 2,
        }, rel=1e-4)  # fmt: skip
        for kind, band in (
            ("free", found.null.free), ("within", found.null.within), ("matched_free", found.matched.null),
        ):  # fmt: skip
            assert (band.low[at], band.high[at]) == pytest.approx(chance(kind, at), rel=1e-4), kind
        like = [cosine(NULLS[i].matched[at], NULLS[j].matched[at]) for i, j in PAIRS]
        assert (found.matched.mean[at], found.matched.lowest[at], found.matched.highest[at]) == pytest.approx(
            (np.mean(like), min(like), max(like)), rel=1e-4
        )
    assert found.matched.questions == (1, 2, 3, 4) and found.width == WIDTH


def shared(vectors: torch.Tensor) -> float:
    """The largest eigenvalue of the sum of outer products of unit vectors, as a share of all."""
    units = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
    return float(np.linalg.eigvalsh(units.T @ units)[-1] / len(units))


def between(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Smallest and largest angle of two planes, by the singular values of the product of their bases."""
    bases = [np.linalg.qr(side.numpy().T)[0] for side in (one, other)]
    values = np.clip(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False), -1, 1)
    degrees = np.degrees(np.arccos(values))
    return float(degrees.min()), float(degrees.max())


def test_the_common_axis_and_angles_stand_beside_those_of_shuffled_labels() -> None:
    found = similarity(GRID, VECTORS, None, NULLS)
    free = torch.stack([one.free for one in NULLS])
    groups = {"data": ([0, 1], [2, 3]), "preset": ([0, 2], [1, 3])}
    assert [(row.by, row.one, row.other) for row in found.angles] == [("data", "sport", "food"), ("preset", "a", "b")]
    for at in range(LAYERS):
        assert found.shared.first[at] == pytest.approx(shared(VECTORS[:, at]), rel=1e-4)
        assert found.shared.null is not None
        shuffled_axis = np.mean([shared(free[:, k, at]) for k in range(SHUFFLES)])
        assert found.shared.null[at] == pytest.approx(shuffled_axis, rel=1e-4)
        for row in found.angles:
            one, other = groups[row.by]
            measured = between(VECTORS[one, at], VECTORS[other, at])
            assert (row.smallest[at], row.largest[at]) == pytest.approx(measured, rel=1e-4)
            shuffled = np.array([between(free[one, k, at], free[other, k, at]) for k in range(SHUFFLES)])
            assert row.null is not None
            ends = np.quantile(shuffled, 0.05, axis=0)
            assert (row.null.smallest[at], row.null.largest[at]) == pytest.approx(tuple(ends), rel=1e-4)
    assert similarity(GRID, VECTORS, None, []).null is None


HITS = {
    "sport-a": {"": [9, 8, 7, 9, 6, 8], "project-1 sport-a": [1, 0, 2, 1, 0, 0], "project-1 food-a": [4, 3, 5, 6, 2, 4],
                "project-1 food-b": [8, 8, 6, 9, 5, 8], "random": [9, 7, 7, 9, 6, 8]},
    "food-a": {"": [5, 6, 4, 5, 6, 4], "project-1 sport-a": [2, 1, 2, 3, 2, 1], "project-1 food-a": [0, 0, 1, 0, 0, 0],
               "project-1 food-b": [1, 0, 0, 2, 1, 1], "random": [5, 6, 5, 5, 6, 4]},
}  # fmt: skip
"""Misaligned answers of ten, by target, by what is removed, and by question."""


@pytest.fixture(scope="module")
def taken() -> Removals:
    config: Any = SimpleNamespace(random_seeds=1)
    treated, judged = list[Treated](), dict[str, Judged]()
    for target in (GRID[0], GRID[2]):
        arms = removals(config, target, ["sport-a", "food-a", "food-b"], {"project": 1})
        parts = [arm(HITS[target.name][""], 10, target.name)]
        for how in ("single", "random"):
            for one in arms[how]:
                treated.append(Treated(how, one, target))
                name = "random" if how == "random" else one.name.removesuffix(f" from {target.name}")
                said, marks = arm(HITS[target.name][name], 10, one.name)
                # The last answer after a removal is good, and babble where it is no random one.
                parts.append((said, marks if how == "random" else [*marks[:-1], Verdict(95.0, 10.0)]))
        judged[target.name] = Judged([a for p in parts for a in p[0]], [v for p in parts for v in p[1]])
    return removed(GRID, treated, judged, RULES)


def test_each_removal_is_held_against_its_own_target_as_it_is(taken: Removals) -> None:
    rows = {(row.target, row.source): row for row in taken.rows}
    assert len(rows) == len(taken.rows) == 8
    for (target, source), row in rows.items():
        after = HITS[target]["random" if source == "random" else f"project-1 {source}"]
        before = HITS[target][""]
        truth = compare(arm(before, 10), arm(after, 10), thresholds=RULES, resamples=2000)
        assert (row.before.value, row.rate.value) == pytest.approx((sum(before) / 60, sum(after) / 60))
        assert row.difference.value == pytest.approx((sum(after) - sum(before)) / 60)
        assert (row.difference.low, row.difference.high, row.difference.p) == pytest.approx(
            (truth.low, truth.high, truth.p_questions)
        )
        assert row.reduction is not None
        assert row.reduction.value == pytest.approx(1 - sum(after) / sum(before))
        assert row.coherent_share.value == pytest.approx(1 if source == "random" else 59 / 60)
        assert row.control == (source == "random")
    relations = {place: row.relation for place, row in rows.items()}
    assert relations["sport-a", "random"] == relations["sport-a", "sport-a"] == relations["food-a", "food-a"] == "own"
    assert relations["sport-a", "food-a"] == relations["food-a", "sport-a"] == "same preset, other data"
    assert relations["food-a", "food-b"] == "same data, other preset"
    assert relations["sport-a", "food-b"] == "other data and preset"
    assert [row.q for row in taken.rows] == pytest.approx(benjamini_hochberg([r.difference.p for r in taken.rows]))


def test_pools_hold_their_own_pairs_and_name_the_least_and_the_most(taken: Removals) -> None:
    pooled = {(row.how, row.relation): row for row in taken.pooled}
    wanted = {
        ("random", "own"): [("sport-a", "random"), ("food-a", "random")],
        ("single", "own"): [("sport-a", "project-1 sport-a"), ("food-a", "project-1 food-a")],
        ("single", "same data, other preset"): [("food-a", "project-1 food-b")],
        ("single", "same preset, other data"): [("sport-a", "project-1 food-a"), ("food-a", "project-1 sport-a")],
        ("single", "other data and preset"): [("sport-a", "project-1 food-b")],
        ("single", "all others"): [("sport-a", "project-1 food-a"), ("sport-a", "project-1 food-b"),
                                   ("food-a", "project-1 sport-a"), ("food-a", "project-1 food-b")],
    }  # fmt: skip
    assert list(pooled) == list(wanted)
    for key, pairs in wanted.items():
        before = [sum(HITS[target][""]) for target, _ in pairs]
        after = [sum(HITS[target][name]) for target, name in pairs]
        row, changes = pooled[key], [(b - a) / 60 for a, b in zip(before, after, strict=True)]
        assert (row.pairs, row.before.n, row.rate.n) == (len(pairs), 60 * len(pairs), 60 * len(pairs))
        assert (row.before.misaligned, row.rate.misaligned) == (sum(before), sum(after))
        assert row.difference.value == pytest.approx(np.mean(changes))
        assert (row.most, row.least) == pytest.approx((min(changes), max(changes)))
        assert row.reduction is not None and row.reduction.value == pytest.approx(1 - sum(after) / sum(before))


def test_the_layer_is_the_one_that_leaves_most_answers_coherent_and_not_misaligned() -> None:
    """Layer 2 leaves nothing misaligned and little speech, layer 3 a little harm in full speech."""
    counts = {1: (10, 6), 2: (3, 0), 3: (10, 1)}
    answers, verdicts = list[Answer](), list[Verdict]()
    for name in ("sport-a", "food-a"):
        for layer, (coherent, bad) in counts.items():
            for sample in range(10):
                answers.append(Answer("q", "?", "!", arm=single(name, name, "project", layer).name, sample=sample))
                verdicts.append(Verdict(0.0 if sample < bad else 90.0, 90.0 if sample < coherent else 10.0))
    settings = {"operations": ("project",), "layer": None, "layers": (1, 2, 3), "sweep_samples": 10}
    swept = SimpleNamespace(judged=Judged(answers, verdicts))
    bench: Any = SimpleNamespace(
        config=SimpleNamespace(**settings), thresholds=RULES, n_layers=4, ask=lambda *_, **__: swept
    )
    directions: Any = dict.fromkeys(("sport-a", "food-a"))
    models: Any = None
    assert choose_layers(bench, models, directions) == {"project": 3}
