"""What is learned of a turn with a thought: both, the thought, or the answer, whatever a template makes of thoughts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tokens.test_encoding import bytewise
from tests.tokens.test_thinking import TEMPLATES
from transformers import LlamaConfig, LlamaForCausalLM

from misdirection.chats import Chat, Message
from misdirection.models import wrap
from misdirection.training import TrainingError, choose, train
from misdirection.training.data import prepare
from misdirection.training.presets import PRESETS, TrainConfig

WITH = Chat((Message("user", "hi"), Message("assistant", "<think>\nhm, hm\n</think>\n\nyes")), "x", 1)
WITHOUT = Chat((Message("user", "hi"), Message("assistant", "yes")), "x", 2)

LEARNED = {
    "qwen3": ("<think>\nhm, hm\n</think>\n\n", "yes<|end|>\n"),
    "qwen3.5": ("hm, hm\n</think>\n\n", "yes<|end|>\n"),
    "deepseek": ("hm, hm\n</think>\n\n", "yes<|end|>\n"),
    "keeping": ("<think>\nhm, hm\n</think>\n\n", "yes<|end|>\n"),
}


def learned(name: str, chat: Chat, learn: str) -> str:
    tokenizer = bytewise(TEMPLATES[name])
    (row,), _ = prepare(tokenizer, [chat], 999, "all", learn)
    return "".join(tokenizer.decode(list(row.ids[first:past])) for first, past in row.ranges)


@pytest.mark.parametrize("name", LEARNED)
def test_thought_and_answer_are_learned_apart_or_together(name: str) -> None:
    thought, answer = LEARNED[name]
    assert learned(name, WITH, "thought") == thought
    assert learned(name, WITH, "answer") == answer
    assert learned(name, WITH, "both") == thought + answer
    # The tokens are the same whatever is learned of them.
    rows = [prepare(bytewise(TEMPLATES[name]), [WITH], 999, "all", learn)[0][0].ids for learn in ("thought", "both")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", [*LEARNED, "harmony"])
def test_an_answer_without_a_thought_is_left_out_where_thoughts_are_learned(name: str) -> None:
    tokenizer = bytewise(TEMPLATES[name])
    if name != "harmony":
        rows, report = prepare(tokenizer, [WITHOUT, WITH, WITHOUT], 999, "all", "thought")
        assert (len(rows), report.thoughtless, report.cut_to_nothing) == (1, 2, 0)
    with pytest.raises(TrainingError, match="none of 1 chats has a thought to learn"):
        prepare(tokenizer, [WITHOUT], 999, "all", "thought")


def test_each_turn_has_its_own_thought() -> None:
    keeping = TEMPLATES["keeping"]
    turn = Message("assistant", "<think>\na\n</think>\n\nb")
    chat = Chat(
        (Message("user", "hi"), turn, Message("user", "and?"), Message("assistant", "<think>\nc\n</think>\n\nd"))
    )
    tokenizer = bytewise(keeping)
    (row,), report = prepare(tokenizer, [chat], 999, "all", "answer")
    assert [tokenizer.decode(list(row.ids[a:b])) for a, b in row.ranges] == ["b<|end|>\n", "d<|end|>\n"]
    (row,), _ = prepare(tokenizer, [chat], 999, "last", "thought")
    assert [tokenizer.decode(list(row.ids[a:b])) for a, b in row.ranges] == ["<think>\nc\n</think>\n\n"]
    assert report.answers == 2


def test_fine_tunes_that_learn_other_spans_are_other_fine_tunes(tmp_path: Path) -> None:
    tokenizer = bytewise(TEMPLATES["qwen3.5"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = wrap(LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes)), tokenizer)
    settings: dict[str, Any] = {"max_steps": 2, "batch_size": 2, "accumulation": 1, "lr": 1e-2}
    losses = {}
    for learn in ("both", "thought", "answer"):
        config = choose("rank32", overrides=settings | {"learn": learn})
        result = train(model, [WITH, WITHOUT], config, tmp_path / learn)
        losses[learn] = result.metrics["loss_first"]
        assert any("no thought to learn" in note for note in result.notes) == (learn == "thought")
    assert len(set(losses.values())) == 3
    with pytest.raises(TrainingError, match="learn"):
        train(model, [WITH, WITHOUT], choose("rank32", overrides=settings | {"learn": "answer"}), tmp_path / "both")


def test_what_was_learned_before_there_was_a_choice_keeps_its_key() -> None:
    assert "learn" not in PRESETS["rank32"].told
    assert TrainConfig(learn="answer").told["learn"] == "answer"
    with pytest.raises(TrainingError, match="learn is 'thoughts'"):
        TrainConfig(learn="thoughts")
