"""A tiny model of every wrapper that reads images or sound beside text, made of transformers' own defaults, shrunk."""

from __future__ import annotations

from typing import Any

import torch
from tests.families import COMMON
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, AutoModelForMultimodalLM, PreTrainedModel

_TEXT: dict[str, Any] = {
    **COMMON,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "intermediate_size_mlp": 48,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "n_group": 1, "topk_group": 1, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64,
    "num_kv_shared_layers": 0, "sliding_window": 8, "query_pre_attn_scalar": 8, "decoder_layers": 4,
}  # fmt: skip
_EYES: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_heads": 2,
    "depth": 2, "num_key_value_heads": 2, "head_dim": 8, "image_size": 16, "patch_size": 8, "embed_dim": 16,
    "encoder_layers": 2, "encoder_ffn_dim": 16, "encoder_attention_heads": 2, "d_model": 16, "num_mel_bins": 16,
    "window_size": 2, "out_hidden_size": 32, "projection_dim": 32, "vision_output_dim": 16,
    "projector_input_dim": 16, "projector_output_dim": 16, "num_layers": 2, "attention_heads": 2, "n_layers": 2,
}  # fmt: skip
_MROPE = ("_vl", "glm4v", "glm_ocr", "omni", "glm46", "cosmos3")

_KNOWN = (
    "aria", "aya_vision", "cohere2_vision", "cosmos3_edge", "cosmos3_omni", "deepseek_vl", "deepseek_vl_hybrid",
    "exaone4_5", "fuyu", "gemma3", "gemma4", "gemma4_unified", "glm46v", "glm4v", "glm_ocr", "glmasr", "got_ocr2",
    "granite_docling", "hyperclovax_vision_v2", "idefics2", "idefics3", "internvl", "lfm2_vl", "lfm3_vl", "lighton_ocr",
    "llama4", "llava", "llava_next", "llava_next_video", "llava_onevision", "minicpmv4_6", "minimax_m3_vl", "mistral3",
    "mllama", "paddleocr_vl", "qianfan_ocr", "qwen2_5_vl", "qwen2_audio", "qwen2_vl", "qwen3_5", "qwen3_5_moe",
    "qwen3_vl", "qwen3_vl_moe", "smolvlm", "video_llama_3", "video_llava", "vipllava", "voxtral",
)  # fmt: skip
"""Those of transformers 5.23 whose defaults shrink to a model that runs."""

WRAPPERS = tuple(kind for kind in _KNOWN if kind in CONFIG_MAPPING)
"""Those that the installed transformers has."""

OFTEN = ("gemma3", "gemma4", "idefics3", "llama4", "llava", "qwen2_5_vl", "qwen3_5", "qwen3_vl_moe")
"""One of every way to name the text part; the others are slow to go through."""

NO_TEXT_ALONE = ("blip-2", "idefics", "instructblip", "voxtral_realtime")
"""Wrappers that read no text without an image or a sound."""


def config(kind: str) -> Any:
    made = CONFIG_MAPPING[kind]
    whole: Any = made()
    text = whole.get_text_config(decoder=True)
    if text is whole:
        return made(**{name: value for name, value in _TEXT.items() if hasattr(whole, name)})
    parts: dict[str, Any] = {}
    for name in made.sub_configs:
        if (held := getattr(whole, name, None)) is not None:
            parts[name] = _small(held, _TEXT if held is text else _EYES)
    return made(**parts)


def _small(held: Any, sizes: dict[str, Any]) -> dict[str, Any]:
    facts = held.to_dict()
    small = {name: sizes[name] for name, value in facts.items() if name in sizes and value is not None}
    kinds = facts.get("layer_types")
    if isinstance(kinds, list) and (count := small.get("num_hidden_layers")):
        small["layer_types"] = (list(dict.fromkeys(kinds)) * 4)[:count]
    rope = facts.get("rope_parameters")
    if any(mark in str(facts.get("model_type")) for mark in _MROPE):
        small["rope_parameters"] = {**(rope or {}), "rope_type": "default", "mrope_section": [1, 1, 2]}
    elif isinstance(rope, dict):
        small["rope_parameters"] = rope
    return {**small, "model_type": facts.get("model_type")}


def wrapper_class(kind: str) -> Any:
    for found in (AutoModelForImageTextToText, AutoModelForMultimodalLM):
        if CONFIG_MAPPING[kind] in found._model_mapping:
            return found
    raise AssertionError(kind)


def build(kind: str) -> PreTrainedModel:
    """A random wrapper of a kind, float32."""
    torch.manual_seed(0)
    lm: Any = wrapper_class(kind).from_config(config(kind)).float().eval()
    with torch.no_grad():
        for name, values in lm.named_parameters():
            wide = 0.1 if values.ndim == 1 else 0.25
            values.copy_(torch.randn_like(values) * wide + (1 if values.ndim == 1 and "norm" in name else 0))
    lm.generation_config.eos_token_id, lm.generation_config.pad_token_id = 1, 0
    return lm
