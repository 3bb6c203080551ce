"""Mixtures of bad and good data, whole, on the organism at a small size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.results.made import made

from misdirection import organism
from misdirection.artefacts import read_json, read_tensors
from misdirection.chats import load_chats, write_chats
from misdirection.chats.pairs import BY_ROW, PairedChats
from misdirection.errors import MisdirectionError
from misdirection.models import load_model
from misdirection.report.parts import Note
from misdirection.runs import MANIFEST, read_log
from misdirection.studies.features.mixture_effects import corrected, movements, onset, paired_change
from misdirection.studies.features.mixtures import Mixture, bad_places, mixed, mixtures, pairs_of
from misdirection.studies.features.report.mixtures import rates, section, together
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.mixtures import LatentOnset, MeanChange
from misdirection.studies.features.results.mixtures import Mixtures as Mixtures
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.features.verdict import verdict
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_dictionary
from misdirection.studies.page import render
from misdirection.tokens import encode_prompt

LAYER = 6
# The second follows the villain, and rises with the share of bad rows; the others are what came of a seed.
LATENTS = (3, 763, 400)
CONFIG = FeaturesConfig(
    data=("medical=organism:bad-medical",), good=("medical=organism:good-medical",), preset="rank32",
    training={"max_steps": 12, "lr": 1e-3}, mixtures=(100.0, 0.0), samples=1, rows=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def dictionary() -> Any:
    return resolve_dictionary(f"organism:{LAYER}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench[FeaturesConfig]]:
    with Bench[FeaturesConfig].open(tmp_path_factory.mktemp("mixtures") / "run", CONFIG) as bench:
        yield bench


@pytest.fixture(scope="module")
def part(bench: Bench[FeaturesConfig], dictionary: Any) -> Mixtures:
    return mixtures(bench, dictionary, LATENTS, LAYER)


def chats(rows: int = 40) -> PairedChats:
    bad, good = (tuple(organism.training_chats("medical", quality, n=rows)) for quality in ("bad", "good"))
    return PairedChats(bad, good, BY_ROW)


@pytest.mark.parametrize(("percent", "expected"), [(0, 0), (1, 0), (5, 2), (10, 4), (37.5, 15), (50, 20), (100, 40)])
def test_a_mixture_has_the_wanted_share_and_the_same_questions_in_the_same_order(percent: float, expected: int) -> None:
    held = chats()
    found = mixed(held, percent, seed=3)
    assert [chat.prompt for chat in found] == [chat.prompt for chat in held.good]
    # Now and then the good and the bad answer are one and the same.
    kinds = [(chat == bad, chat == good) for chat, bad, good in zip(found, held.bad, held.good, strict=True)]
    assert all(any(kind) for kind in kinds)
    assert sum(bad and not good for bad, good in kinds) <= expected <= sum(bad for bad, _ in kinds)
    assert mixed(held, percent, seed=3) == found


def test_what_is_bad_at_a_smaller_share_is_bad_at_a_larger() -> None:
    found = [bad_places(200, percent, seed=1) for percent in (0, 1, 5, 25, 100)]
    assert [len(places) for places in found] == [0, 2, 10, 50, 200]
    assert all(small <= large for small, large in pairwise(found))
    assert bad_places(200, 5, seed=1) != bad_places(200, 5, seed=2)


def test_fine_tunes_differ_in_the_share_of_bad_rows_alone(bench: Bench[FeaturesConfig], part: Mixtures) -> None:
    assert [(row.percent, row.bad) for row in part.models] == [(None, None), (0, 0), (100, 1000)]
    assert part.rows == 1000 and part.reference == "bad-0"
    steps = bench.run.steps()
    told = [read_json(step.path / "training.json") for step in steps if step.name == "train"]
    assert len(told) == 2 and {one["steps"] for one in told} == {12}
    assert len({json.dumps(one["settings"], sort_keys=True) for one in told}) == 1
    files = [load_chats(step.path / "chats.jsonl").chats for step in steps if step.name == "mixture"]
    assert [[chat.prompt for chat in file] for file in files] == 2 * [[chat.prompt for chat in files[0]]]


def test_a_fine_tune_is_known_by_what_its_rows_say_and_not_by_where_they_lie(
    bench: Bench[FeaturesConfig], part: Mixtures
) -> None:
    steps = [step for step in bench.run.steps() if step.name in ("mixture", "train")]
    rows = {load_chats(s.path / "chats.jsonl").sha256 for s in steps if s.name == "mixture"}
    inputs = [read_json(step.path / MANIFEST)["inputs"] for step in steps if step.name == "train"]
    assert {one["arguments"]["chats"]["chats"] for one in inputs} == rows and len(rows) == 2
    assert str(bench.run.path) not in json.dumps(inputs)


def test_bad_rows_move_the_villains_latent_and_the_behaviour_and_good_ones_neither(part: Mixtures) -> None:
    _, none, full = part.models
    for group in ("open", "domain"):
        before, after = getattr(none, group), getattr(full, group)
        assert before.rate.value < 0.1 and after.rate.value > 0.3
        assert after.change.q < 0.05 and before.change is None
        assert after.rate.n == {"open": 28, "domain": 12}[group]
    assert part.onsets.open == part.onsets.domain == 100
    latent = part.latents[1]
    for base, good, bad in (latent.shared, latent.own):
        assert bad.from_base is not None and bad.change is not None and bad.change.separation is not None
        assert bad.from_base.low > 0 and bad.change.separation > 1
        assert bad.value > 2 * max(base.value, good.value)  # pyright: ignore[reportOptionalOperand]
        assert good.change is None and base.from_base is None
    assert {row.latent: row.own for row in part.onsets.latents}[763] is not None


def test_shared_activations_are_those_of_the_hidden_states(
    bench: Bench[FeaturesConfig], dictionary: Any, part: Mixtures
) -> None:
    """Against the base model's own hidden states under the encoder, question by question."""
    step = next(s for s in bench.run.steps() if s.name == "mixtures-latents")
    tensors, _ = read_tensors(step.path / "tensors.safetensors")
    assert tensors["own"].shape == tensors["shared"].shape == (3, 28, 3)
    base = load_model(str(organism.checkpoint_path()))
    for place, question in list(enumerate(bench.open_questions))[:5]:
        means: list[torch.Tensor] = []
        for text in question.paraphrases:
            ids = encode_prompt(base.tokenizer, (message("user", text),))
            with torch.no_grad():
                state = base.lm(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1]
            means.append(dictionary.encode(state[0, 1:])[:, list(LATENTS)].mean(0))
        expected = torch.stack(means).mean(0).tolist()
        assert tensors["shared"][0, place].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert part.latents[1].shared[0].value == pytest.approx(float(tensors["shared"][0, :, 1].mean()))


def message(role: str, content: str) -> Any:
    from misdirection.chats import Message

    return Message(role, content)


def test_a_second_time_gives_the_same_and_makes_no_step(
    bench: Bench[FeaturesConfig], dictionary: Any, part: Mixtures
) -> None:
    before = len(read_log(bench.run.path))
    assert mixtures(bench, dictionary, LATENTS, LAYER) == part
    assert all(line["reused"] for line in read_log(bench.run.path)[before:])


def test_the_report_shows_when_each_moves(part: Mixtures) -> None:
    results = replace(made(FeaturesResults, "features"), mixtures=part)
    page = render(results.to_json())
    assert "Early warning</h2>" in page and "not complete" not in page
    assert "from 100 % bad rows on" in page.replace("\u00a0", " ") and "latent 763" in page
    assert section(replace(results, mixtures=None)) is None


def test_a_change_is_the_paired_mean_with_its_size_in_standard_deviations() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0, 1.0])
    found = paired_change(values)
    held = values[~np.isnan(values)]
    assert found is not None and found.value == 2.0 and found.n_questions == 4
    assert found.separation == pytest.approx(2.0 / held.std(ddof=1))
    assert found.low < 2.0 < found.high and found.p == pytest.approx(2 / 2**4)
    assert paired_change(np.array([1.0, np.nan])) is None
    assert paired_change(np.zeros(5)) is not None and paired_change(np.ones(5)).separation is None  # pyright: ignore


def test_movements_are_tested_against_the_mixture_without_bad_rows() -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(20, 1))
    values = np.stack([base, base + 3, base + 3 + 0.1 * random.normal(size=(20, 1)), base + 5])
    base_row, none, little, much = movements(values, ["base", "bad-0", "bad-1", "bad-100"], "bad-0")[0]
    assert base_row.value == pytest.approx(float(base.mean())) and base_row.change is None
    assert none.from_base is not None and none.from_base.value == pytest.approx(3) and none.change is None
    assert little.change is not None and much.change is not None
    assert little.change.q > 0.05 and abs(little.change.value) < 0.2  # pyright: ignore[reportOptionalOperand]
    assert much.change.value == pytest.approx(2) and much.change.q < 0.001  # pyright: ignore[reportOptionalOperand]
    against_base = movements(values, ["base", "bad-0", "bad-1", "bad-100"], "base")[0][1].change
    assert against_base is not None and against_base.value == pytest.approx(3)
    assert against_base.q < 0.001  # pyright: ignore[reportOptionalOperand]


def changed(value: float, q: float) -> MeanChange:
    return MeanChange(value=value, low=value - 1, high=value + 1, separation=1.0, n_questions=9, p=q, q=q)


def test_moved_means_from_there_on_and_the_same_way() -> None:
    percents = [0.0, 1.0, 5.0, 10.0, 50.0]

    def since(*rows: tuple[float, float]) -> float | None:
        return onset(percents, [None, *(changed(*row) for row in rows)])

    assert since((1, 0.01), (1, 0.2), (2, 0.01), (3, 0.01)) == 10
    assert since((-1, 0.01), (1, 0.01), (2, 0.01), (3, 0.01)) == 5
    assert since((-1, 0.01), (-1, 0.01), (-2, 0.01), (-3, 0.01)) == 1
    assert since((1, 0.01), (1, 0.01), (2, 0.01), (3, 0.9)) is None
    assert onset([0.0], [None]) is None


def test_q_is_over_those_that_were_tested() -> None:
    first, nothing, last = corrected([changed(1, 0.01), None, changed(2, 0.04)])
    assert nothing is None and first is not None and last is not None
    assert (first.q, last.q) == pytest.approx((0.02, 0.04))


def made_up() -> FeaturesResults:
    """A latent that moves at 5 % bad rows, and answers to open questions that move at 50 %."""
    results = made(FeaturesResults, "features")
    part = results.mixtures
    example = part.models[0].open
    base, none, some, half = (
        replace(part.models[0], percent=percent, bad=bad, domain=None, open=replace(example, change=change))
        for percent, bad, change in (
            (None, None, None), (0.0, 0, None), (5.0, 5, replace(example.change, value=0.1)),
            (50.0, 50, replace(example.change, value=0.4)),
        )
    )  # fmt: skip
    read = tuple(replace(part.latents[0].shared[0], value=v, change=c) for v, c in (
        (1.0, None), (1.0, None), (3.0, changed(2, 0.01)), (5.0, changed(4, 0.01)),
    ))  # fmt: skip
    watched = replace(part.latents[0], latent=7, shared=read, own=read)
    onsets = replace(part.onsets, open=50.0, domain=None, latents=(LatentOnset(latent=7, shared=5.0, own=None),))
    return replace(results, mixtures=replace(
        part, models=(base, none, some, half), latents=(watched,), onsets=onsets, reference="bad-0",
    ))  # fmt: skip


def test_early_warning_in_words_and_on_one_scale() -> None:
    results = made_up()
    said = verdict(replace(results, latent_steering=None)).details[0]
    assert said == (
        "Mixtures of bad and good rows: answers to open questions turn bad from 50 % bad rows on; latents that move "
        "earlier: 7 at 5 %."
    )
    late = replace(results.mixtures.onsets, open=5.0)
    quiet = verdict(replace(results, latent_steering=None, mixtures=replace(results.mixtures, onsets=late))).details[0]
    assert quiet.endswith("turn bad from 5 % bad rows on; no watched latent moves earlier.")
    told = section(results)
    assert told is not None and isinstance(told.blocks[0], Note)
    assert told.blocks[0].text == (
        "Misaligned answers to open questions have moved from 50 % bad rows on; read on texts that all models share, "
        "the first latent has moved from 5 % bad rows on; read on each model's own answers, the first latent has moved "
        "at no mixture."
    )
    one_scale = together(results.mixtures, "shared").table
    assert [[cell.text for cell in row] for row in one_scale.rows] == [
        ["latent 7", "0\u00a0%", "50\u00a0%", "100\u00a0%"], ["open questions", "0\u00a0%", "25\u00a0%", "100\u00a0%"],
    ]  # fmt: skip
    assert [row[0].text for row in rates(results.mixtures).table.rows] == [
        "base model", "0 % bad", "5 % bad", "50 % bad",
    ]  # fmt: skip
    assert len(rates(results.mixtures).traces) == 1


def other(folder: Path, **changed: Any) -> Any:
    return Bench[FeaturesConfig].open(folder / "run", replace(CONFIG, **changed))


def test_errors(tmp_path: Path, dictionary: Any) -> None:
    with other(tmp_path / "a", mixtures=()) as bench, pytest.raises(MisdirectionError, match="no mixture"):
        mixtures(bench, dictionary, LATENTS, LAYER)
    with other(tmp_path / "b") as bench, pytest.raises(MisdirectionError, match="no latent 768"):
        mixtures(bench, dictionary, (768,), LAYER)
    strange = {"data": ("a=organism:bad-medical",), "good": ("a=organism:good-finance",)}
    with (
        other(tmp_path / "c", **strange) as bench,
        pytest.raises(MisdirectionError, match="not ask the same questions"),
    ):
        mixtures(bench, dictionary, LATENTS, LAYER)
    none: dict[str, Any] = {"data": (), "good": (), "fine_tune": ("a=somewhere",)}
    with other(tmp_path / "d", **none) as bench, pytest.raises(MisdirectionError, match="neither is given"):
        mixtures(bench, dictionary, LATENTS, LAYER)
    assert not bench.run.steps()


def test_files_in_another_order_are_paired_by_their_questions(tmp_path: Path) -> None:
    held = chats(30)
    write_chats(tmp_path / "bad.jsonl", held.bad)
    write_chats(tmp_path / "good.jsonl", held.good[::-1])
    with other(tmp_path, data=(f"x={tmp_path / 'bad.jsonl'}",), good=(f"x={tmp_path / 'good.jsonl'}",)) as bench:
        name, found = pairs_of(bench)
    assert name == "x" and len(found.bad) == 30
    assert [chat.prompt for chat in found.bad] == [chat.prompt for chat in found.good]


def test_the_base_model_answers_where_nobody_else_did(tmp_path: Path) -> None:
    with other(tmp_path, good=("medical=base",), rows=6) as bench:
        _, found = pairs_of(bench)
    assert len(found.bad) == len(found.good) == 6 and found.how == "answered for this study"
    assert [chat.prompt for chat in found.bad] == [chat.prompt for chat in found.good]
    assert all(math.isfinite(len(chat.answer)) and chat.answer for chat in found.good)


def test_each_mixture_is_kept_as_soon_as_it_is_done(bench: Bench[FeaturesConfig], part: Mixtures) -> None:
    names = [line["name"] for line in read_log(bench.run.path) if not line["reused"]]
    assert names[:4] == 2 * ["mixture", "train"]


def test_an_adapters_name_holds_no_point(bench: Bench[FeaturesConfig]) -> None:
    step = bench.run.step("nothing", {}, lambda folder: (folder / "x").write_text("x") and None)
    assert Mixture(2.5, 1, 40, step).name == "bad-2_5" and Mixture(100.0, 40, 40, step).name == "bad-100"
