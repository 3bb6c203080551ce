"""dictionary_learning (Marks et al.): config.json with `trainer.dict_class`, and ae.pt.

The layout of the sets that emergent-misalignment work uses: andyrdt's for Qwen2.5-7B-Instruct, Llama-3.1-8B-Instruct
and GPT-OSS-20B. BatchTopK, nested or not, is a JumpReLU with one threshold after training; AutoEncoderTopK keeps k a
token and its stored threshold is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.hooks import layer_of_hook, layer_of_path
from misdirection.features.formats.sae_lens import gated
from misdirection.features.formats.settings import choice, one_k, only, refuse_unknown, shapes, words
from misdirection.features.formats.tensors import of_width, pick, read_torch

BATCH = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
KINDS = (*BATCH, "AutoEncoderTopK", "AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder")
FOLLOWED = ("dict_class", "layer", "submodule_name", "lm_name", "k", "activation_dim", "dict_size")
HARMLESS = words(
    """
    trainer_class trainer_name lr steps seed device wandb_name warmup_steps decay_start auxk_alpha top_k_aux bandwidth
    threshold_beta threshold_start_step group_fractions group_weights group_sizes num_groups sparsity_penalty
    l1_penalty sparsity_warmup_steps sparsity_function target_l0 initial_sparsity_penalty p_start p_end anneal_start
    anneal_end sparsity_queue_length n_sparsity_updates resample_steps aux_loss_weight k_anneal_steps
    dead_feature_threshold log_steps use_wandb
    """
)
TENSORS = words(
    """
    encoder.weight encoder.bias decoder.weight decoder.bias b_dec bias decoder_bias W_enc W_dec b_enc threshold k
    group_sizes r_mag gate_bias mag_bias
    """
)


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / "ae.pt").is_file() and (folder / "config.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary.

    Raises:
        DictionaryError: A tensor is missing or not known; a class or a setting that is not; another hook than the
            residual stream after a layer.
    """
    held = read_json(folder / "config.json")
    settings: dict[str, Any] = held.get("trainer") or {}
    refuse_unknown(settings, (*FOLLOWED, *HARMLESS), folder)
    kind = choice(settings, "dict_class", {name: name for name in KINDS}, folder)
    layer = _place(settings, held.get("buffer") or {}, folder)
    path = folder / "ae.pt"
    tensors = read_torch(path)
    only(tensors, TENSORS, path)
    rule = _rule(kind, settings, tensors, path)
    shapes(settings, ("activation_dim", "dict_size"), rule["encoder"], folder)
    facts = {"format": "dictionary_learning", "class": kind, "model": settings.get("lm_name")}
    return Dictionary(**rule, layer=layer, facts=facts)


def _place(settings: Mapping[str, Any], buffer: Mapping[str, Any], folder: Path) -> int | None:
    """The layer after whose block it reads: of the submodule's name, else of the number, else of the folder."""
    choice(buffer, "io", {"out": None}, folder, "out")
    number = settings.get("layer")
    name = settings.get("submodule_name")
    if name in ("resid_post", "resid_pre") and number is not None:
        name = f"{name}_{number}"
    if name:
        layer = layer_of_hook(str(name), folder)
        if number is not None and str(number).isdigit() and int(number) != layer and "resid_pre" not in str(name):
            raise DictionaryError(f"{folder} reads '{name}' and layer {number}", "one of them is wrong")
        return layer
    told = layer_of_path(folder)
    return int(number) if number is not None and str(number).isdigit() else told


def _rule(kind: str, settings: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Weights and activation, by the names of Dictionary."""
    if "W_enc" in tensors:
        encoder, decoder, encoder_bias = pick(tensors, path, "W_enc", "W_dec", "b_enc")
    else:
        weight, stored = pick(tensors, path, "encoder.weight", "decoder.weight")
        encoder, decoder = weight.T.contiguous(), of_width(stored, weight.shape[1]).contiguous()
        encoder_bias = pick(tensors, path, "encoder.bias")[0] if kind != "GatedAutoEncoder" else torch.zeros(0)
    (bias,) = pick(tensors, path, ("b_dec", "bias", "decoder_bias", "decoder.bias"))
    if kind == "GatedAutoEncoder":
        gate, magnitude, scale = pick(tensors, path, "gate_bias", "mag_bias", "r_mag")
        return gated(encoder, gate, magnitude, scale, decoder, bias) | {"subtracts": True}
    rule: dict[str, Any] = {
        "encoder": encoder, "decoder": decoder, "encoder_bias": encoder_bias, "decoder_bias": bias,
        "subtracts": kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
    }  # fmt: skip
    if kind == "AutoEncoderTopK":
        places = {"trainer.k": settings.get("k"), "k of ae.pt": float(tensors["k"]) if "k" in tensors else None}
        return rule | {"activation": "topk", "k": one_k(places, path.parent)}
    if kind in BATCH or kind == "JumpReluAutoEncoder":
        (threshold,) = pick(tensors, path, "threshold")
        level = threshold if threshold.ndim else torch.full_like(encoder_bias, float(threshold))
        return rule | {"activation": "jumprelu", "threshold": level}
    return rule | {"activation": "relu"}
