"""Whether an adapter is in effect once PEFT has loaded it.

PEFT passes over what it cannot place: a file without tensors, keys with a foreign prefix, half of the modules leave
the base as it was, with a warning at most. The comparison is made after PEFT's own renaming, so that files of older
transformers (Gemma 3) and layers that keep their weights the other way round (GPT-2) count as what they are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection.models.adapter_kinds import merge_hint, of_single_experts
from misdirection.models.errors import AdapterMismatchError, ModelError
from misdirection.models.resident import Model, lora_modules

_ZERO3 = (
    "DeepSpeed's ZeRO-3 leaves such files where the weights are not gathered before saving: train again with "
    "stage3_gather_16bit_weights_on_model_save, or build the weights from its checkpoint with zero_to_fp32.py"
)
_NAMED = re.compile(r"\.lora_[AB]\.(?!weight$)([^.]+)\.weight$")
_WRAPPERS = {"_orig_mod.": "torch.compile", "_fsdp_wrapped_module.": "FSDP", "module.": "DistributedDataParallel"}


def check_tensors(adapter: str, file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a file whose tensors cannot be anybody's adapter: none, empty ones, or numbers that are none.

    Raises:
        ModelError: It is one.
    """
    if not tensors:
        raise ModelError(f"adapter '{adapter}': {file} holds no tensor", _ZERO3)
    for key, values in tensors.items():
        if not values.numel():
            raise ModelError(f"adapter '{adapter}': {file} holds an empty tensor, {key}", _ZERO3)
        if not bool(torch.isfinite(values.float()).all()):
            raise ModelError(
                f"adapter '{adapter}': {file} holds numbers that are none (NaN or infinite), in {key}",
                "its training diverged; take an earlier checkpoint",
            )


def check_in_effect(model: Model, adapter: str, path: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse an adapter that PEFT has loaded in part: every tensor must have gone somewhere, and filled every place.

    Args:
        model: The resident model, PEFT's wrapper with the adapter in it.
        adapter: Its name.
        path: Where it was found.
        tensors: What its file holds.

    Raises:
        AdapterMismatchError: Some tensor went nowhere, or some A or B came from nowhere.
        ModelError: It sits where rows cannot switch it.
    """
    places = demand_in_effect(model, model.peft, adapter, path, tensors)
    _check_switchable(model, adapter, path)
    held = [key for key in tensors if ".lora_velora_" not in key]
    if len(held) != len(places):
        raise AdapterMismatchError(
            f"adapter '{adapter}' ({path}) holds {len(held)} tensors for {len(places)} matrices: some stand for one",
            "save it again with PEFT's save_pretrained",
        )


def demand_in_effect(
    model: Model, peft: Any, adapter: str, path: str, tensors: Mapping[str, Tensor], *, any_kind: bool = False
) -> list[str]:
    """Refuse an adapter of which some tensor went nowhere, or some parameter came from nowhere.

    Args:
        model: The base.
        peft: PEFT's wrapper around it, with the adapter in it.
        adapter: Its name.
        path: Where it was found.
        tensors: What its file holds.
        any_kind: Every parameter under the adapter's name counts, not the matrices of LoRA alone.

    Returns:
        The names of its parameters.

    Raises:
        AdapterMismatchError: It is so.
    """
    from peft import set_peft_model_state_dict

    def belongs(key: str) -> bool:
        return f".{adapter}." in f"{key}." if any_kind else _belongs(key, adapter)

    with warnings.catch_warnings():
        # Weights that are spread over devices are filled by the first loading; here only the names are wanted.
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter.*")
        result: Any = set_peft_model_state_dict(peft, dict(tensors), adapter_name=adapter)
    nowhere = list(result.unexpected_keys)
    places = [key for key, _ in peft.named_parameters() if belongs(key)]
    unfilled = set(result.missing_keys)
    missing = [key for key in places if key in unfilled]
    if missing or nowhere or not places:
        parts = []
        if missing:
            parts.append(f"{len(missing)} of its {len(places)} matrices got nothing from the file ({_some(missing)})")
        if nowhere:
            parts.append(f"{len(nowhere)} of the file's {len(tensors)} tensors fit nowhere ({_some(nowhere)})")
        raise AdapterMismatchError(
            f"adapter '{adapter}' ({path}) would not be wholly in effect on {model.name}: "
            + (" and ".join(parts) or "PEFT made no place for it"),
            _what_to_do(list(tensors), bool(nowhere), model),
        )
    return places


def mismatch(error: Exception) -> str:
    """What PEFT's or torch's error says of an adapter that does not fit, in one sentence."""
    found = re.findall(
        r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, "
        r"the shape in current model is torch\.Size\(\[([\d, ]*)\]\)",
        str(error),
    )
    if found:
        key, held, wanted = found[0]
        more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
        return f"it holds {key} of shape ({held}) where the model has ({wanted}){more}"
    return " ".join(str(error).split())


def say_without_effect(model: Model, adapter: str, why: str) -> None:
    """Note that an adapter changes nothing, on its rows or merged: a fact, and what a report must say.

    Args:
        model: That holds it, or that it was merged into.
        adapter: Its name, or its folder where it has none.
        why: What shows it.
    """
    model.facts.setdefault("changes_nothing", []).append(adapter)
    model.warn(f"adapter '{adapter}' changes nothing: {why}")


def changes_nothing(model: Model, adapter: str) -> bool:
    """Whether scaling * B A is 0 in every module, but for rounding: the adapter was never trained."""
    for module in lora_modules(model.lm).get(adapter, {}).values():
        held: Any = module
        if not held.scaling[adapter]:
            continue
        a, b = (part[adapter].weight.detach().flatten(1).double() for part in (held.lora_A, held.lora_B))
        if a.is_meta:
            return False
        # |B A|^2 = tr(B^T B A A^T), without the product of full size.
        grams = b.T @ b, a @ a.T
        if float((grams[0] * grams[1]).sum()) > 1e-12 * float(grams[0].trace() * grams[1].trace()):
            return False
    return True


def _belongs(key: str, adapter: str) -> bool:
    """Whether a key of the model is a matrix of this adapter: the name follows the matrix's."""
    return re.search(rf"\.lora_(?!velora)\w+\.{re.escape(adapter)}(?:\.|$)", key) is not None


def _check_switchable(model: Model, adapter: str, path: str) -> None:
    for where, module in lora_modules(model.lm).get(adapter, {}).items():
        if type(module).__name__ in ("ParamWrapper", "MultiheadAttention"):
            raise ModelError(
                f"adapter '{adapter}' ({path}) adapts parameters that are no linear layer of their own (fused experts, "
                f"{where}), so no row of a batch can do without it",
                merge_hint(model.name, path),
            )


def _what_to_do(keys: Sequence[str], nowhere: bool, model: Model) -> str:
    for prefix, maker in _WRAPPERS.items():
        if any(key.startswith(prefix) or f".{prefix}" in key.partition(".lora_")[0] + "." for key in keys):
            return f"{maker} put '{prefix}' into its keys: save the model that it wraps, or take '{prefix}' out of them"
    if of_single_experts(keys) and _fused_experts(model):
        return (
            "it adapts experts one by one, as transformers 4 kept them, and the installed PEFT cannot put it together "
            "for the fused experts of now: merge it where it was trained (transformers 4, merge_and_unload) "
            f"and give both as whole models: --model {model.name} --tuned MERGED"
        )
    named = next((found[1] for key in keys if (found := _NAMED.search(key))), None)
    if named is not None:
        return f"its keys hold the adapter's name '{named}', as state_dict() gives them: save it with save_pretrained"
    if not any(key.startswith("base_model.model.") for key in keys):
        return "its keys lack PEFT's prefix 'base_model.model.': save it with PEFT's save_pretrained"
    if nowhere and any(".language_model." in key for key in keys) and not hasattr(model.decoder, "language_model"):
        return (
            f"it was trained on the wrapper that reads images too, and {type(model.lm).__name__} is its text part: "
            "take 'language_model.' out of the keys of a copy of its file"
        )
    if not nowhere:
        return "the file was saved or fetched in part: save it again with save_pretrained, or fetch it again"
    return f"give the base that it was trained on; {model.name} seems to be another"


def _fused_experts(model: Model) -> bool:
    return any(value.ndim == 3 and ".experts." in name for name, value in model.lm.named_parameters())


def _some(keys: Sequence[str]) -> str:
    return f"{keys[0]}, ..." if len(keys) > 1 else keys[0]
