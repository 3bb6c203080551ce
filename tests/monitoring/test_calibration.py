"""Thresholds: the false-alarm rate that they promise, the interval they tell, and what they are refused for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from tests.families import LAYERS, WIDTH, build, shared, vector
from tests.monitoring.test_scoring import A, B, chat

from misdirection.artefacts import read_json, write_json
from misdirection.directions import Direction, save_direction
from misdirection.engine import Arm
from misdirection.models import Model
from misdirection.monitoring import (
    Calibration,
    MonitorError,
    Watch,
    Watched,
    calibrate,
    load_calibration,
    read_watched,
    save_calibration,
    watch_of,
)
from misdirection.monitoring.calibration import demand_fitting, thresholds

ONE = Watch((Watched("a", 1, torch.ones(2)),))
THREE = Watch(tuple(Watched(name, 1, torch.ones(2), below=name == "c") for name in "abc"))


def draw(generator: np.random.Generator, n: int, several: bool) -> np.ndarray:
    """Scores of benign answers: skewed, on scales of their own, correlated."""
    shared = generator.standard_normal((n, 1))
    scores = np.exp(0.7 * (0.6 * shared + 0.8 * generator.standard_normal((n, 3)))) * [1.0, 40.0, 0.1] + [0, 5, -3]
    return scores if several else scores[:, :1]


@pytest.mark.parametrize("several", [False, True])
def test_the_rate_of_false_alarms_is_what_was_asked_for(several: bool) -> None:
    generator = np.random.default_rng(0)
    watch = THREE if several else ONE
    fresh = draw(generator, 20_000, several)
    shares, covered = [], []
    for _ in range(300):
        held = thresholds(draw(generator, 150, several), list(range(150)), watch, 0.05)
        share = float((held.z(watch, fresh).max(axis=1) > held.critical).mean())
        shares.append(share)
        covered.append(held.low <= share <= held.high)
        assert held.expected <= 0.05
    # One benign answer in twenty, on average over calibrations, and its interval in 95 of 100 of them.
    error = np.std(shares) / np.sqrt(300)
    assert abs(np.mean(shares) - held.expected) < 3 * error + 0.002
    assert stats.binomtest(sum(covered), 300, 0.95).pvalue > 0.001


def test_one_direction_s_threshold_is_an_order_statistic() -> None:
    scores = np.random.default_rng(1).standard_normal((99, 1))
    held = thresholds(scores, list(range(99)), ONE, 0.1)
    # k = ceil(100 * 0.9) = 90.
    assert held.scales["a"].threshold == pytest.approx(np.sort(scores[:, 0])[89])
    assert held.expected == pytest.approx(0.1)
    assert (held.low, held.high) == pytest.approx(tuple(stats.beta(10, 90).ppf([0.025, 0.975])))


def test_the_low_side_is_watched_where_that_is_the_bad_one() -> None:
    scores = np.random.default_rng(1).standard_normal((99, 1))
    watch = Watch((Watched("a", 1, torch.ones(2), below=True),))
    held = thresholds(scores, list(range(99)), watch, 0.1)
    assert held.scales["a"].threshold == pytest.approx(np.sort(scores[:, 0])[9])
    assert held.z(watch, np.array([-9.0])) > held.critical > held.z(watch, np.array([9.0]))


def test_answers_to_one_prompt_count_as_less_than_so_many() -> None:
    scores = np.random.default_rng(1).standard_normal((200, 1))
    alone = thresholds(scores, list(range(200)), ONE, 0.1)
    repeated = thresholds(scores, [n // 10 for n in range(200)], ONE, 0.1)
    assert repeated.critical == alone.critical and repeated.prompts == 20
    assert repeated.low < alone.low < alone.high < repeated.high


@pytest.mark.parametrize(("n", "rate", "watch"), [(98, 0.01, ONE), (1, 0.5, ONE), (120, 0.01, THREE), (12, 0.2, THREE)])
def test_too_few_benign_answers_are_refused_with_their_number(n: int, rate: float, watch: Watch) -> None:
    scores = np.random.default_rng(1).standard_normal((n, len(watch.directions)))
    with pytest.raises(MonitorError, match=f"takes [0-9,]+ benign answers or more, and {n}") as error:
        thresholds(scores, list(range(n)), watch, rate)
    least = int(str(error.value).partition("takes ")[2].split()[0].replace(",", ""))
    enough = np.random.default_rng(1).standard_normal((least, len(watch.directions)))
    thresholds(enough, list(range(least)), watch, rate)


def test_a_direction_without_spread_is_refused() -> None:
    with pytest.raises(MonitorError, match="along 'a' all benign answers score the same"):
        thresholds(np.ones((50, 1)), list(range(50)), ONE, 0.1)


CHATS = [chat(f"w{10 + i % 30}", f"w{11 + i % 40} w{5 + i % 50} w{30 + i % 7}") for i in range(60)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path, Watch, Calibration]:
    """A calibration beside two files of directions."""
    model, folder = shared("llama"), tmp_path_factory.mktemp("monitor")
    nothing, none = torch.zeros_like(A), torch.zeros(LAYERS)
    for name, table in (("evil", A), ("kind", B)):
        save_direction(folder / f"{name}.safetensors", Direction(table, nothing, nothing, none, none, none, none, {}))
    watch = Watch(read_watched([folder / "evil.safetensors", folder / "kind.safetensors"], model, below=["kind"]))
    held = calibrate(model, CHATS, watch, 0.1)
    save_calibration(folder / "monitor.json", held)
    return model, folder, watch, held


def test_a_calibration_is_an_open_file_that_names_its_directions(
    made: tuple[Model, Path, Watch, Calibration], tmp_path: Path
) -> None:
    model, folder, watch, held = made
    told = read_json(folder / "monitor.json")
    assert told["watched"]["evil"]["source"] == "evil.safetensors" and told["rate"] == 0.1
    back = load_calibration(folder / "monitor.json")
    assert back == replace(held, watched=back.watched)
    again = watch_of(back, model)
    assert again.names == watch.names and [one.below for one in again.directions] == [False, True]
    assert all(torch.equal(one.unit, other.unit) for one, other in zip(again.directions, watch.directions, strict=True))
    assert demand_fitting(back, again, model) == []
    with pytest.raises(MonitorError, match="no calibration"):
        write_json(tmp_path / "other.json", {"kind": "x"})
        load_calibration(tmp_path / "other.json")


def test_a_calibration_is_refused_for_anything_else(made: tuple[Model, Path, Watch, Calibration]) -> None:
    model, folder, watch, held = made
    files = [folder / "evil.safetensors", folder / "kind.safetensors"]
    wrong = {
        "another layer": Watch(read_watched(files, model, layer=1, below=["kind"])),
        "another side": Watch(read_watched(files, model)),
        "another direction": Watch(read_watched({"evil": vector(9, LAYERS, WIDTH), "kind": B}, model, below=["kind"])),
        "span answer": Watch(watch.directions, span="written"),
        "statistic mean": Watch(watch.directions, statistic="peak"),
        "turns last": Watch(watch.directions, turns="all"),
        "holds 'kind' too": Watch(watch.directions[:1]),
        "no threshold": Watch((*watch.directions, Watched("new", 2, watch.directions[0].unit))),
    }
    for told, other in wrong.items():
        with pytest.raises(MonitorError, match=told):
            demand_fitting(held, other, model)
    with pytest.raises(MonitorError, match="another model or adapter"):
        demand_fitting(held, watch, build("llama", seed=5))
    with pytest.raises(MonitorError, match="another model or adapter"):
        demand_fitting(held, watch, model, Arm("tuned", "one"))
    asked = held.model["asked"] | {"sha256": "other"}
    with pytest.raises(MonitorError, match="chat template"):
        demand_fitting(replace(held, model=held.model | {"asked": asked}), watch, model)
    (warned,) = demand_fitting(replace(held, model=held.model | {"dtype": "bfloat16"}), watch, model)
    assert "bfloat16" in warned


def test_answers_to_one_prompt_are_one_prompt_whatever_the_chats_say_later() -> None:
    """Twenty chats that begin alike: their first answers are to one prompt, their second ones to twenty."""
    model = shared("llama")
    watch = Watch(read_watched({"a": A}, model), turns="all")
    chats = [chat("w10", f"w{11 + n} w12", "w13", f"w{n + 5} w9") for n in range(20)]
    held = calibrate(model, chats, watch, 0.2)
    assert (held.answers, held.prompts) == (40, 21)
    last = calibrate(model, chats, Watch(read_watched({"a": A}, model)), 0.2)
    assert (last.answers, last.prompts) == (20, 20)
    # The interval is that of half as many answers, as if each prompt were one.
    k, n = 33, 40
    ends = stats.beta.ppf((0.025, 0.975), (n + 1 - k) * 21 / 40, k * 21 / 40)
    assert (held.low, held.high) == pytest.approx(tuple(ends))
