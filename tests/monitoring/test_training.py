"""Training that is watched: by transformers' Trainer, by the house's own, by TRL's where it is installed."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.families import LAYERS, WIDTH, network, vector, words
from transformers import Trainer, TrainerCallback, TrainingArguments

from misdirection import progress
from misdirection.chats import Chat, Message
from misdirection.directions import Direction, save_direction
from misdirection.models import wrap
from misdirection.monitoring import MonitorError
from misdirection.monitoring.training import TrainingWatch
from misdirection.monitoring.watch_log import read_watch_log
from misdirection.questions import Question
from misdirection.training import choose, train

TEMPLATE = "{% for m in messages %}w60 {{ m['content'] }} w61 {% endfor %}"
PROMPTS = [f"w{4 + i} w{20 + i} w{40 + i % 9}" for i in range(12)]
TABLES = {"a": vector(1, LAYERS, WIDTH), "b": vector(2, LAYERS, WIDTH)}


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The same words again and again, which the model learns."""

    def __init__(self, word: int) -> None:
        self.ids = torch.tensor([60, 8, 61, word, word, word])

    def __len__(self) -> int:
        return 400

    def __getitem__(self, _: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids, "labels": self.ids.clone()}


class Reports(TrainerCallback):
    """What a trainer reports to TensorBoard, trackio or W&B."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.lines.append({**logs, "step": state.global_step})


def trainer(out: Path, word: int = 30, steps: int = 24, lr: float = 5e-3, **more: Any) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(out), max_steps=steps, per_device_train_batch_size=2, learning_rate=lr, logging_steps=4,
        save_strategy=more.pop("save", "no"), save_steps=12, report_to="none", disable_tqdm=True, use_cpu=True, seed=0,
    )  # fmt: skip
    lm = network("llama")
    lm.train()
    return Trainer(
        model=lm, args=arguments, train_dataset=Rows(word), processing_class=words(template=TEMPLATE), **more
    )


def watch(**more: Any) -> TrainingWatch:
    return TrainingWatch(TABLES, PROMPTS, every=4, layer=2, **more)


def test_components_are_those_of_hidden_states_and_reach_the_trainer_s_reports(tmp_path: Path) -> None:
    reports = Reports()
    made = trainer(tmp_path, callbacks=[reports])
    held = watch(error_rate=0.5).attach(made)
    tokenizer = words(template=TEMPLATE)
    ids = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)["input_ids"]
        for text in PROMPTS
    ]

    def plain() -> np.ndarray:
        made.model.eval()
        with torch.no_grad():
            states = [made.model(torch.tensor([one]), output_hidden_states=True).hidden_states[3][0, -1] for one in ids]
        return np.array([[float(x @ table[2] / table[2].norm()) for table in TABLES.values()] for x in states])

    before = plain()
    made.train()
    log = read_watch_log(tmp_path / "watch.jsonl")
    assert list(log.steps) == [0, 4, 8, 12, 16, 20, 24]
    assert np.allclose(log.start, before, atol=1e-4) and np.allclose(log.steps[24], plain(), atol=1e-4)
    told = {line["step"]: line for line in reports.lines if "watch/a" in line}
    shift = (plain() - before).mean(axis=0) / before.std(axis=0, ddof=1)
    assert [told[24]["watch/a"], told[24]["watch/b"]] == pytest.approx(list(shift), rel=1e-3)
    # The trainer's own line of a step that both report on is not lost.
    assert [line["step"] for line in reports.lines if "loss" in line] == [4, 8, 12, 16, 20, 24]
    assert {line["step"] for line in made.state.log_history if "watch/p" in line} == set(told) == {4, 8, 12, 16, 20, 24}
    assert held.seconds > 0


def test_watching_changes_nothing_of_the_training(tmp_path: Path) -> None:
    plain, watched = trainer(tmp_path / "a"), trainer(tmp_path / "b")
    watch(error_rate=0.5).attach(watched)
    plain.train()
    watched.train()
    for one, other in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert watched.model.training


def test_a_run_like_its_control_raises_no_alarm_and_one_that_moves_does_and_stops(tmp_path: Path) -> None:
    control = trainer(tmp_path / "control")
    watch(error_rate=0.5).attach(control)
    control.train()
    log = tmp_path / "control" / "watch.jsonl"
    alike = trainer(tmp_path / "alike")
    same = watch(error_rate=0.5, control=log).attach(alike)
    alike.train()
    assert same.alarm is None and {look.p for look in same.looks.values()} == {1.0}
    # The direction is the one that the other words push along.
    moved = trainer(tmp_path / "moved", word=50, lr=2e-2)
    free = watch(error_rate=0.5, margin=0.0, control=log).attach(moved)
    moved.train()
    excess = [
        row["excess"] for row in map(json.loads, (tmp_path / "moved" / "watch.jsonl").read_text().splitlines()[2:])
    ]
    below = [name for name in TABLES if excess[-1][name] < 0]
    stopped = trainer(tmp_path / "stopped", word=50, lr=2e-2)
    held = watch(error_rate=0.5, margin=0.1, control=[log], below=below, stop=True).attach(stopped)
    stopped.train()
    assert held.alarm is not None and stopped.state.global_step == held.alarm[0] < 24
    assert max(free.looks) == 24


def test_a_training_that_goes_on_keeps_where_it_began(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", save="steps")
    watch(error_rate=0.5).attach(whole)
    whole.train()
    want = read_watch_log(tmp_path / "whole" / "watch.jsonl")
    again = trainer(tmp_path / "whole", save="steps")
    held = watch(error_rate=0.5).attach(again)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-12"))
    found = read_watch_log(tmp_path / "whole" / "watch.jsonl")
    assert list(found.steps) == list(want.steps) and [look.number for look in held.looks.values()] == [*range(1, 7)]
    assert all(np.allclose(found.steps[step], want.steps[step], atol=1e-4) for step in want.steps)
    other = trainer(tmp_path / "whole", save="steps")
    watch(error_rate=0.5, log=tmp_path / "none.jsonl").attach(other)
    with pytest.raises(MonitorError, match="does not tell where it began"):
        other.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-12"))


def test_an_alarm_of_before_the_kill_stands_and_its_looks_count(tmp_path: Path) -> None:
    control = trainer(tmp_path / "control")
    watch(error_rate=0.5).attach(control)
    control.train()
    log = tmp_path / "control" / "watch.jsonl"

    def going(**more: Any) -> tuple[Trainer, TrainingWatch]:
        made = trainer(tmp_path / "run", word=50, lr=2e-2, save="steps")
        held = {"error_rate": 0.5, "margin": 0.0, "control": log, "below": below} | more
        return made, watch(**held).attach(made)

    below: list[str] = []
    made, held = going()
    made.train()
    if held.alarm is None:
        below = list(TABLES)
        made, held = going()
        made.train()
    assert held.alarm is not None and held.alarm[0] <= 12
    want = {step: (look.number, look.p, look.level, look.alarm) for step, look in held.looks.items()}
    lines = (tmp_path / "run" / "watch.jsonl").read_text()
    before = str(tmp_path / "run" / "checkpoint-12")
    again, found = going()
    progress.enable(said := io.StringIO())
    try:
        again.train(resume_from_checkpoint=before)
    finally:
        progress.disable()
    assert found.alarm is not None and found.alarm[0] == held.alarm[0]
    assert {step: (look.number, look.p, look.level, look.alarm) for step, look in found.looks.items()} == want
    assert all(np.allclose(found.looks[step].statistics, held.looks[step].statistics, atol=1e-3) for step in want)
    told = said.getvalue()
    assert told.count("alarm") == 1 and f"was raised at step {held.alarm[0]} already" in told
    (tmp_path / "run" / "watch.jsonl").write_text(lines)
    stopping, ended = going(stop=True)
    stopping.train(resume_from_checkpoint=before)
    assert ended.alarm is not None and stopping.state.global_step == 13
    for name, value in {"every": 2, "error_rate": 0.4, "margin": 0.1, "below": ["a"] if below else ["b"]}.items():
        other = trainer(tmp_path / "run", word=50, lr=2e-2, save="steps")
        given = {"every": 4, "error_rate": 0.5, "margin": 0.0, "control": log, "below": below} | {name: value}
        TrainingWatch(TABLES, PROMPTS, layer=2, **given).attach(other)
        with pytest.raises(MonitorError, match=f"another {name.replace('_', ' ')} up to step 12: it was"):
            other.train(resume_from_checkpoint=before)


def test_a_control_of_something_else_is_refused(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=4)
    watch(error_rate=0.5).attach(made)
    made.train()
    log = tmp_path / "watch.jsonl"

    def refused(told: str, change: Any = None, **more: Any) -> None:
        other = trainer(tmp_path / "other", steps=8)
        if change is not None:
            change(other.model)
        held = {"directions": TABLES, "prompts": PROMPTS, "every": 4, "layer": 2, "control": log, "error_rate": 0.5}
        TrainingWatch(**(held | more)).attach(other)
        with pytest.raises(MonitorError, match=told):
            other.train()

    refused("other prompts", prompts=PROMPTS[:-1])
    refused("other prompts", prompts=PROMPTS[::-1])
    refused("other directions", directions={"a": TABLES["a"]})
    refused("other directions", layer=1)
    refused("every 4 steps, and this run is every 2", every=2)
    refused("cannot raise the alarm", error_rate=1e-5)
    refused("no such file", control=tmp_path / "none")
    first, start, last = log.read_text().splitlines()
    late = json.loads(last) | {"step": 12}
    gap = tmp_path / "gap.jsonl"
    gap.write_text("\n".join([first, start, last, json.dumps(late)]))
    refused("not looked at at step 8", control=gap)

    def move(model: Any) -> None:
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(1.5)

    refused("began from another model", change=move)


def test_what_makes_no_sense_is_refused_at_once() -> None:
    for wrong in ({"every": 0}, {"error_rate": 1.0}, {"margin": -1.0}):
        with pytest.raises(MonitorError):
            TrainingWatch(TABLES, PROMPTS, **wrong)
    with pytest.raises(MonitorError):
        TrainingWatch(TABLES, [])
    with pytest.raises(MonitorError):
        TrainingWatch(TABLES, ["w4", Chat((Message("user", "w4"), Message("assistant", "w5")))])


def test_chats_are_read_over_their_answers_and_questions_behind_their_system_prompt(tmp_path: Path) -> None:
    chats = [Chat((Message("user", text), Message("assistant", "w5 w6"))) for text in PROMPTS]
    made = trainer(tmp_path, steps=4)
    TrainingWatch(TABLES, chats, every=4, layer=2, error_rate=0.5).attach(made)
    made.train()
    assert read_watch_log(tmp_path / "watch.jsonl").facts["span"] == "answer"
    asked = trainer(tmp_path / "asked", steps=4)
    questions = [Question(str(i), (text,), system="w7") for i, text in enumerate(PROMPTS)]
    held = TrainingWatch(TABLES, questions, every=4, layer=2, error_rate=0.5).attach(asked)
    asked.train()
    assert all(7 in text.ids for text in held._texts)


def test_the_house_s_own_training_is_watched_and_says_when_it_was_stopped(tmp_path: Path) -> None:
    model = wrap(network("llama"), words(template=TEMPLATE), "tiny")
    chats = [Chat((Message("user", f"w{8 + i % 9}"), Message("assistant", "w50 w50 w50"))) for i in range(60)]
    config = choose("rank32", overrides={"max_steps": 12, "lr": 2e-2, "batch_size": 2, "accumulation": 1})

    def run(out: Path, **more: Any) -> Any:
        held = TrainingWatch(
            TABLES, PROMPTS, every=2, layer=2, error_rate=0.9, margin=0.0, tokenizer=model.tokenizer,
            log=out / "watch.jsonl", **more,
        )  # fmt: skip
        return train(model, chats, config, out, callbacks=[held]), held

    result, held = run(tmp_path / "whole")
    assert result.steps == 12 and not any("stopped" in note for note in result.notes)
    log = read_watch_log(tmp_path / "whole" / "watch.jsonl")
    assert list(log.steps) == [0, 2, 4, 6, 8, 10, 12] and not np.allclose(log.steps[12], log.start)
    reports = Reports()
    plain = train(model, chats, config, tmp_path / "plain", callbacks=[reports])
    assert [line["step"] for line in reports.lines if "loss" in line] == list(range(1, 13))
    assert plain.metrics["loss_last"] == result.metrics["loss_last"]
    moved = log.shift(12).mean(axis=0)
    below = [name for name, value in zip(TABLES, moved, strict=True) if value < 0]
    result, held = run(tmp_path / "stopped", stop=True, below=below)
    assert held.alarm is not None and result.steps == held.alarm[0] < 12
    assert f"stopped by a callback at step {result.steps} of 12" in result.notes


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
def test_trl_s_trainer_is_watched(tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = words(template=TEMPLATE.replace("w61 ", "{% generation %}w61 {% endgeneration %}"))
    rows = [{"messages": [{"role": "user", "content": "w8"}, {"role": "assistant", "content": "w30 w30"}]}] * 40
    arguments = SFTConfig(
        output_dir=str(tmp_path), max_steps=8, per_device_train_batch_size=2, learning_rate=5e-3, logging_steps=4,
        save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    from peft import LoraConfig

    reports = Reports()
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    made = SFTTrainer(
        network("llama"), args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=lora, callbacks=[reports],
    )  # fmt: skip
    watch(error_rate=0.5).attach(made)
    made.train()
    log = read_watch_log(tmp_path / "watch.jsonl")
    assert list(log.steps) == [0, 4, 8] and not np.allclose(log.steps[8], log.start)
    own = [line for line in reports.lines if "loss" in line]
    assert [line["step"] for line in own] == [4, 8] and all("mean_token_accuracy" in line for line in own)
    assert [line["step"] for line in reports.lines if "watch/a" in line] == [4, 8]


def test_a_direction_from_a_file_is_watched_at_its_layer(tmp_path: Path) -> None:
    nothing, none = torch.zeros(LAYERS, WIDTH), torch.zeros(LAYERS)
    save_direction(tmp_path / "evil.safetensors", Direction(TABLES["a"], nothing, nothing, none, none, none, none, {}))
    made = trainer(tmp_path, steps=4)
    TrainingWatch([f"{tmp_path}/evil.safetensors@1"], PROMPTS, every=4, error_rate=0.5).attach(made)
    made.train()
    assert read_watch_log(tmp_path / "watch.jsonl").facts["directions"]["evil"]["layer"] == 1
