"""Adapters that rows of a batch cannot switch off and on, merged into a model of their own beside the base.

DoRA scales the whole weight, IA3 and LoHa add something else than B A x, a trained head or a bias lies in the base
itself, and an adapter of fused experts changes a parameter that all rows share. PEFT can put them into the weights:
then base and tuned model are two models in memory, and each row is asked of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from misdirection.models.adapter_files import CONFIG, WEIGHTS, folder_of, read_adapter
from misdirection.models.adapter_kinds import kind_of, of_single_experts, said, way_out
from misdirection.models.asking import ask_as_trained, check_beside
from misdirection.models.errors import AdapterMismatchError, ModelError
from misdirection.models.in_effect import check_tensors, demand_in_effect, mismatch, say_without_effect
from misdirection.models.loading import load_model
from misdirection.models.quantised import demand_plain_weights
from misdirection.models.resident import Model
from misdirection.models.weight_files import read_settings

if TYPE_CHECKING:
    from peft import PeftModel

_NAME = "merged_adapter"
_LOST = 0.25
"""Share of an adapter's effect that merging may change by rounding before the merged model counts as another."""


def needs_merging(path: str | Path) -> bool:
    """Whether an adapter's own files say that it acts only once it is merged; nothing is loaded but their heads.

    Args:
        path: Its folder, or hub id. What cannot be read is left to be refused where it is loaded.
    """
    try:
        file = _settings_file(path)
        settings = read_settings(file)
        kind, more, start = kind_of(settings)
        if way_out([kind, *more], start, settings, tied=False):
            return False
        return bool(settings.get("peft_type")) and (kind != "LORA" or bool(more) or _of_single_experts(file.parent))
    except (ModelError, OSError, ValueError):
        return False


def load_merged(base: str | Path, adapter: str | Path, **options: Any) -> Model:
    """A base model with an adapter of any kind that PEFT can merge in its weights.

    Args:
        base: As `load_model` takes it.
        adapter: Folder or hub id of the adapter.
        options: As `load_model` takes them: dtype, device, chat_template ...

    Returns:
        A whole model. It holds no adapter, and is asked as the adapter's files say.

    Raises:
        AdapterMismatchError: The adapter was made for another base, or would be in effect in part only.
        ModelError: It cannot be merged into this base; merging changes what it does; the base is quantised.
    """
    found = read_adapter(_NAME, adapter)
    model = load_model(base, **options)
    demand_plain_weights(model.lm, f"{model.name} as the base of {adapter}", "give the base that it was quantised from")
    tied = bool(getattr(model.lm.config, "tie_word_embeddings", False))
    kind, more, start = kind_of(vars(found.config))
    if hint := way_out([kind, *more], start, vars(found.config), tied=tied):
        raise ModelError(f"{adapter} is {said(kind, more)}", hint)
    check_tensors(_NAME, found.weights, found.tensors)
    beside = check_beside(model, adapter, f"adapter {adapter}")
    kept = _merge(model, str(adapter), found.weights.parent, found.tensors)
    name = model.name
    model.name = model.facts["model"] = f"{name} with {adapter}"
    model.facts["merged"] = {"adapter": str(adapter), "kind": said(kind, more), "effect": kept}
    if not kept:
        say_without_effect(model, str(adapter), f"merging it leaves every output of {name} as it was")
    model.warn(
        f"{adapter} is {said(kind, more)}, which rows of a batch cannot switch: it was merged into a second "
        f"{name} in memory" + (f", which keeps {kept:.0%} of its effect in {model.dtype}" if 0 < kept < 0.995 else "")
    )
    ask_as_trained(model, beside, f"adapter {adapter}")
    return model


def _settings_file(path: str | Path) -> Path:
    folder = folder_of(path)
    if folder.is_dir():
        return folder / CONFIG
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(path), CONFIG))
    except Exception as error:  # the hub's errors are many; loading tells what is wrong
        raise ModelError(f"{path} holds no {CONFIG}") from error


def _of_single_experts(folder: Path) -> bool:
    """Whether a file of transformers 4 adapts experts one by one: PEFT makes fused parameters of them."""
    from safetensors import SafetensorError, safe_open

    if not (file := folder / WEIGHTS).is_file():
        return False
    try:
        with safe_open(file, framework="pt") as stream:
            return of_single_experts(stream.keys())
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged: {error}", "copy it again from where it was trained") from error


def _merge(model: Model, adapter: str, folder: Path, tensors: Mapping[str, Tensor]) -> float:
    """Put an adapter into the weights; gives the share of its effect that is left, 0 where it has none."""
    from peft import PeftModel

    bare = _logits(model.lm, model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
            peft: PeftModel = PeftModel.from_pretrained(model.lm, str(folder), adapter_name=_NAME).eval()
        demand_in_effect(model, peft, _NAME, adapter, tensors, any_kind=True)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise AdapterMismatchError(
            f"adapter {adapter} does not fit {model.name}: {mismatch(error)}", "give the base that it was trained on"
        ) from error
    wanted = _logits(peft, model)
    merged: Any = peft
    try:
        model.lm = merged.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"adapter {adapter} cannot be merged into {model.name}: {mismatch(error)}",
            "train a plain LoRA adapter, or the whole model",
        ) from error
    model.lm.eval().requires_grad_(False)
    effect, moved = float((wanted - bare).norm()), float((_logits(model.lm, model) - wanted).norm())
    noise = 4 * torch.finfo(model.dtype).eps * float(wanted.norm())
    if moved > max(_LOST * effect, noise):
        raise ModelError(
            f"{adapter}: merged into {model.name} it does something else than beside it (logits {moved:.2g} apart, its "
            f"whole effect is {effect:.2g})",
            "load the base in float32 (--dtype float32), or merge it where it was trained",
        )
    return 0.0 if not effect else max(1 - moved / effect, 0.01)


def _logits(lm: Any, model: Model) -> Tensor:
    """Logits of a short text of arbitrary tokens; shape (tokens, vocabulary)."""
    embeddings: Any = model.lm.get_input_embeddings()
    size = int(embeddings.weight.shape[0])
    ids = torch.randint(size, (1, 24), generator=torch.Generator().manual_seed(0)).to(model.lm.device)
    with torch.inference_mode():
        return lm(ids).logits[0].double().cpu()
