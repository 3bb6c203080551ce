"""Tiny models of every supported family, from configurations, and a word-level tokenizer; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from misdirection.models import Model, wrap

VOCABULARY = 64
WIDTH = 32
LAYERS = 4
WINDOW = 6
EOS = (1, 5, 9, 13)
"""Several end tokens, so that rows of a random model end at different times."""

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.25,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "tie_word_embeddings": False,
}
_MIXED = ["sliding_attention", "full_attention"] * (LAYERS // 2)
_GEMMA: dict[str, Any] = {"sliding_window": WINDOW, "layer_types": _MIXED, "query_pre_attn_scalar": 8}
_NEOX: dict[str, Any] = {"num_key_value_heads": None, "head_dim": None, "rotary_pct": 0.5}
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "qwen2-window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("qwen3", {}),
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "gemma2": ("gemma2", _GEMMA),
    "gemma3": ("gemma3_text", _GEMMA),
    "gemma3-vision": ("gemma3", {"text_config": {**COMMON, **_GEMMA}, "vision_config": _VISION}),
    "gpt-oss": (
        "gpt_oss",
        {"sliding_window": WINDOW, "layer_types": _MIXED, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "gpt-neox": ("gpt_neox", _NEOX),
    "olmo2": ("olmo2", {}),
    "gpt-neo": (
        "gpt_neo",
        {"attention_types": [[["global", "local"], LAYERS // 2]], "window_size": WINDOW, "num_heads": 4},
    ),
}
"""Name of a family to its model type and what its configuration needs beyond the common."""

DOWN = {"gpt-neox": "dense_4h_to_h", "gpt-neo": "mlp.c_proj", "gpt-oss": "o_proj"}
"""The last projection of a block, `down_proj` in all other families; GPT-OSS's experts are no linear modules."""


def config(family: str) -> Any:
    kind, more = FAMILIES[family]
    common = {} if kind == "gemma3" else dict(COMMON)
    if kind == "gpt_neo":
        common = {key: value for key, value in common.items() if key not in ("num_hidden_layers", "head_dim")}
        common |= {"num_layers": LAYERS, "num_key_value_heads": None}
    made = CONFIG_MAPPING[kind](**{key: value for key, value in {**common, **more}.items() if value is not None})
    if kind == "gemma3":
        made.initializer_range = 0.25
    return made


def network(family: str, seed: int = 0) -> PreTrainedModel:
    """A fresh random model of a family, float32."""
    torch.manual_seed(seed)
    lm = AutoModelForCausalLM.from_config(config(family)).float().eval()
    with torch.no_grad():
        for name, values in lm.named_parameters():
            # Biases, norms, sinks and positions are initialised to constants, behind which a mistake could hide.
            if values.ndim == 1:
                values.add_(torch.randn_like(values) * 0.1)
            elif "experts" in name or "embed_positions" in name or "wpe" in name:
                values.copy_(torch.randn_like(values) * 0.25)
    lm.generation_config.eos_token_id = list(EOS)
    lm.generation_config.pad_token_id = 0
    return lm


def words(size: int = VOCABULARY, template: str | None = None) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: `<pad> <eos> <bos> <unk>`, then w4, w5, ..."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"w{number}" for number in range(4, size))]
    inner = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer


def build(family: str, seed: int = 0) -> Model:
    """A fresh model with two adapters: `one` (rank 1, last projections of two layers) and `all` (rank 32)."""
    from peft import LoraConfig, get_peft_model

    lm = network(family, seed)
    one = LoraConfig(
        r=1, lora_alpha=2, use_rslora=True, target_modules=rf".*\.[12]\..*{DOWN.get(family, 'down_proj')}", bias="none"
    )
    if family == "gemma3-vision":
        one.target_modules = r".*language_model.*\.[12]\..*down_proj"
    every = LoraConfig(r=32, lora_alpha=64, use_rslora=True, target_modules="all-linear", bias="none", lora_dropout=0.1)
    peft = get_peft_model(lm, one, adapter_name="one")
    peft.add_adapter("all", every)
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for name, values in lm.named_parameters():
            if "lora_" in name:
                values.copy_(torch.randn_like(values) * (0.3 if ".one." in name else 0.02))
    model = wrap(lm, words(), family)
    model.peft = peft
    return model


@cache
def shared(family: str) -> Model:
    """One model of a family for all tests that leave it as it was."""
    return build(family)


def prompt(seed: int, length: int) -> tuple[int, ...]:
    """Random token ids without special tokens."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(4, VOCABULARY, (length,), generator=generator).tolist())


def vector(seed: int, *shape: int) -> torch.Tensor:
    """A random direction, standard normal, shape (width,) unless told."""
    return torch.randn(shape or (WIDTH,), generator=torch.Generator().manual_seed(seed))
