"""What the settings of OpenMOSS's Language-Model-SAEs mean, shared by Llama Scope and its successor.

    f = act((s x - b_dec if subtracts else s x) W_enc + b_enc)

with s = sqrt(width) / mean norm of the activations ("dataset-wise"). Where the decoder's norms count in the sparsity,
what is compared (with the threshold, or among the k largest) is f times the norm of its decoder vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.formats.hooks import layer_of_hook, layer_of_path
from misdirection.features.formats.settings import choice, flag, must_be_off, one_k, only, refuse_unknown, shapes, words
from misdirection.features.formats.tensors import of_width, pick

NORM = "dataset_average_activation_norm"
OFF = ("use_glu_encoder", "skip_bn", "use_skip_connection")
FOLLOWED = (
    "act_fn", "top_k", "jump_relu_threshold", "norm_activation", NORM, "use_decoder_bias", "hook_point_in",
    "hook_point_out", "apply_decoder_bias_to_pre_encoder", "sparsity_include_decoder_norm", "d_model", "d_sae",
    "sae_type", *OFF,
)  # fmt: skip
HARMLESS = words(
    """
    expansion_factor dtype device seed use_ghost_grads lp l1_coefficient l1_coefficient_warmup_steps k_warmup_steps
    bias_init_method init_decoder_norm init_encoder_norm init_encoder_with_decoder_transpose use_batch_norm_mse
    tp_size decoder_exactly_unit_norm decoder_bias_init_method remove_gradient_parallel_to_decoder_directions
    force_unit_norm force_unit_decoder_norm sae_pretrained_name_or_path strict_loading jumprelu_threshold_window
    promote_act_fn_dtype use_triton_kernel sparsity_threshold_for_triton_spmm_kernel fixed_norm_value lr betas
    total_training_tokens lr_scheduler_name lr_warm_up_steps lr_cool_down_steps exp_name exp_series exp_result_path
    initial_k jump_relu_threshold_window sae_lens_version model_name
    """
)


def built(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path, folder: Path) -> Dictionary:
    """The dictionary of settings and weights.

    Raises:
        DictionaryError: A setting, its value, or a tensor that is not followed here; a tensor that is missing; another
            hook than the residual stream after a layer.
    """
    refuse_unknown(settings, (*FOLLOWED, *HARMLESS), folder)
    must_be_off(settings, OFF, folder)
    choice(settings, "sae_type", {"sae": None}, folder, "sae")
    hook, out = settings.get("hook_point_in"), settings.get("hook_point_out")
    if out not in (None, hook):
        raise DictionaryError(f"{folder} is a transcoder, from '{hook}' to '{out}'", "transcoders are not read")
    layer = layer_of_hook(str(hook), folder) if hook else layer_of_path(folder)
    norms = [name for name in tensors if name.startswith(f"{NORM}.")]
    known = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias", "log_jumprelu_threshold")
    only(tensors, (*known, *norms), path)
    weight, stored, encoder_bias = pick(tensors, path, "encoder.weight", "decoder.weight", "encoder.bias")
    shapes(settings, ("d_model", "d_sae"), weight.T, folder)
    has_bias = flag(settings, "use_decoder_bias", folder, True)
    decoder_bias = pick(tensors, path, "decoder.bias")[0] if has_bias else torch.zeros(weight.shape[1])
    scale = _scale(settings, {name: float(tensors[name]) for name in norms}, weight.shape[1], folder)
    rule: dict[str, Any] = {
        "encoder": weight.T.contiguous(), "decoder": of_width(stored, weight.shape[1]).contiguous(),
        "encoder_bias": encoder_bias, "decoder_bias": decoder_bias,
    }  # fmt: skip
    return Dictionary(
        **_activation(settings, tensors, rule, scale, folder),
        subtracts=has_bias and flag(settings, "apply_decoder_bias_to_pre_encoder", folder),
        input_scale=scale,
        layer=layer,
        facts={"hook": hook},
    )


def _activation(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor], rule: dict[str, Any], scale: float, folder: Path
) -> dict[str, Any]:
    """The rule with its activation; norms that count are divided out of thresholds, or folded in before k are taken."""
    counts = flag(settings, "sparsity_include_decoder_norm", folder)
    norms = rule["decoder"].norm(dim=-1).clamp(min=1e-8) if counts else torch.ones(())
    kind = choice(settings, "act_fn", {"jumprelu": "jumprelu", "relu": "relu", "topk": "topk"}, folder, "jumprelu")
    if kind == "relu":
        return rule | {"activation": "relu"}
    if kind == "topk":
        folded = {
            "encoder": rule["encoder"] * norms,
            "encoder_bias": rule["encoder_bias"] * norms,
            "decoder": rule["decoder"] / norms.reshape(-1, 1),
        }
        return rule | folded | {"activation": "topk", "k": one_k({"top_k": settings.get("top_k")}, folder)}
    if "log_jumprelu_threshold" in tensors:
        threshold = tensors["log_jumprelu_threshold"].float().exp()
    elif settings.get("jump_relu_threshold") is not None:
        # One number, told in units of the raw stream.
        threshold = torch.tensor(scale * float(settings["jump_relu_threshold"]))
    else:
        raise DictionaryError(f"{folder} is a JumpReLU and tells no threshold", "it is 'jump_relu_threshold'")
    return rule | {"activation": "jumprelu", "threshold": (threshold / norms).expand(len(rule["decoder"])).contiguous()}


def _scale(settings: Mapping[str, Any], norms: Mapping[str, float], width: int, folder: Path) -> float:
    """sqrt(width) over the mean norm of the activations that it was trained on; 1 where it normalises nothing."""
    told: Any = settings.get(NORM)
    held: dict[str, Any] = dict(told) if isinstance(told, dict) else {} if told is None else {"in": told}  # pyright: ignore[reportUnknownVariableType]
    held |= {name.removeprefix(f"{NORM}."): norm for name, norm in norms.items()}
    wise = {"dataset-wise": True, "none": False, "inference": False}
    if not choice(settings, "norm_activation", wise, folder, "dataset-wise" if held else "none"):
        return 1.0
    places = ("in", "out", str(settings.get("hook_point_in")), str(settings.get("hook_point_out")))
    found = {float(held[name]) for name in places if held.get(name)}
    if len(found) != 1:
        raise DictionaryError(
            f"{folder} scales activations by their mean norm, which is {sorted(found) or 'not told'}",
            f"'{NORM}' holds one norm for the hook",
        )
    return width**0.5 / found.pop()
