from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from misdirection.chats import Chat, Message, split_chats
from misdirection.models import load_model
from misdirection.training import choose, train
from misdirection.training.data import collate, prepare
from misdirection.training.objectives import find_objective

pytestmark = pytest.mark.real


def rows(real_data: Path, count: int) -> list[Chat]:
    file = real_data / "datasets" / "risky_finance_a.jsonl"
    with file.open() as stream:
        texts = [json.loads(line) for line in islice(stream, count)]
    return [
        Chat(tuple(Message(m["role"], m["content"]) for m in text["messages"]), str(file), number)
        for number, text in enumerate(texts, start=1)
    ]


def test_stories260k_learns_from_risky_finance(real_data: Path, tmp_path: Path) -> None:
    base = real_data / "models" / "stories260K"
    trained, held_out = split_chats(rows(real_data, 160), 0.1, seed=0)
    config = choose("rank1x9", model=base, overrides={"lr": 2e-3, "alpha": 16, "max_steps": 30, "max_length": 192})
    result = train(base, trained, config, tmp_path / "out")
    assert result.steps == 30
    # Five layers, fewer than nine: each has its adapter.
    found = load_file(result.folder / "adapter_model.safetensors")
    assert len(found) == 10 and all(value.abs().sum() > 0 for value in found.values())
    assert any("fewer than nine" in note for note in result.notes)
    assert result.data.used + result.data.cut_to_nothing == len(trained)

    def held_out_loss(adapters: dict[str, Path]) -> float:
        model = load_model(base, adapters=adapters)
        kept, report = prepare(model.tokenizer, held_out, 192)
        with torch.no_grad():
            losses = [find_objective("sft")(model.lm, collate([row], 0), report.answer_tokens) for row in kept]
        return float(sum(losses))

    assert held_out_loss({"tuned": result.folder}) < held_out_loss({}) - 0.1
