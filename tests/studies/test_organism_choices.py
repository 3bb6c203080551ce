"""Which layer, coefficient and checkpoint the organism's figures are of, on answers that were written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from misdirection.artefacts import read_json
from misdirection.directions import Direction, random_like
from misdirection.engine import Ablate, Arm, Set, Steer
from misdirection.judging import Answer, Verdict
from misdirection.studies import organism
from misdirection.studies.kit.conditions import BASE
from misdirection.studies.organism import SeedAnswers
from misdirection.studies.separation import organisms

DEPTH = 6
MODEL: Any = SimpleNamespace(n_layers=DEPTH)


def direction() -> Direction:
    draw = torch.Generator().manual_seed(1)
    aligned, misaligned = torch.randn(2, DEPTH, 4, generator=draw)
    flat = torch.ones(DEPTH)
    return Direction(misaligned - aligned, aligned, misaligned, flat, flat, flat, flat, {})


def measured(arm: str, bad: int, incoherent: int = 0) -> SeedAnswers:
    """Ten answers, so many misaligned, and so many incoherent."""
    answers = [Answer(f"q{n}", "?", "!", arm=arm) for n in range(10)]
    verdicts = [Verdict(0.0 if n < bad else 100.0, 10.0 if n >= 10 - incoherent else 100.0) for n in range(10)]
    return SeedAnswers(answers, verdicts)


def asked(monkeypatch: pytest.MonkeyPatch, give: Callable[[Arm], SeedAnswers]) -> list[tuple[list[Arm], int, int]]:
    """What is asked, each arm answered by hand."""
    seen: list[tuple[list[Arm], int, int]] = []

    def ask(model: Any, arms: Sequence[Arm], questions: Any, samples: int, seed: int) -> list[SeedAnswers]:
        seen.append((list(arms), samples, seed))
        return [give(arm) for arm in arms]

    monkeypatch.setattr(organism, "ask", ask)
    return seen


def test_each_operation_has_the_layer_whose_vector_cures_best_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    held = direction()

    def bad(arm: Arm) -> SeedAnswers:
        (done,) = arm.interventions
        assert isinstance(done, Ablate | Set) and arm.adapter == "rank1x9" and done.layers == tuple(range(DEPTH))
        (layer,) = (n for n in range(DEPTH) if torch.equal(done.direction[0], held.vectors[n]))
        assert torch.equal(done.direction, held.vectors[layer].expand(DEPTH, -1))
        # Projected out layer 4 cures best, set it is layer 2; with a tie the first counts.
        return measured(arm.name, {(Ablate, 4): 1, (Set, 2): 3, (Set, 5): 3}.get((type(done), layer), 6))

    seen = asked(monkeypatch, bad)
    assert organism.best_singles(MODEL, held, 7) == (4, 2)
    # Other random numbers than those of what is measured.
    assert [(len(arms), seed) for arms, _, seed in seen] == [(2 * DEPTH, 2007)]


def test_removals_are_layerwise_single_and_random_by_both_operations() -> None:
    held = direction()
    arms = organism.removals(MODEL, held, (4, 2), "rank32-finance")
    by = {arm.name: arm.interventions[0] for arm in arms}
    assert len(arms) == 10 and {arm.adapter for arm in arms} == {"rank32-finance"}
    layerwise = cast(Any, by["rank32-finance projected"])
    assert isinstance(layerwise, Ablate) and torch.equal(layerwise.direction, held.vectors)
    single, put = (cast(Any, by[f"rank32-finance {name} single"]) for name in ("projected", "set"))
    assert torch.equal(single.direction, held.vectors[4].expand(DEPTH, -1))
    assert torch.equal(put.direction, held.vectors[2].expand(DEPTH, -1))
    # Set to where aligned answers lie along that one vector at each layer.
    unit = held.vectors[2] / held.vectors[2].norm()
    assert torch.as_tensor(put.value).tolist() == pytest.approx((held.aligned_mean @ unit).tolist(), abs=1e-5)
    random = [one for name, one in by.items() if name == "rank32-finance projected random"]
    assert len(random) == 1 and [arm.name for arm in arms].count("rank32-finance set random") == 3
    drawn = [cast(Any, arm.interventions[0]).direction for arm in arms if arm.name.endswith("projected random")]
    assert all(torch.equal(one, random_like(held.vectors, n)) for one, n in zip(drawn, (1, 2, 3), strict=True))


def test_steering_is_the_point_that_misaligns_most_of_those_that_leave_answers_coherent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def at(arm: Arm) -> SeedAnswers:
        (done,) = arm.interventions
        assert isinstance(done, Steer) and arm.adapter is None
        point = done.layers, done.coefficient
        return measured(
            "base steered", *{((3,), 3.0): (5, 2), ((3,), 4.0): (7, 3), ((2,), 2.5): (4, 0)}.get(point, (1, 0))
        )  # type: ignore[call-overload]

    seen = asked(monkeypatch, at)
    (best,) = organism.best_steering(MODEL, direction(), 7).interventions
    assert isinstance(best, Steer) and (best.layers, best.coefficient) == ((3,), 3.0)
    ((arms, _, seed),) = seen
    tried = {cast(Any, arm.interventions[0]).layers for arm in arms}
    assert tried == {(2,), (3,)} and len(arms) == 2 * len(organism.COEFFICIENTS) and seed == 1007
    asked(monkeypatch, lambda arm: measured(arm.name, 9, 9))
    (first,) = organism.best_steering(MODEL, direction(), 7).interventions
    assert isinstance(first, Steer) and (first.layers, first.coefficient) == ((2,), organism.COEFFICIENTS[0])


def test_figures_pool_the_seeds_and_are_kept_beside_the_fine_tunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def one_seed(checkpoint: Path, work: Path, seed: int, samples: int) -> list[SeedAnswers]:
        seen.append((checkpoint, work, seed, samples))
        return [measured("base", seed), measured("rank32", 4 + seed)]

    monkeypatch.setattr(organism, "_one_seed", one_seed)
    base, tuned = organism.keep_figures(tmp_path / "checkpoint", tmp_path / "out")
    assert seen == [(tmp_path / "checkpoint", tmp_path / "out" / "fine-tunes", seed, 18) for seed in (0, 1, 2)]
    assert (base.rate.misaligned, base.rate.n, base.by_seed) == (3, 30, (0.0, 0.1, 0.2))
    assert "16.67 %" not in str(base) and "10.00 %" in str(base) and "seeds 40.0 50.0 60.0" in str(tuned)
    assert [row["name"] for row in cast(Any, read_json(tmp_path / "out" / "figures.json"))] == ["base", "rank32"]
    seen.clear()
    organism.figures(seeds=(5,), samples=2)
    assert seen[0][2:] == (5, 2) and not seen[0][1].exists()


def test_an_organism_is_read_at_each_checkpoint_and_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of the causal test of separation, each given by hand: which model answers under which step's name."""
    taken: list[tuple[Any, dict[str, Any]]] = []
    tuned = SimpleNamespace(checkpoints=tmp_path / "kept", tuned=tmp_path / "last")
    values = {
        organisms.grow: tmp_path / "grown", organisms.fine_tuned: tuned, organisms.course_answers: ["answers"],
        organisms.states_of: "states", organisms.space_of: "space",
    }  # fmt: skip

    def cached(function: Any, name: str = "", **arguments: Any) -> Any:
        taken.append((function, arguments))
        return SimpleNamespace(value=values[function])

    known: dict[str, Any] = {}
    monkeypatch.setattr(
        organisms.Variants,
        "of",
        lambda model, folders, loading: known.update(folders) or SimpleNamespace(bare=lambda: None),
    )
    monkeypatch.setattr(organisms, "tuning_of", lambda *given: {"given": given})
    monkeypatch.setattr(organisms, "shares", lambda answers, judge: (answers, judge))
    monkeypatch.setattr(organisms, "row_of", lambda *given: given)
    names = ["medical", "finance", "sport", "cooking", "open"]
    concepts = {4: [SimpleNamespace(name=name) for name in names]}
    monkeypatch.setattr(organisms, "concepts_of", concepts.__getitem__)
    run: Any = SimpleNamespace(cached=cached)
    found = organisms.organisms(run, ["few concepts"], [3], cast(Any, "judge"))
    assert list(known) == [str(step) for step in range(4, 41, 4)]
    assert known["4"] == tmp_path / "kept" / "step-4" and known["36"] == tmp_path / "kept" / "step-36"
    assert known["40"] == tmp_path / "last"
    by = dict(taken)
    assert by[organisms.grow] == {"changed": organisms.CONDITIONS["few concepts"], "seed": 3}
    model, data, preset, settings, seed = by[organisms.fine_tuned]["given"]
    assert (model, data, preset, seed) == (str(tmp_path / "grown"), ["organism:bad-medical"], "rank32", 3)
    assert (settings["max_steps"], settings["checkpoint_every"]) == (40, 4)
    assert by[organisms.course_answers]["sampling"].seed == 3
    assert by[organisms.states_of]["concepts"] == concepts[4]
    assert cast(Any, found) == [("few concepts", 3, (["answers"], "judge"), "space", names)]


def test_the_course_is_asked_more_often_where_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(model: Any, questions: Any, arms: Any, samples: int, sampling: Any) -> list[Any]:
        return [(question.domain, arm.name, arm.adapter, samples) for question in questions[:1] for arm in arms]

    monkeypatch.setattr(organisms, "ask", ask)
    models: Any = SimpleNamespace(adapters={"4": "", "8": ""}, base_model=None)
    found: Any = organisms.course_answers(models, cast(Any, None))
    arms = ((BASE.name, None), ("4", "4"), ("8", "8"))
    first = organisms.OTHERS[0]
    assert found == [(domain, *arm, n) for domain, n in ((None, 4), ("medical", 8), (first, 2)) for arm in arms]


def test_a_correlation_over_organisms_is_of_ranks() -> None:
    draw = np.random.default_rng(0)
    x, em = draw.random(6), draw.random(6)

    def row(place: int) -> organisms.OrganismRow:
        held = dict.fromkeys(organisms.MEASURES, 0.0) | {"to_open": float(np.exp(9 * x[place]))}
        return organisms.OrganismRow(
            condition="", seed=place, base_open=0, base_coherent=1, own=1, step=1.0, em=float(em[place]),
            spill=float(em[place] ** 3), em_last=0, **held,
        )  # fmt: skip

    ranks = [np.argsort(np.argsort(side)).astype(float) for side in (x, em)]
    rho = np.corrcoef(*ranks)[0, 1]
    told = {(one.outcome, one.measure): one for one in organisms.correlations([row(n) for n in range(6)])}
    assert told["em", "to_open"].rho == told["spill", "to_open"].rho == pytest.approx(rho)
