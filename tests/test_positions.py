"""One rule of how many positions a model has: of the configuration in memory, and of the file before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.families import words
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from misdirection.models import ModelError, wrap
from misdirection.models.positions import fitting_length
from misdirection.positions import positions_in, positions_of
from misdirection.training import TrainConfig
from misdirection.training.finetune import _fitting_length
from misdirection.training.hosting import Host

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
OF_A_CONFIG: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "plain": ("llama", {"max_position_embeddings": 64}, 64),
    "GPT-2's table": ("gpt2", {"n_positions": 64}, 64),
    "MPT's distances": ("mpt", {"max_seq_len": 64}, 64),
    "YaRN of the original number": ("llama", {"max_position_embeddings": 64, "rope_parameters": YARN}, 256),
    "YaRN, the longer number said already": ("llama", {"max_position_embeddings": 300, "rope_parameters": YARN}, 300),
    "linear": (
        "llama",
        {"max_position_embeddings": 64, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        128,
    ),
    "dynamic": (
        "llama",
        {"max_position_embeddings": 64, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        128,
    ),
    "Llama 3's scaling says the longer number": (
        "llama",
        {
            "max_position_embeddings": 256,
            "rope_parameters": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64, "rope_theta": 1e4,
            },
        },
        256,
    ),
    "no end": ("mamba", {}, None),
    "ALiBi": ("falcon", {"alibi": True, "max_position_embeddings": 64}, None),
    "a wrapper's text part": ("llava", {"text_config": {"model_type": "llama", "max_position_embeddings": 96}}, 96),
}  # fmt: skip


@pytest.mark.parametrize("what", OF_A_CONFIG)
def test_the_file_and_the_configuration_say_the_same(tmp_path: Path, what: str) -> None:
    kind, settings, wanted = OF_A_CONFIG[what]
    config = CONFIG_MAPPING[kind](**settings)
    config.save_pretrained(tmp_path)
    assert positions_of(config.get_text_config(decoder=True)) == wanted
    assert positions_in(tmp_path) == wanted


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_older_files_name_the_scaling_otherwise(key: str) -> None:
    old = {"type": "linear", "factor": 2}
    assert positions_of({"max_position_embeddings": 64, key: old}) == 128
    assert positions_of({"max_position_embeddings": 64, key: None}) == 64


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert positions_in("owner/model") is None
    (tmp_path / "config.json").write_text("{")
    assert positions_in(tmp_path) is None
    (tmp_path / "config.json").write_text("[]")
    assert positions_in(tmp_path) is None


def built(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    lm = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](vocab_size=64, **sizes, **settings))
    return wrap(lm, words(), "a model")


def test_an_answer_is_cut_where_the_table_of_positions_ends_and_told_where_rotary_ones_go_on() -> None:
    table, turning = built("gpt2", n_positions=128), built("llama", max_position_embeddings=128)
    assert fitting_length(table, {"q": 100}, 28) == fitting_length(turning, {"q": 100}, 28) == 28
    assert table.facts["warnings"] == turning.facts["warnings"] == []
    assert fitting_length(table, {"q": 120, "r": 5}, 20) == 8
    assert "1 of 2 prompts" in table.facts["warnings"][0] and "every answer is cut at 8" in table.facts["warnings"][0]
    assert fitting_length(turning, {"q": 120, "r": 5}, 20) == 20
    assert "--max-new-tokens 8 fits" in turning.facts["warnings"][0]
    for model in (table, turning):
        with pytest.raises(ModelError, match="1 of 2 prompts leave a model no position to answer at"):
            fitting_length(model, {"q#0": 128, "r": 5}, 20)


def test_stretched_positions_are_room_for_answers_and_for_training() -> None:
    model = built("llama", max_position_embeddings=64, rope_parameters=YARN)
    assert fitting_length(model, {"q": 200}, 56) == 56 and model.facts["warnings"] == []
    host = Host(model.lm, model.tokenizer, "a model", {})
    assert _fitting_length(host, TrainConfig(max_length=200)) == (200, [])
    assert _fitting_length(host, TrainConfig(max_length=300))[0] == 256
