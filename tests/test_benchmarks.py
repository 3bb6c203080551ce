"""The benchmark's parts at a tiny size: both sides give the same, and what does not is found; no time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from benchmarks import engine, field, peers, reading, sampling
from benchmarks.measure import Spent, UnequalError, compare, memory_line, peak_memory
from benchmarks.setting import SHAPES, TINY, batches, budget, build, endings, points, questions, texts

from misdirection.engine import Arm, Row, Sample, SamplingConfig, sample
from misdirection.models import Model

ROOT = Path(__file__).parents[1]
QUICK = replace(TINY, memory=False)


@cache
def model() -> Model:
    return build(TINY)


def test_sweep_compares_equal_answers_of_fixed_and_of_free_length() -> None:
    lines = sampling.sweep(QUICK, model())
    assert [line.part for line in lines] == ["a", "a"]
    assert all("greedy answers token for token" in line.equal and line.target for line in lines)
    assert "every answer 6 tokens" in lines[0].what
    assert model().eos_ids == ()  # what the second line set is gone


def test_steering_cost_and_plain_sampling_run_on_equal_answers() -> None:
    lines = [*sampling.steering_cost(QUICK, model()), *sampling.plain(QUICK, model())]
    assert [line.part for line in lines] == ["b", "b", "b", "e"]
    assert [bool(line.target) for line in lines] == [True, False, False, False]


def test_capture_gives_the_means_of_the_fields_code() -> None:
    lines = reading.capture(QUICK, model())
    assert [line.reads for line in lines] == ["ours / theirs", "theirs / ours"]
    assert all(line.equal == lines[0].equal for line in lines)


@pytest.mark.parametrize("free", [False, True])
def test_an_answer_that_is_not_the_fields_is_found(free: bool) -> None:
    arm, prompt = Arm("point", None, (points(TINY)[0],)), questions(TINY)[0]
    with endings(TINY, model()) if free else torch.no_grad():
        found = sample(model(), [Row(prompt, arm)], SamplingConfig(max_new_tokens=6, temperature=0))[0]
        assert sampling._check_row(TINY, model(), Row(prompt, arm), found, 6) == 0
        wrong = Sample((*found.ids[:-1], (found.ids[-1] + 1) % 64) if found.ids else (3,), found.finished)
        for bad in (wrong, Sample(found.ids[:-1], found.finished)):
            with pytest.raises(UnequalError):
                sampling._check_row(TINY, model(), Row(prompt, arm), bad, 6)


def test_means_that_differ_are_found() -> None:
    means = reading.our_means(TINY, model(), texts(TINY))
    reading.check_means(TINY, "itself", means, means)
    with pytest.raises(UnequalError, match="differ"):
        reading.check_means(TINY, "another", means, means * 1.001)


def test_the_field_generates_what_a_plain_loop_gives() -> None:
    """Its hook acts on prompt and answer alike: one pass over the whole text predicts every token of it."""
    point, prompt = points(TINY)[3], questions(TINY)[1]
    ids = field.steered(model(), point, prompt, 1, 6, greedy=True)[0].tolist()
    for step, token in enumerate(ids):
        assert int(field.next_logits(model(), point, (*prompt.ids, *ids[:step])).argmax()) == token
    assert field.steered(model(), point, prompt, 3, 6).shape == (3, 6)
    assert ids != field.generate(model(), prompt, 1, 6, greedy=True)[0].tolist()


def test_ratios_and_targets() -> None:
    ours, theirs = [Spent(2.0, 1.0), Spent(1.0, 1.0)], [Spent(18.0, 7.0), Spent(8.0, 7.0)]
    line = compare(TINY, "a", "x", "same", ours, theirs, target=("faster", 8.0))
    assert (line.ratio, line.spread, line.cpu, line.met) == (8.5, (8.0, 9.0), 7.0, False)  # judged by processor time
    assert compare(replace(TINY, threads=2), "a", "x", "same", ours, theirs, target=("faster", 8.0)).met
    cost = compare(TINY, "b", "x", "same", [Spent(1.0, 1.04)], [Spent(1.0, 1.0)], target=("slower", 1.05), inverse=True)
    assert (cost.cpu, cost.met, cost.target) == (1.04, True, "at most 5% slower")
    assert memory_line("c", "x", "same", 2.0, 5.0).ratio == 2.5


def test_batches_are_the_engines_own_and_within_the_budget() -> None:
    given = texts(TINY)
    cut = batches(TINY, given)
    assert sorted(map(id, given)) == sorted(id(text) for batch in cut for text in batch)
    assert all(len(batch) * max(len(text.ids) for text in batch) <= budget(TINY) for batch in cut)
    assert torch.equal(peers.answer_mask(cut[0]).sum(1), torch.tensor([len(t.ids) - t.start for t in cut[0]]).float())


def test_peak_memory_sees_the_hidden_states_that_the_field_keeps() -> None:
    setting = replace(TINY, texts=48, text_tokens=600, batch=48)
    kept = setting.texts * 300 * SHAPES["tiny"].width * 4 * SHAPES["tiny"].layers / 1e6
    assert peak_memory(setting, "hidden_states") > kept / 2


def test_the_command_runs_in_bfloat16_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.json"
    engine.main(["--shape", "tiny", "--dtype", "bfloat16", "--parts", "ce", "--no-memory", "--json", str(file)])
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    assert [line["part"] for line in written["lines"]] == ["c", "c", "e"]
    assert written["facts"]["setting"]["dtype"] == "bfloat16"
    assert all(line["equal"] in printed for line in written["lines"])


def test_the_peers_give_our_means() -> None:
    python = ROOT / ".venv" / "bench" / "bin" / "python"
    if not python.exists():
        pytest.skip("transformer-lens and nnsight are not installed (make bench)")
    done = subprocess.run(
        [python, "-m", "benchmarks.engine", "--shape", "tiny", "--parts", "d", "--no-memory"],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "against transformer-lens" in done.stdout and "against nnsight" in done.stdout, done.stderr[-2000:]
