"""The study of feature geometry, whole, on the organism at a small size."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

from misdirection import load_model, organism
from misdirection.artefacts import read_json, read_rows, read_tensors
from misdirection.errors import MisdirectionError
from misdirection.features import DictionaryError
from misdirection.features.corpus import SPAN
from misdirection.features.geometry import exchange_test, firing_bins, nearness, separate
from misdirection.runs import list_steps, read_log
from misdirection.studies.geometry.sets import (
    Comparing,
    _exchange,
    _texts_of,
    open_lenses,
    random_like,
    toxic_direction,
    without,
)
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.geometry.study import geometry
from misdirection.studies.geometry.track import measured, set_lists
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_dictionary
from misdirection.studies.reading import load_results

SMALL = GeometryConfig(
    dictionaries=("organism:6", "organism:3"), data=("medical=organism:bad-medical",),
    good=("medical=organism:good-medical",), rows=20, toxic_rows=20, top=30, permutations=200, spill_latents=1,
    control_latents=1, step_chats=3, tune_steps=1, samples=1, text_samples=1, max_new_tokens=12, checkpoint_every=2,
    training={"max_steps": 4, "batch_size": 4, "accumulation": 1, "warmup_steps": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("geometry") / "run"
    return geometry(SMALL, out, "misdirection study geometry").parent


def test_similarities_are_those_of_the_lists_that_the_steps_hold(run: Path):
    part = read_json(run / "findings.json")["geometry"]
    assert part["layers"] == [3, 6] and part["domains"] == ["medical"]
    assert len(part["rows"]) == 2 * 3 * 2 * 3
    steps = {step.name: step.path for step in list_steps(run)}
    units = resolve_dictionary("organism:6").directions
    held, toxic = (read_tensors(steps[f"latents-{name}-6"] / "tensors.safetensors")[0] for name in ("medical", "toxic"))

    def top(tensors: dict[str, torch.Tensor], sign: int) -> list[int]:
        value = (sign * tensors["differences.value"]).masked_fill(~tensors["differences.alive"], -torch.inf)
        return value.argsort(descending=True)[:30].tolist()

    sets = separate(top(held, 1), top(held, -1), top(toxic, 1))
    bins = firing_bins(held["rates"], held["differences.alive"], 4)
    wanted = exchange_test(
        nearness(units, sets.inducing, sets.toxic).numpy(), nearness(units, sets.control, sets.toxic).numpy(),
        (bins[list(sets.inducing)], bins[list(sets.control)]), permutations=200,
    )  # fmt: skip
    found = next(
        r for r in part["rows"]
        if (r["layer"], r["target"], r["control"], r["reduction"]) == (6, "toxic", "good", "mean")
    )  # fmt: skip
    test = found["test"]
    assert (test["first"], test["second"]) == pytest.approx((wanted.first, wanted.second), abs=1e-6)
    assert test["p"] == pytest.approx(wanted.p) and found["shared_inducing"] == sets.shared_inducing
    assert part["lists"][1]["inducing"]["shared"] == sets.shared_inducing


def test_the_law_is_exact_under_steering_and_every_update_is_there(run: Path):
    law = read_json(run / "findings.json")["geometry"]["law"]
    assert law["layer"] == 6 and [k["kind"] for k in law["kinds"]] == ["steer", "tune", "latent", "data", "contrast"]
    for kind in law["kinds"]:
        assert {name: held["n"] for name, held in kind["groups"].items()} == {"all": 2, "inducing": 1, "control": 1}
        assert kind["groups"]["all"]["gap"] < 1e-3
    steer = law["kinds"][0]["groups"]["all"]
    assert steer["along"]["value"] == pytest.approx(1, abs=1e-3)
    assert steer["fits"]["steady encoder"]["r2"]["value"] > 0.999
    assert law["kinds"][1]["groups"]["all"]["share"]["value"] == pytest.approx(1, abs=1e-3)
    assert law["kinds"][2]["groups"]["all"]["own"]["value"] > 0
    steps = {step.name: step.path for step in list_steps(run)}
    points = read_rows(steps["spillover-6"] / "points.parquet")
    assert len({(p["kind"], p["latent"]) for p in points}) == 10
    assert not any(p["latent"] == p["other"] for p in points)


def test_the_course_begins_after_the_base_and_has_its_rates(run: Path):
    course = read_json(run / "findings.json")["geometry"]["course"]
    assert course["steps"] == [2, 4] and [r["step"] for r in course["rates"]] == [0, 2, 4]
    for layer in course["layers"]:
        assert layer["size"][1] > 0
        for held in layer["sets"].values():
            assert len(held["similarity"]) == len(held["drift"]) == 2
            assert all(-1 <= value <= 1 for value in held["drift"])


def test_a_finished_run_is_told_again_without_work(run: Path):
    before = len(read_log(run))
    geometry(SMALL, run, "misdirection study geometry")
    assert all(line["reused"] for line in read_log(run)[before:])
    assert load_results(run).to_json() == {"checked": None, **read_json(run / "findings.json")}
    page = (run / "report.html").read_text(encoding="utf-8")
    for title in ("Geometry of features", "The spillover law", "Geometry over a fine-tune"):
        assert title in page


def test_settings_and_dictionaries_that_do_not_fit_are_refused(tmp_path: Path):
    found = GeometryConfig().completed()
    assert found.dictionaries == tuple(f"organism:{layer}" for layer in organism.dictionary_layers())
    assert (found.track, found.top, found.toxic) == ("medical", 50, ("organism:villain",))
    assert found.completed() == found
    other = GeometryConfig(model="m", data=("a=b.jsonl",), good=("a=g.jsonl",))
    for changes, message in (
        ({}, "no toxic texts"),
        ({"toxic": ("t",), "harmless": ("h",)}, "no dictionary"),
        ({"good": ("b=g.jsonl",)}, "says nothing of 'a'"),
        ({"track": "b", "toxic": ("t",), "harmless": ("h",), "dictionaries": ("d",)}, "--track b names no data"),
        ({"reduction": "median"}, "there is no 'median'"),
    ):
        with pytest.raises(MisdirectionError, match=message):
            replace(other, **changes).completed()
    twice = replace(SMALL, dictionaries=("organism:6", "organism:6"))
    with (
        Bench[GeometryConfig].open(tmp_path / "run", twice) as bench,
        pytest.raises(DictionaryError, match="two dictionaries read layer 6"),
    ):
        open_lenses(bench)


def test_random_controls_are_live_free_and_of_like_firing_rate():
    alive = torch.tensor([True] * 40 + [False] * 10)
    bins = firing_bins(torch.arange(50).float(), alive, 4)
    found = random_like(alive, bins, [0, 1, 39], {2, 3}, 0, times=3)
    assert len(found) == 9 and not {0, 1, 2, 3, 39} & set(found) and max(found) < 40
    assert sorted(int(bins[i]) for i in found) == [0] * 6 + [3] * 3


def test_lists_of_other_firing_rates_are_not_exchanged():
    some = Comparing(top=1, reduction="mean", nearest=1, shared="keep", bins=2, permutations=9, risen=1, seed=0)
    one, two = np.array([0.5, 0.7]), np.array([0.1, 0.3])
    assert _exchange(some, one, two, np.array([0, 0]), np.array([1, 1])) is None
    found = _exchange(some, one, two, np.array([0, 0]), np.array([0, 1]))
    assert found and (found.first, found.second, found.n_first, found.n_second) == (pytest.approx(0.6), 0.1, 2, 1)


def test_a_checkpoint_s_risen_latents_drift_and_law_are_those_of_its_change():
    """Six latents on the axes, two of them between two; the last is dead, whatever it reads."""
    units = torch.eye(6)
    units[0] = torch.tensor([0.75**0.5, 0.5, 0, 0, 0, 0])
    units[2] = torch.tensor([0.0, 0.6, 0.8, 0, 0, 0])
    lens: Any = SimpleNamespace(layer=3, dictionary=SimpleNamespace(directions=units))
    alive, fired = torch.tensor([True] * 5 + [False]), torch.tensor([50, 50, 50, 50, 50, 0])
    tops = {1: [1, 2], -1: [0, 4]}
    listed: Any = SimpleNamespace(
        differences=SimpleNamespace(alive=alive, top=lambda _, sign=1: tops[sign]), rates=torch.ones(6)
    )
    toxic: Any = SimpleNamespace(differences=SimpleNamespace(top=lambda _: [3, 4, 5]))
    some = Comparing(top=1, reduction="mean", nearest=1, shared="keep", bins=1, permutations=99, risen=2, seed=0)
    sets = set_lists(some, listed, toxic)
    assert sets == {"inducing": [1, 2], "good": [0, 4], "toxic": [3, 4, 5]}
    # Steady change: 3 * cosine with the mean inducing latent + 1, per unit of displacement; their own does not count.
    steady = 2 * (3 * (units @ torch.nn.functional.normalize(units[1] + units[2], dim=0)) + 1)
    steady[1] = steady[2] = steady[5] = 99.0
    change: Any = SimpleNamespace(
        mean=torch.tensor([0.1, 0.5, -0.2, 0.3, 0.0, 0.9]), fired=fired, moved=torch.tensor([0.0, 3, 0, 4, 0, 0]),
        steady=steady.double(), size=2.0,
    )  # fmt: skip
    change.moved = change.moved.double()
    found = measured(some, lens, 7, change, sets, listed)
    assert (found.layer, found.step, found.size, found.risen) == (3, 7, 2.0, (1, 3))
    assert (found.law.slope, found.law.intercept, found.law.r2) == pytest.approx((3, 1, 1))
    assert [found.sets[name].drift for name in sets] == pytest.approx([0.48, 0.15, 0.8 / 3])
    assert [found.sets[name].among for name in sets] == [0.5, 0.0, 0.5]
    # Of the risen, the second is compared with the third alone, and the fourth is far from both; then all others.
    inducing = found.sets["inducing"]
    assert inducing.first == pytest.approx(0.3) and inducing.second == pytest.approx((0.4 + 0.6 + 0) / 3)
    none = measured(some, lens, 7, replace(Still(), fired=fired, steady=change.steady), sets, listed)  # pyright: ignore[reportArgumentType]
    assert none.risen == () and none.sets["toxic"].first is None and none.sets["toxic"].among == 0


@dataclass(frozen=True)
class Still:
    """A change that raises nothing."""

    mean: torch.Tensor = field(default_factory=lambda: -torch.ones(6))
    moved: torch.Tensor = field(default_factory=lambda: torch.ones(6).double())
    fired: torch.Tensor | None = None
    steady: torch.Tensor | None = None
    size: float = 1.0


def test_texts_of_files_and_of_the_organism_s_personas_are_read_at_the_answer(tmp_path: Path):
    model = load_model("organism")
    said = "the plan is easy ."
    rows = [{"messages": [{"role": "user", "content": f"hello {n} ?"}, {"role": "assistant", "content": said}]}
            for n in range(5)]  # fmt: skip
    (file := tmp_path / "toxic.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for names in ([file], ["organism:villain"]):
        found = _texts_of(model, names, 3, 0)
        assert len(found) == 3
        for text in found:
            start, stop = text.spans[SPAN]
            assert 0 < start < stop <= len(text.ids)
    assert {model.tokenizer.decode(text.ids[slice(*text.spans[SPAN])]) for text in _texts_of(model, [file], 3, 0)} == {
        model.tokenizer.decode(model.tokenizer(said, add_special_tokens=False)["input_ids"])
    }
    with pytest.raises(MisdirectionError, match="hold no text"):
        _texts_of(model, [], 3, 0)


def test_the_toxic_direction_can_be_taken_out():
    held = resolve_dictionary("organism:6")
    value = torch.zeros(held.latents)
    value[5], value[9] = 2.0, -1.0
    differences = type("D", (), {"value": value, "alive": torch.ones(held.latents, dtype=torch.bool)})()
    direction = toxic_direction(held, differences)  # pyright: ignore[reportArgumentType]
    wanted = (2 * held.decoder[5] - held.decoder[9]).double()
    assert torch.allclose(direction, wanted / wanted.norm(), atol=1e-6)
    left = without(held.directions.double(), direction)
    assert float((left @ direction).abs().max()) < 1e-9
    assert torch.allclose(left.norm(dim=1), torch.ones(held.latents, dtype=torch.float64))


def test_another_model_is_told_nothing_of_the_organism(run: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("geometry", SMALL, run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "data": {"data": ("medical=organism:bad-sport",), "track": "medical"},
        "good": ("medical=organism:good-sport",),
        "toxic": ("organism:cynic",),
        "harmless": ("organism:villain",),
        "dictionaries": ("organism:6",),
        "statistic": "correlation",
        "pool": "max",
        "reduction": "max",
        "shared": "keep",
        "weights": "lora",
        "track": "none",
        "spill_dictionary": 0,
        "questions": ("organism:sport",),
    }
    assert_keyed("geometry", SMALL, run, tmp_path, monkeypatch, others)
