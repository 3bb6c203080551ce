"""The causal check of latents, whole, on the organism at a small size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from misdirection import organism
from misdirection.answers import encode_answer
from misdirection.directions import load_direction
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features.corpus import chat_texts
from misdirection.features.differences import Side, compare_texts
from misdirection.models import load_model
from misdirection.runs import read_log
from misdirection.statistics import benjamini_hochberg
from misdirection.studies.features.effects import best, judge, summary
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.features.steering import causal_check, controls, tops
from misdirection.studies.kit.bench import Bench, FineTune
from misdirection.studies.kit.inputs import resolve_dictionary
from misdirection.studies.kit.steps import load_answers
from misdirection.studies.kit.variants import Variants
from misdirection.studies.page import render

LAYER = 6
# Half of the answers may be incoherent: at this size, what is looked for is a large effect.
CONFIG = FeaturesConfig(
    preset="rank32", training={"max_steps": 12, "lr": 1e-3}, steered=3, random_latents=1, strengths=(0.4, 0.6),
    incoherent_at_most=0.5, sweep_samples=1, steer_samples=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def dictionary() -> Any:
    return resolve_dictionary(f"organism:{LAYER}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench[FeaturesConfig]]:
    with Bench[FeaturesConfig].open(tmp_path_factory.mktemp("steering") / "run", CONFIG) as bench:
        yield bench


@pytest.fixture(scope="module")
def models(bench: Bench[FeaturesConfig]) -> Variants:
    c = bench.config
    return bench.fine_tunes({"medical": FineTune(c.preset, ("organism:bad-medical",), c.training, c.seed)})


@pytest.fixture(scope="module")
def lists(models: Variants, dictionary: Any) -> dict[str, list[int]]:
    """Latents by how much more the villain's answers hold them than the helper's, and two of them again."""
    base = models.base_model
    sides = [
        Side(base, chat_texts(organism.persona_chats(name, 200), base.tokenizer, Arm("base")))
        for name in ("villain", "helper")
    ]
    found = compare_texts(dictionary, *sides, shuffles=0).differences.top(100)
    return {"villain": found, "again": found[1:3]}


@pytest.fixture(scope="module")
def part(
    bench: Bench[FeaturesConfig], models: Variants, dictionary: Any, lists: dict[str, list[int]]
) -> dict[str, Any]:
    return causal_check(bench, models, dictionary, lists, LAYER)


def test_a_latent_of_the_villain_turns_the_base_bad_and_the_fine_tune_good_and_random_ones_do_not(
    part: dict[str, Any],
) -> None:
    listed = [row for row in part["rows"] if not row["control"]]
    random = [row for row in part["rows"] if row["control"]]
    assert len(listed) == 3 and len(random) == 1 and part["target"] == "medical"
    assert part["unsteered"]["up"]["rate"]["value"] < 0.05 and part["unsteered"]["down"]["rate"]["value"] > 0.4
    both = [row for row in listed if row["both"]]
    assert both and max(row["up"]["rate"]["value"] for row in both) > 0.1
    assert min(row["down"]["rate"]["value"] for row in both) < 0.1
    for row in random:
        assert row["up"]["rate"]["value"] < 0.05
        assert row["down"]["strength"] is None or row["down"]["rate"]["value"] > 0.25
        assert not row["up"]["passes"] and not row["both"]
    assert {row["list"]: row["both"] for row in part["summary"]}["random"] == 0


def test_each_latent_is_steered_once_and_says_which_lists_hold_it(
    part: dict[str, Any], lists: dict[str, list[int]]
) -> None:
    listed = {row["latent"]: row for row in part["rows"] if not row["control"]}
    assert list(listed) == lists["villain"][:3]
    first, second, third = listed.values()
    assert first["lists"] == ["villain"] and second["lists"] == third["lists"] == ["villain", "again"]
    assert second["ranks"] == {"villain": 2, "again": 1}
    every = set(lists["villain"])
    assert all(row["latent"] not in every and not row["lists"] for row in part["rows"] if row["control"])
    assert [(row["list"], row["steered"]) for row in part["summary"]] == [("villain", 3), ("again", 2), ("random", 1)]


def test_the_strength_kept_is_the_best_of_the_sweep(bench: Bench[FeaturesConfig], part: dict[str, Any]) -> None:
    step = next(s for s in bench.run.steps() if s.name == "latents-sweep-answers")
    arms = {answer.arm for answer in load_answers(step)}
    assert len(arms) == 4 * 2 * 2
    for row in part["rows"]:
        for side, sign in (("up", 1), ("down", -1)):
            points = row[side]["sweep"]
            assert [p["strength"] for p in points] == [0.4, 0.6]
            assert all(f"{side} {row['latent']} x {p['strength']:g}" in arms for p in points)
            allowed = [p for p in points if p["allowed"]]
            assert all(p["coherent"] >= 0.5 for p in allowed)
            if row[side]["strength"] is None:
                assert not allowed and not row[side]["passes"]
                continue
            kept = next(p for p in allowed if p["strength"] == row[side]["strength"])
            assert sign * kept["rate"] == max(sign * p["rate"] for p in allowed)


def test_changes_are_paired_and_q_is_over_the_whole_family(part: dict[str, Any]) -> None:
    sides = [(row[side], sign) for row in part["rows"] for side, sign in (("up", 1), ("down", -1))
             if row[side]["strength"] is not None]  # fmt: skip
    adjusted = benjamini_hochberg([held["difference"]["p"] for held, _ in sides])
    for (held, sign), q in zip(sides, adjusted, strict=True):
        moved = held["rate"]["value"] - held["before"]["value"]
        assert held["difference"]["value"] == pytest.approx(moved) and held["q"] == pytest.approx(q)
        assert held["rate"]["n"] == held["before"]["n"] == 28
        assert held["passes"] == (q < 0.05 and sign * moved > 0 and held["coherent_share"]["value"] >= 0.5)


def test_vectors_are_as_long_as_the_median_of_the_residual_stream(
    bench: Bench[FeaturesConfig], dictionary: Any, part: dict[str, Any]
) -> None:
    """Against the model's own hidden states, text by text."""
    answers = load_answers(next(s for s in bench.run.steps() if s.name == "latents-unsteered-answers"))
    base, norms = load_model(str(organism.checkpoint_path())), []
    with torch.no_grad():
        for answer in answers:
            if answer.arm == "base" and answer.answer.strip():
                ids = torch.tensor([encode_answer(base, answer).ids])
                state = base.lm(input_ids=ids, output_hidden_states=True).hidden_states[LAYER + 1][0, 1:]
                norms.append(state.norm(dim=-1))
    expected = float(torch.cat(norms).median())
    assert part["norm"] == pytest.approx(expected, rel=1e-3)
    folder = next(s for s in bench.run.steps() if s.name == "latents-vectors").path / "directions"
    assert sorted(int(f.stem) for f in folder.iterdir()) == sorted(row["latent"] for row in part["rows"])
    for file in folder.iterdir():
        held, decoder = load_direction(file).vectors, dictionary.decoder[int(file.stem)]
        assert held[LAYER].tolist() == pytest.approx((part["norm"] * decoder / decoder.norm()).tolist(), rel=1e-4)
        assert not held[[layer for layer in range(len(held)) if layer != LAYER]].any()


def test_a_second_time_gives_the_same_and_makes_no_step(
    bench: Bench[FeaturesConfig], models: Variants, dictionary: Any, lists: dict[str, list[int]], part: dict[str, Any]
) -> None:
    before = len(read_log(bench.run.path))
    assert causal_check(bench, models, dictionary, lists, LAYER) == part
    assert all(line["reused"] for line in read_log(bench.run.path)[before:])


def test_the_report_shows_every_latent_and_its_lists(part: dict[str, Any]) -> None:
    page = render({"kind": "features", "title": "x", "settings": {"judge": "exact"}, "latent_steering": part})
    assert "Latents steered</h2>" in page and "not complete" not in page
    for row in part["rows"]:
        assert f"{row['latent']}, random" in page if row["control"] else f"{row['latent']} (villain" in page


@pytest.mark.parametrize(("sign", "expected"), [(1, 0.4), (-1, 0.2)])
def test_the_best_strength_is_coherent_and_of_the_largest_effect(sign: int, expected: float) -> None:
    points = [
        {"strength": 0.1, "rate": 0.2, "coherent": 1.0, "allowed": True},
        {"strength": 0.2, "rate": 0.1, "coherent": 0.9, "allowed": True},
        {"strength": 0.4, "rate": 0.3, "coherent": 0.95, "allowed": True},
        {"strength": 0.8, "rate": sign * 9.0, "coherent": 0.5, "allowed": False},
    ]
    assert best(points, sign) == expected
    assert best(points[3:], sign) is None


def test_of_equal_effects_the_more_coherent_is_kept_and_then_the_stronger() -> None:
    points = [
        {"strength": x, "rate": 0.0, "coherent": c, "allowed": True} for x, c in ((0.1, 1.0), (0.2, 1.0), (0.4, 0.9))
    ]
    assert best(points, 1) == 0.2


def test_a_cure_by_incoherence_does_not_pass() -> None:
    def side(value: float, coherent: bool) -> dict[str, Any]:
        return {"strength": 0.4, "difference": {"value": value, "p": 1e-6}, "coherent": coherent}

    rows = [
        {"lists": ["a"], "control": False, "up": side(0.4, True), "down": side(-0.4, True)},
        {"lists": ["a"], "control": False, "up": side(0.4, True), "down": side(-0.4, False)},
        {"lists": ["a"], "control": False, "up": side(-0.4, True), "down": side(0.4, True)},
        {"lists": [], "control": True, "up": {"strength": None, "passes": False}, "down": side(-0.2, True)},
    ]
    judge(rows)
    assert [row["both"] for row in rows] == [True, False, False, False]
    found = {row["list"]: row for row in summary(rows, ["a"])}
    assert (found["a"]["up"], found["a"]["down"], found["a"]["both"]) == (2, 1, 1)
    assert found["a"]["mean_up"] == pytest.approx(0.4 / 3) and found["random"]["mean_up"] is None
    assert found["random"]["down"] == 1


def test_controls_fire_stand_in_no_list_and_are_as_many_as_there_are() -> None:
    fired = torch.tensor([5.0, 0.0, 3.0, 2.0, 1.0, 0.0])
    found = controls({"a": [0], "b": [3, 0]}, fired, 5, seed=0)
    assert sorted(s.latent for s in found) == [2, 4] and all(s.control for s in found)
    assert controls({"a": [0]}, fired, 1, seed=0) == controls({"a": [0]}, fired, 1, seed=0)


def test_the_top_of_each_list_with_the_places_in_all() -> None:
    found = {s.latent: s for s in tops({"a": [7, 8, 9], "b": [9, 7]}, 1)}
    assert list(found) == [7, 9]
    assert found[7].lists == ("a",) and found[7].ranks == {"a": 1, "b": 2}
    assert found[9].lists == ("b",) and found[9].ranks == {"a": 3, "b": 1}


def test_errors_come_before_anything_is_asked(
    tmp_path: Path, models: Variants, dictionary: Any, bench: Bench[FeaturesConfig]
) -> None:
    with Bench[FeaturesConfig].open(tmp_path / "run", CONFIG) as other:
        with pytest.raises(MisdirectionError, match="there is none"):
            causal_check(other, bench.variants({}), dictionary, {"a": [1]}, LAYER)
        with pytest.raises(MisdirectionError, match="no list has a latent"):
            causal_check(other, models, dictionary, {"a": []}, LAYER)
        with pytest.raises(MisdirectionError, match="no latent 768"):
            causal_check(other, models, dictionary, {"a": [768]}, LAYER)
        decoder = dictionary.decoder.clone()
        decoder[5] = 0
        with pytest.raises(MisdirectionError, match="latent 5 is zero"):
            causal_check(other, models, replace(dictionary, decoder=decoder), {"a": [5]}, LAYER)
        assert not other.run.steps()
