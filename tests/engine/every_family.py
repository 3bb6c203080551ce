"""A tiny model of every family of decoders that transformers makes from a configuration this small."""

from __future__ import annotations

from typing import Any

import torch
from tests.families import COMMON, EOS, LAYERS, VOCABULARY, WIDTH
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

_NO_HEADS: dict[str, Any] = {"num_key_value_heads": None, "head_dim": None}
_PLAIN_HEADS: dict[str, Any] = {"head_dim": None}
_GPT: dict[str, Any] = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": 128, **_NO_HEADS}
_SLIDING: dict[str, Any] = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"] * 2}
_LINEAR = ["linear_attention", "full_attention"] * 2
_DELTA: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": _LINEAR,
}
_SSM: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SHARED_EXPERT: dict[str, Any] = {**_EXPERTS, "shared_expert_intermediate_size": 16}
_ROUTED: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
}
_LATENT: dict[str, Any] = {
    **_ROUTED,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 4,
    "head_dim": None,
}
_GEMMA_3N: dict[str, Any] = {
    **_SLIDING,
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
}

TABLE: dict[str, dict[str, Any]] = {
    "apertus": {},
    "arcee": {},
    "bamba": {**_SSM, "attn_layer_indices": [1, 3], "head_dim": None},
    "biogpt": _NO_HEADS,
    "bitnet": _PLAIN_HEADS,
    "bloom": {"n_layer": LAYERS, "n_head": 4, **_NO_HEADS},
    "codegen": {**_GPT, "rotary_dim": 4},
    "cohere": {},
    "cohere2": _SLIDING,
    "cwm": _SLIDING,
    "deepseek_v2": {**_LATENT, "topk_method": "greedy"},
    "deepseek_v3": _LATENT,
    "diffllama": _PLAIN_HEADS,
    "doge": {},
    "dots1": _ROUTED,
    "ernie4_5": {},
    "exaone4": _SLIDING,
    "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True, "head_dim": None},
    "falcon_h1": {**_SSM, "mamba_d_ssm": 64},
    "falcon_mamba": {**_NO_HEADS, "state_size": 4},
    "flex_olmo": {**_EXPERTS, "head_dim": None},
    "gemma": {},
    "gemma2": {**_SLIDING, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_SLIDING, "query_pre_attn_scalar": 8},
    "gemma3n_text": {**_GEMMA_3N, "altup_num_inputs": 3, "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 4},
    "gemma4_text": {**_GEMMA_3N, "global_head_dim": 16, "num_global_key_value_heads": 1},
    "glm": {},
    "glm4": {},
    "glm4_moe": _ROUTED,
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gpt_neox": {**_NO_HEADS, "rotary_pct": 0.5},
    "gpt_neox_japanese": _NO_HEADS,
    "gpt_oss": {**_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gptj": {**_GPT, "rotary_dim": 4},
    "granite": _PLAIN_HEADS,
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": None},
    "granitemoehybrid": {
        **_SSM,
        "layer_types": ["mamba", "attention"] * 2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 16,
        "head_dim": None,
    },
    "granitemoeshared": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 16,
        "head_dim": None,
    },
    "helium": {},
    "hunyuan_v1_dense": {},
    "hunyuan_v1_moe": {"num_experts": 4, "moe_topk": 2},
    "internlm3": {},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 4,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "head_dim": None,
        "use_mamba_kernels": False,
    },
    "kimi_linear": {
        **{name: value for name, value in _LATENT.items() if name != "n_routed_experts"},
        "q_lora_rank": None,
        "num_local_experts": 4,
        "linear_head_dim": 8,
        "linear_num_heads": 4,
        "layer_types": _LINEAR,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "head_dim": None, "block_ff_dim": 48},
    "lfm2_moe": {
        "layer_types": ["conv", "full_attention"] * 2,
        "head_dim": None,
        **_EXPERTS,
        "num_dense_layers": 1,
    },
    "llama": {},
    "llama4_text": {
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "intermediate_size_mlp": 48,
        "attention_chunk_size": 6,
        "moe_layers": [1, 3],
    },
    "mamba": {**_NO_HEADS, "state_size": 4, "expand": 2},
    "mamba2": {"num_key_value_heads": None, "num_heads": 8, "expand": 2, "state_size": 8, "n_groups": 1},
    "minimax": {"layer_types": _LINEAR, "num_local_experts": 4, "num_experts_per_tok": 2},
    "minimax_m2": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "ministral": _SLIDING,
    "mistral": {"sliding_window": 6},
    "mixtral": {"num_local_experts": 4},
    "mpt": {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 4, "max_seq_len": 128, **_NO_HEADS},
    "nanochat": {},
    "nemotron": {},
    "nemotron_h": {
        "hybrid_override_pattern": "M*M*",
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "ssm_state_size": 8,
        "n_groups": 1,
    },
    "olmo": _PLAIN_HEADS,
    "olmo2": {},
    "olmo3": _SLIDING,
    "olmo_hybrid": {**_DELTA, "head_dim": None},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2, "head_dim": None},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": WIDTH, **_NO_HEADS},
    "persimmon": _PLAIN_HEADS,
    "phi": _PLAIN_HEADS,
    "phi3": _PLAIN_HEADS,
    "phimoe": {"num_local_experts": 4, "head_dim": None},
    "qwen2": {},
    "qwen2_moe": {**_SHARED_EXPERT, "decoder_sparse_step": 1, "head_dim": None},
    "qwen3": {},
    "qwen3_5_text": _DELTA,
    "qwen3_5_moe_text": {**_DELTA, **_SHARED_EXPERT},
    "qwen3_moe": {**_EXPERTS, "decoder_sparse_step": 1},
    "qwen3_next": {**_DELTA, **_SHARED_EXPERT},
    "recurrent_gemma": {"lru_width": WIDTH, "attention_window_size": 64, "block_types": ["recurrent", "attention"]},
    "rwkv": {**_NO_HEADS, "attention_hidden_size": WIDTH},
    "seed_oss": {},
    "smollm3": {},
    "stablelm": _PLAIN_HEADS,
    "starcoder2": _PLAIN_HEADS,
    "vaultgemma": _SLIDING,
    "xglm": {"d_model": WIDTH, "ffn_dim": 48, "num_layers": LAYERS, "attention_heads": 4, **_NO_HEADS},
    "xlstm": {**_NO_HEADS, "num_heads": 4, "hidden_size": 64, "qk_dim_factor": 1.0},
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "mamba_d_state": 8,
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
        "mamba_ngroups": 1,
        "num_mem_blocks": 1,
        "adapter_rank": 4,
        "head_dim": None,
    },
}
"""Model type to what its configuration needs beyond the common."""


def tiny(kind: str, seed: int = 0) -> PreTrainedModel:
    """A random model of a family, float32, with no weight left at the constant that it starts from."""
    torch.manual_seed(seed)
    settings = {name: value for name, value in {**COMMON, **TABLE[kind]}.items() if value is not None}
    lm = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**settings)).float().eval()
    with torch.no_grad():
        for name, values in lm.named_parameters():
            if values.ndim == 1:
                values.add_(torch.randn_like(values) * 0.1)
            elif values.std() < 0.15 and "norm" not in name:
                values.copy_(torch.randn_like(values) * 0.2)
    lm.generation_config.eos_token_id = list(EOS)
    lm.generation_config.pad_token_id = 0
    return lm
