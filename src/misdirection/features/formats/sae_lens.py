"""SAELens: cfg.json and sae_weights.safetensors, as SAELens 6 reads them, of its versions 2 to 6.

Architectures: standard, jumprelu, topk, gated; and batchtopk and matryoshka_batchtopk as their training checkpoints,
which become a JumpReLU of one threshold, as when SAELens saves them for inference. Before version 6 a TopK could be of
the architecture "standard" with `activation_fn_str: topk` and its k in `activation_fn_kwargs`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.artefacts import read_json
from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.hooks import layer_of_hook, layer_of_path
from misdirection.features.formats.sae_lens_settings import FOLLOWED, HARMLESS, HOOKS
from misdirection.features.formats.settings import (
    choice,
    flag,
    is_one,
    must_be_off,
    one_k,
    only,
    refuse_unknown,
    shapes,
)
from misdirection.features.formats.tensors import pick, read_safetensors

FILE = "sae_weights.safetensors"
BATCH = ("batchtopk", "matryoshka_batchtopk")
KINDS = ("standard", "jumprelu", "topk", "gated", *BATCH)
SHARED = ("W_enc", "W_dec", "b_dec", "scaling_factor")
TENSORS: Mapping[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold", "log_threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
} | dict.fromkeys(BATCH, ("b_enc", "topk_threshold"))


def matches(folder: Path) -> bool:
    """Whether the folder holds both files."""
    return (folder / FILE).is_file() and (folder / "cfg.json").is_file()


def read(folder: Path) -> Dictionary:
    """The dictionary; whether the decoder's bias is subtracted stands in the settings.

    Raises:
        DictionaryError: A setting, a value or a tensor that is not followed here; a missing tensor; another hook than
            the residual stream after a layer.
    """
    held, path = read_json(folder / "cfg.json"), folder / FILE
    told: dict[str, Any] = {**held, **(held.get("metadata") or {})}
    refuse_unknown(told, FOLLOWED | HARMLESS, folder)
    layer, hook = _place(told, folder)
    kind = _kind(told, folder)
    tensors = read_safetensors(path)
    if "scaling_factor" in tensors and not is_one(tensors["scaling_factor"]):
        raise DictionaryError(f"{path} holds a finetuning_scaling_factor", "SAELens 6 does not read such files either")
    only(tensors, (*SHARED, *TENSORS[kind]), path)
    rule = _rule(kind, told, tensors, path)
    shapes(told, ("d_in", "d_sae"), rule["encoder"], folder)
    facts = {"format": "sae_lens", "model": told.get("model_name"), "hook": hook}
    return Dictionary(**rule, subtracts=flag(told, "apply_b_dec_to_input", folder, True), layer=layer, facts=facts)


def _place(told: Mapping[str, Any], folder: Path) -> tuple[int | None, str | None]:
    """The layer after whose block it reads, and its hook's name."""
    hook = next((str(told[name]) for name in HOOKS if told.get(name)), None)
    for name in ("hook_head_index", "hook_point_head_index"):
        if told.get(name) is not None:
            raise DictionaryError(f"{folder} reads one attention head: '{name}' is {told[name]}", "see its hook")
    if told.get("hook_name_out") not in (None, hook):
        raise DictionaryError(f"{folder} is a transcoder, from '{hook}' to '{told['hook_name_out']}'", "see its hook")
    choice(told, "reshape_activations", {"none": None}, folder, "none")
    layer = layer_of_path(folder) if hook is None else layer_of_hook(hook, folder)
    if (told.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights"):
        warnings.warn(
            f"{folder} was trained on a stream that TransformerLens had centred (center_writing_weights): in a model "
            "with LayerNorm its activations on the plain stream differ by what the stream's mean adds",
            stacklevel=2,
        )
    return layer, hook


def _kind(told: Mapping[str, Any], folder: Path) -> str:
    """The architecture, after the activation's name has had its say."""
    kind = choice(told, "architecture", {name: name for name in KINDS}, folder, "standard")
    normalised = told.get("normalize_activations")
    if normalised not in (None, False, "none", "None"):
        raise DictionaryError(
            f"{folder} normalises activations: 'normalize_activations' is {normalised!r}",
            "the scale stands nowhere in the files; fold it into the weights with SAELens first",
        )
    names = [name for name in ("activation_fn", "activation_fn_str") if told.get(name) is not None]
    functions = {choice(told, name, {"relu": "relu", "topk": "topk"}, folder) for name in names}
    if "topk" in functions and kind == "standard":
        kind = "topk"
    if "topk" in functions and kind != "topk":
        raise DictionaryError(f"{folder}: the architecture '{kind}' has the activation 'topk'", "one of them is wrong")
    if kind not in ("topk", *BATCH):
        must_be_off(told, ("rescale_acts_by_decoder_norm",), folder)
    return kind


def _rule(kind: str, told: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Weights and activation, by the names of Dictionary."""
    encoder, decoder, decoder_bias = pick(tensors, path, "W_enc", "W_dec", "b_dec")
    if kind == "gated":
        gate, magnitude, log_scale = pick(tensors, path, "b_gate", "b_mag", "r_mag")
        return gated(encoder, gate, magnitude, log_scale, decoder, decoder_bias)
    (encoder_bias,) = pick(tensors, path, "b_enc")
    if flag(told, "rescale_acts_by_decoder_norm", path.parent, kind in BATCH):
        # Activations are multiplied by the decoder's norms before the choice and divided by them after.
        norms = decoder.norm(dim=-1).clamp(min=1e-8)
        encoder, encoder_bias, decoder = encoder * norms, encoder_bias * norms, decoder / norms[:, None]
    rule: dict[str, Any] = {
        "encoder": encoder, "decoder": decoder, "encoder_bias": encoder_bias, "decoder_bias": decoder_bias
    }  # fmt: skip
    if kind == "topk":
        inner: dict[str, Any] = told.get("activation_fn_kwargs") or {}
        refuse_unknown(inner, ("k",), f"{path.parent}, activation_fn_kwargs")
        places = {"k": told.get("k"), "activation_fn_kwargs.k": inner.get("k")}
        return rule | {"activation": "topk", "k": one_k(places, path.parent)}
    if kind == "standard":
        return rule | {"activation": "relu"}
    return rule | {"activation": "jumprelu", "threshold": _threshold(kind, tensors, path, encoder_bias)}


def _threshold(kind: str, tensors: Mapping[str, Tensor], path: Path, like: Tensor) -> Tensor:
    if kind in BATCH:
        (level,) = pick(tensors, path, "topk_threshold")
        return torch.full_like(like, float(level))
    if "log_threshold" in tensors:
        return tensors["log_threshold"].float().exp()
    return pick(tensors, path, "threshold")[0]


def gated(
    encoder: Tensor, gate_bias: Tensor, magnitude_bias: Tensor, log_scale: Tensor, decoder: Tensor, decoder_bias: Tensor
) -> dict[str, Any]:
    """A gated dictionary (2404.16014) as the JumpReLU that it is.

    With p = x W, a latent is relu(e^r p + b_mag) where p + b_gate > 0; that is where its magnitude before the relu is
    above b_mag - e^r b_gate.
    """
    scale = log_scale.exp()
    return {
        "encoder": encoder * scale,
        "decoder": decoder,
        "encoder_bias": magnitude_bias,
        "decoder_bias": decoder_bias,
        "activation": "jumprelu",
        "threshold": magnitude_bias - scale * gate_bias,
    }
