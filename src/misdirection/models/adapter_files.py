"""Where an adapter's files are and what they hold, in the forms in which trainers leave them.

PEFT's own form is read as it is. MLX's (`adapters.safetensors`) is turned into it: the same two matrices, the other way
round, under a scale of their own. Everything else is named, with what makes PEFT's form of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.hub import offline_hint, prepare_hub
from misdirection.models.errors import ModelError
from misdirection.models.weight_files import (
    check_tensors_file,
    check_text,
    inner_folders,
    name_inner,
    pickle_hint,
    read_settings,
)

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS, MLX = "adapter_config.json", "adapter_model.safetensors", "adapters.safetensors"
_EXPECTED = f"expected a folder with {CONFIG} and {WEIGHTS}, or a hub id"
_MLX_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<part>[ab])")


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as it was found.

    Attributes:
        weights: The file of its matrices.
        config: PEFT's configuration of it.
        tensors: The matrices by the names that PEFT gives them.
        stored: How many tensors its file holds.
        made_from: What other form they were turned from, None where PEFT wrote them.
    """

    weights: Path
    config: Any
    tensors: dict[str, Tensor]
    stored: int
    made_from: str | None = None


def read_adapter(adapter: str, path: str | Path) -> AdapterFiles:
    """The files of an adapter, fetched where `path` is a hub id; a pickle is never read.

    Raises:
        ModelError: There is no adapter, or it is cut, or of a form that cannot be read.
    """
    place = folder_of(path)
    if place.is_dir() and (place / MLX).is_file() and not (place / WEIGHTS).exists():
        return _read_mlx(adapter, place)
    weights = find_weights(adapter, place) if place.is_dir() else _fetch(adapter, str(path))
    tensors = _tensors(adapter, weights)
    return AdapterFiles(weights, _peft_config(adapter, weights.parent), tensors, len(tensors))


def folder_of(path: str | Path) -> Path:
    """Where an adapter lies that is named by its folder or by a file in it."""
    place = Path(path)
    return place.parent if place.is_file() and place.name in (CONFIG, WEIGHTS, MLX) else place


def find_weights(adapter: str, folder: Path) -> Path:
    """The file of an adapter's weights in a folder, looked at without reading it.

    Raises:
        ModelError: It is not there, or not whole; what else lies there is named.
    """
    said = f"adapter '{adapter}': {folder} holds no PEFT adapter"
    config, weights = folder / CONFIG, folder / WEIGHTS
    if config.is_file() and weights.is_file():
        _check(adapter, config, weights)
        return weights
    if config.is_file():
        raise ModelError(f"{said} that can be read: it has settings and {_no_weights(folder)}", _way_to_weights(folder))
    if weights.is_file():
        raise ModelError(f"{said} that can be read: {CONFIG} is missing beside its weights",
                         "copy it from where the adapter was trained; rank and scaling stand in it")  # fmt: skip
    if (folder / "config.json").is_file():
        raise ModelError(said, f"it holds a whole model: --tuned {folder}, or load it as a model of its own")
    if inner := inner_folders(folder, CONFIG):
        raise ModelError(said, name_inner(folder, inner))
    if held := sorted(folder.glob("*.gguf")):
        raise ModelError(f"{said}, but {held[0].name}", "give the PEFT adapter that it was made of")
    raise ModelError(said, _EXPECTED)


def _no_weights(folder: Path) -> str:
    if (folder / "adapter_model.bin").is_file():
        return "its weights as a pickle (adapter_model.bin)"
    if parts := sorted(folder.glob("adapter_model*-of-*.safetensors")):
        return f"{len(parts)} parts of its weights ({parts[0].name}, ...)"
    if (folder / "model.safetensors").is_file():
        return f"a whole model's weights (model.safetensors), but no {WEIGHTS}"
    return f"no weights: {WEIGHTS} is missing"


def _way_to_weights(folder: Path) -> str:
    if (pickle := folder / "adapter_model.bin").is_file():
        return pickle_hint(pickle)
    if any(folder.glob("adapter_model*-of-*.safetensors")):
        return f"put the parts into one file, {WEIGHTS}: PEFT reads no other"
    if inner := inner_folders(folder, WEIGHTS):
        return name_inner(folder, inner)
    if any(folder.glob("global_step*")) or any(folder.glob("pytorch_model_fsdp_*")):
        return "only the trainer's own checkpoint is there: save the adapter with PEFT's save_pretrained"
    return "save it again with PEFT's save_pretrained, which writes safetensors, or fetch it again"


def _fetch(adapter: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    prepare_hub(name)
    try:
        hf_hub_download(name, CONFIG)
        weights = Path(hf_hub_download(name, WEIGHTS))
    except Exception as error:  # the hub's errors are many
        raise ModelError(f"adapter '{adapter}': {name} holds no PEFT adapter", offline_hint() or _EXPECTED) from error
    _check(adapter, weights.parent / CONFIG, weights)
    return weights


def _check(adapter: str, config: Path, weights: Path) -> frozenset[str]:
    try:
        check_text(config)
        return check_tensors_file(weights)
    except ModelError as error:
        raise ModelError(f"adapter '{adapter}': {error.message}", error.hint) from error


def _peft_config(adapter: str, folder: Path) -> Any:
    from peft import PeftConfig

    if not read_settings(folder / CONFIG).get("peft_type"):
        raise ModelError(
            f"adapter '{adapter}': {folder} holds no PEFT adapter that can be read: {CONFIG} names no peft_type",
            "copy it from where the adapter was trained",
        )
    try:
        return PeftConfig.from_pretrained(str(folder))
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"adapter '{adapter}': {folder} holds no PEFT adapter that can be read: {why}",
                         f"its {CONFIG} is the fault; {_EXPECTED}") from error  # fmt: skip


def _tensors(adapter: str, file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(f"adapter '{adapter}': {file} is damaged: {error}") from error


def _read_mlx(adapter: str, folder: Path) -> AdapterFiles:
    """MLX adds scale * (x a) b with a of shape (inputs, rank) and b of shape (rank, outputs)."""
    from peft import LoraConfig

    said, weights = f"adapter '{adapter}' ({folder}) is an adapter of MLX", folder / MLX
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{said} without its settings: {CONFIG} is missing", "copy it from where it was trained")
    _check(adapter, folder / CONFIG, weights)
    settings, held = read_settings(folder / CONFIG), _tensors(adapter, weights)
    chosen: Any = settings.get("lora_parameters") or {}
    kind = settings.get("fine_tune_type", "lora")
    rank, scale = chosen.get("rank"), chosen.get("scale")
    pairs = {key: found for key in held if (found := _MLX_KEY.fullmatch(key))}
    odd = [key for key in held if key not in pairs or held[key].ndim != 2]
    if kind != "lora" or odd:
        what = f"of kind {kind}" if kind != "lora" else f"with {odd[0]}, which is no matrix of a plain LoRA adapter"
        raise ModelError(f"{said} {what}", "fuse it into its base there (mlx_lm.fuse) and load the two as whole models")
    if "alpha" in chosen or not isinstance(scale, int | float) or not isinstance(rank, int) or rank < 1:
        raise ModelError(
            f"{said} whose settings leave its scale open: {chosen or 'no lora_parameters'}",
            "versions of MLX differ in what alpha means: fuse it into its base there (mlx_lm.fuse), or write rank and "
            "scale alone",
        )
    tensors = {
        f"base_model.model.{found['module']}.lora_{found['part'].upper()}.weight": held[key].T.contiguous()
        for key, found in pairs.items()
    }
    modules = sorted({found["module"] for found in pairs.values()})
    config = LoraConfig(r=rank, lora_alpha=scale * rank, target_modules=modules)  # pyright: ignore[reportArgumentType]
    config.base_model_name_or_path = str(settings.get("model") or "")
    return AdapterFiles(weights, config, tensors, len(tensors), "MLX's form")
