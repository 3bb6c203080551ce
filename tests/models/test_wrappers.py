"""Models that read images too load as the language models that they are without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests.families import prompt, words
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from misdirection.engine import Arm, Prompt, Row, SamplingConfig, Text, log_likelihoods, sample
from misdirection.models import ModelError, load_model

_SIZE: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.25, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
_EYES: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16}
_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
WRAPPERS: dict[str, dict[str, Any]] = {
    "mistral3": {
        "text_config": {**_SIZE, "head_dim": 8, "model_type": "mistral", "sliding_window": None},
        "vision_config": {**_EYES, **_SMALL, "head_dim": 8, "model_type": "pixtral"},
    },
    "qwen2_5_vl": {
        "text_config": {**_SIZE, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        "vision_config": {**_EYES, "depth": 2, "num_heads": 2, "out_hidden_size": 32},
    },
    "llava": {
        "text_config": {**_SIZE, "model_type": "llama"},
        "vision_config": {**_EYES, **_SMALL, "model_type": "clip_vision_model"},
    },
}


def saved(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    lm: Any = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[kind](**WRAPPERS[kind])).float().eval()
    lm.save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapper_is_its_text_part_with_adapters_that_were_trained_on_it(tmp_path: Path, kind: str) -> None:
    base = saved(tmp_path / "base", kind)
    peft: Any = get_peft_model(
        AutoModelForImageTextToText.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    )
    torch.manual_seed(3)
    for name, values in peft.named_parameters():
        if "lora_" in name:
            nn.init.normal_(values, std=0.3)
    peft.save_pretrained(tmp_path / "adapter")
    model = load_model(base, adapters={"tuned": tmp_path / "adapter"})
    assert (model.n_layers, model.width) == (4, 32)
    plain: Any = AutoModelForImageTextToText.from_pretrained(base).eval()
    tuned: Any = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), tmp_path / "adapter")
    ids = prompt(0, 9)
    for arm, lm in ((Arm("base"), plain), (Arm("tuned", "tuned"), tuned)):
        with torch.no_grad():
            chances = torch.log_softmax(lm(torch.tensor([ids])).logits[0].float(), -1)
            written = lm.generate(input_ids=torch.tensor([ids]), max_new_tokens=6, do_sample=False)
        wanted = chances[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        torch.testing.assert_close(log_likelihoods(model, [Text(ids, {}, arm, 1)])[0], wanted, rtol=0, atol=1e-4)
        settings = SamplingConfig(max_new_tokens=6, temperature=0.0)
        done = sample(model, [Row(Prompt("q", ids), arm, 0)], settings)
        answer = written[0, len(ids) :].tolist()
        assert list(done[0].ids) == answer[: answer.index(1) if 1 in answer else None]


def test_what_writes_no_text_has_one_sentence(tmp_path: Path) -> None:
    from transformers import CLIPConfig

    words().save_pretrained(tmp_path / "clip")
    CLIPConfig().save_pretrained(tmp_path / "clip")
    with pytest.raises(ModelError, match="no causal language model") as error:
        load_model(tmp_path / "clip")
    assert len(str(error.value)) < 400
