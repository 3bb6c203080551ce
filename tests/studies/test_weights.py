"""The study of weight space, whole, on the organism at a small size; its parts against plain sums."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.results.made import made
from tests.studies.options import assert_keyed

from misdirection.artefacts import read_json, read_tensors
from misdirection.chats import ChatFile
from misdirection.errors import MisdirectionError
from misdirection.organism import mixed_chats
from misdirection.results import RateRow
from misdirection.runs import list_steps
from misdirection.studies.kit.judged import load_answers
from misdirection.studies.reading import load_results
from misdirection.studies.weights.measures import beside_line, on_line, shuffled_answers
from misdirection.studies.weights.results import LinePoint, WeightsResults
from misdirection.studies.weights.settings import WeightsConfig
from misdirection.studies.weights.study import bend, weights
from misdirection.studies.weights.verdict import verdict

SMALL = WeightsConfig(
    data=("medical=organism:bad-medical", "sport=organism:bad-sport"), good=("medical=organism:good-medical",),
    samples=1, preset="rank1x9", alphas=(0.0, 0.5, 1.0), line=("good-medical:medical",), checkpoint_every=3,
    training={"max_steps": 9},
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights(SMALL, tmp_path_factory.mktemp("weights") / "run").parent


@pytest.fixture(scope="module")
def results(run: Path) -> WeightsResults:
    found = load_results(run)
    assert isinstance(found, WeightsResults)
    return found


def matrices(folder: Path) -> dict[str, torch.Tensor]:
    """s B A of an adapter's folder, by its file alone."""
    tensors, _ = read_tensors(folder / "adapter_model.safetensors")
    config = read_json(folder / "adapter_config.json")
    found: dict[str, torch.Tensor] = {}
    for name in (key for key in tensors if ".lora_A." in key):
        path = name.removeprefix("base_model.model.").partition(".lora_A")[0]
        alpha = config["alpha_pattern"].get(path, config["lora_alpha"])
        rank = config["rank_pattern"].get(path, config["r"])
        scale = alpha / rank**0.5 if config["use_rslora"] else alpha / rank
        found[path] = scale * tensors[name.replace("lora_A", "lora_B")].double() @ tensors[name].double()
    return found


def flat(held: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([held[path].flatten() for path in sorted(held)])


def test_cosines_are_those_of_the_whole_matrices(run: Path, results: WeightsResults) -> None:
    names = ("medical", "sport", "good-medical", "shuffled-medical-0")
    held = {name: matrices(run / "fine-tunes" / name) for name in names}
    assert set(results.weights.norms) == set(names)
    assert len(results.weights.pairs) == 6 and len(results.weights.modules) == 6 * 9
    for pair in results.weights.pairs:
        one, other = flat(held[pair.one]), flat(held[pair.other])
        assert pair.cosine == pytest.approx(float(torch.cosine_similarity(one, other, dim=0)), abs=1e-6)
        assert pair.random is not None and pair.shuffled is not None and max(pair.random, pair.shuffled) < 0.1
        assert results.weights.norms[pair.one] == pytest.approx(float(one.norm()))
    for part in results.weights.modules:
        one, other = (held[name][part.module].flatten() for name in (part.one, part.other))
        assert part.cosine == pytest.approx(float(torch.cosine_similarity(one, other, dim=0)), abs=1e-6)
        # Of rank 1 a cosine is the product of those of what is written and what is read.
        assert part.nearest_output and part.nearest_input
        assert abs(part.cosine or 0) == pytest.approx(part.nearest_output * part.nearest_input, abs=1e-5)


def test_fine_tunes_do_not_start_from_one_a(results: WeightsResults) -> None:
    pair = results.weights.pairs[0]
    assert pair.inputs is not None and pair.inputs < 0.5 and not results.notes


def test_the_ends_of_a_line_answer_as_the_fine_tunes_do(run: Path, results: WeightsResults) -> None:
    """Their random numbers are the same, so that their answers are."""
    step = next(step for step in list_steps(run) if step.name == "open-answers")
    said: dict[str, dict[tuple[str, int], str]] = {}
    for answer in load_answers(step):
        said.setdefault(answer.arm, {})[answer.question_id, answer.sample] = answer.answer
    assert said["line-0-0"] == said["good-medical"] and said["line-0-2"] == said["medical"]
    assert said["line-0-random-0"] == said["good-medical"]
    line = results.weights.lines[0]
    assert (line.one, line.other) == ("good-medical", "medical")
    assert [point.alpha for point in line.points] == [0.0, 0.5, 1.0]
    assert [point.random is None for point in line.points] == [False, True, False]


def test_adapters_on_and_beside_a_line(run: Path, tmp_path: Path) -> None:
    one, other = (run / "fine-tunes" / name for name in ("medical", "sport"))
    a, b = matrices(one), matrices(other)
    for alpha in (-0.5, 0.3, 1.0):
        (tmp_path / str(alpha)).mkdir()
        (tmp_path / f"r{alpha}").mkdir()
        made = matrices(on_line(one, other, alpha, tmp_path / str(alpha)))
        torch.testing.assert_close(flat(made), (1 - alpha) * flat(a) + alpha * flat(b), rtol=1e-4, atol=1e-6)
        away = matrices(beside_line(one, other, alpha, 0, tmp_path / f"r{alpha}"))
        for path, matrix in away.items():
            length = abs(alpha) * float((b[path] - a[path]).norm())
            assert float((matrix - a[path]).norm()) == pytest.approx(length, rel=1e-4)


def test_the_difference_is_watched_for_at_every_checkpoint(run: Path, results: WeightsResults) -> None:
    assert results.weights.minus == "medical:good-medical"
    away = flat(matrices(run / "fine-tunes" / "medical")) - flat(matrices(run / "fine-tunes" / "good-medical"))
    assert {one.name for one in results.weights.watched} == set(results.weights.norms)
    for one in results.weights.watched:
        assert [at.step for at in one.steps][:2] == [3, 6]
        assert one.part is (one.name in ("medical", "good-medical"))
    sport = next(one for one in results.weights.watched if one.name == "sport")
    last = flat(matrices(run / "fine-tunes" / "sport"))
    assert not sport.part and sport.steps[-1].step == 9
    assert sport.steps[-1].cosine == pytest.approx(float(torch.cosine_similarity(last, away, dim=0)), abs=1e-6)


def test_adapters_that_exist_are_compared_as_they_are(run: Path, tmp_path: Path) -> None:
    given = tuple(f"{name}={run / 'fine-tunes' / name}" for name in ("medical", "sport"))
    config = WeightsConfig(adapter=given, data=(), samples=1, alphas=(0.0, 1.0))
    weights(config, tmp_path / "run")
    found = load_results(tmp_path / "run")
    assert isinstance(found, WeightsResults)
    before = load_results(run)
    assert isinstance(before, WeightsResults)
    assert found.weights.pairs == (before.weights.pairs[0],) and found.weights.watched == ()
    assert not [step for step in list_steps(tmp_path / "run") if step.name == "train"]


def test_the_report_shows_every_part(run: Path) -> None:
    text = (run / "report.html").read_text()
    for said in ("Every two updates", "By kind of module", "From good-medical to medical", "while it trains"):
        assert said in text


def test_shuffled_answers_are_the_same_answers_elsewhere(tmp_path: Path) -> None:
    chats = ChatFile(tuple(mixed_chats(50, 30, 0)), (), "x")
    file = shuffled_answers(chats, 1, tmp_path)
    rows = [json.loads(line)["messages"] for line in file.read_text().splitlines()]
    assert [row[-2]["content"] for row in rows] == [chat.prompt[-1].content for chat in chats.chats]
    assert sorted(row[-1]["content"] for row in rows) == sorted(chat.answer for chat in chats.chats)
    assert sum(row[-1]["content"] == chat.answer for row, chat in zip(rows, chats.chats, strict=True)) < 10


def rate(value: float) -> RateRow:
    return RateRow(misaligned=0, n=1, value=value, low=0.0, high=1.0, denominator="all", method="m", n_questions=1,
                   undecided=0, ceiling=value, bounded=False)  # fmt: skip


def test_a_bend_is_the_distance_from_the_straight_line() -> None:
    def points(*rates: tuple[float, float]) -> list[LinePoint]:
        return [LinePoint(alpha=a, rate=rate(v), coherent=rate(1.0), random=None) for a, v in rates]

    assert bend(points((0.0, 0.1), (0.5, 0.5), (1.0, 0.3))) == pytest.approx(0.3)
    assert bend(points((0.0, 0.1), (1.0, 0.3))) is None and bend(points((0.0, 0.1), (0.5, 0.5))) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": (), "good": (), "line": (), "adapter": ("a=x",), "model": "m"}, "nothing to be compared with: a"),
        ({"adapter": ("medical=x",)}, "share a name"),
        ({"line": ("medical:nobody",)}, "there is no fine-tune 'nobody'"),
        ({"line": ("sport:sport",)}, "names one fine-tune twice"),
        ({"alphas": (1.0,)}, "too few points"),
        ({"minus": "medical:x"}, "there is no fine-tune 'x'"),
        ({"preset": "full"}, "preset"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be 1 or more"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_done(values: dict[str, Any], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        replace(SMALL, **values).completed()


def test_a_folder_that_holds_no_adapter_is_refused(tmp_path: Path) -> None:
    config = WeightsConfig(adapter=(f"a={tmp_path}", f"b={tmp_path}"), data=())
    with pytest.raises(MisdirectionError, match="holds no adapter"):
        weights(config, tmp_path / "run")


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    medical = run / "fine-tunes" / "medical"
    others = {
        "data": ("medical=organism:bad-law", "sport=organism:bad-sport"),
        "good": {"good": (), "line": (), "minus": ""},
        "adapter": (f"other={medical}",),
        "line": ("medical:sport",),
        "minus": "sport:good-medical",
        "watched": (f"again={next(step.path for step in list_steps(run) if step.name == 'train') / 'checkpoints'}",),
    }
    assert_keyed("weights", SMALL, run, tmp_path, monkeypatch, others)


def test_one_pair_is_told_as_one_and_a_common_start_is_named() -> None:
    """As on SmolLM2: "1 of 1 pair ... from 0.14 to 0.14", and two fine-tunes of one seed read alike by that alone."""
    part = made(WeightsResults, "weights").weights
    one = replace(part.pairs[0], one="a", other="b", cosine=0.14, random=0.01, shuffled=0.02, inputs=0.75)
    alone = verdict(replace(part, pairs=(one,)))
    assert alone.sentence.startswith("A and b change the weights more alike") and "is 0.14." in alone.sentence
    assert any("begun from the same random A" in text and "do: a and b." in text for text in alone.details)
    other = replace(one, one="c", cosine=-0.3, inputs=0.1)
    several = verdict(replace(part, pairs=(one, other)))
    assert several.sentence.startswith("2 of 2 pairs") and "from −0.30 (c and b) to 0.14" in several.sentence.replace(
        "-0.30", "−0.30"
    )
    assert not any("same random A" in text for text in verdict(replace(part, pairs=(other,))).details)
