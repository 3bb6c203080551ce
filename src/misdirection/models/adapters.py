"""PEFT LoRA adapters beside a resident model: found, checked against it before anything is touched, and attached."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import nn

from misdirection.models.errors import AdapterMismatchError, ModelError
from misdirection.models.resident import Model, lora_modules


def add_adapter(model: Model, adapter: str, path: str | Path) -> None:
    """Load one more PEFT LoRA adapter beside those that are there, off until a row asks for it.

    Args:
        model: The resident model; changed in place.
        adapter: Name that rows will call it.
        path: Local folder or hub id.

    Raises:
        AdapterMismatchError: It was made for another base.
        ModelError: There is no adapter there, it is no LoRA adapter, or the name is taken.
    """
    from peft import PeftConfig, PeftModel

    if adapter in model.adapters:
        raise ModelError(f"there is an adapter called '{adapter}' already", "give this one another name")
    try:
        config: Any = PeftConfig.from_pretrained(str(path))
        weights = _adapter_weights(str(path))
    except Exception as error:
        hint = "expected a folder with adapter_config.json and adapter_model.safetensors, or a hub id"
        raise ModelError(f"adapter '{adapter}': {path} holds no PEFT adapter", hint) from error
    _check_plain_lora(adapter, str(path), config)
    _check_adapter_shapes(model.lm, adapter, weights, config)
    trained_on = str(config.base_model_name_or_path or "")
    try:
        if model.peft is None:
            model.peft = PeftModel.from_pretrained(model.lm, str(weights.parent), adapter_name=adapter)
        else:
            model.peft.load_adapter(str(weights.parent), adapter_name=adapter)
    except (RuntimeError, ValueError, KeyError) as error:
        raise AdapterMismatchError(
            f"adapter '{adapter}' ({path}) does not fit {model.name}: {error}",
            f"it was trained on {trained_on or 'another base'}",
        ) from error
    if trained_on and Path(trained_on).name.lower() != Path(model.name).name.lower():
        model.facts["warnings"].append(f"adapter '{adapter}' names the base {trained_on}; it is used on {model.name}")
    model.facts.setdefault("adapters", {})[adapter] = {"path": str(path), "trained_on": trained_on}
    model.lm.eval()
    model.lm.requires_grad_(False)
    model.lora = lora_modules(model.lm)
    model.adapters = (*model.adapters, adapter)


def _adapter_weights(path: str) -> Path:
    """The file of an adapter's weights, fetched where `path` is a hub id; a pickle is never read."""
    file = Path(path) / "adapter_model.safetensors"
    if Path(path).is_dir():
        if not file.exists():
            raise FileNotFoundError(file)
        return file
    from huggingface_hub import hf_hub_download

    hf_hub_download(path, "adapter_config.json")
    return Path(hf_hub_download(path, "adapter_model.safetensors"))


def _check_plain_lora(adapter: str, path: str, config: Any) -> None:
    """Refuse what is more than B·A·x added to a linear layer: it could not be switched off and on row by row."""
    more = [name for name in _BEYOND_LORA if getattr(config, name, None)]
    if str(getattr(config, "bias", "none")) != "none":
        more.append("bias")
    # These change the base weights when they are loaded.
    if str(getattr(config, "init_lora_weights", True)).split("_")[0].lower() in ("pissa", "olora", "corda", "loftq"):
        more.append(f"init_lora_weights={config.init_lora_weights}")
    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA" or more:
        raise ModelError(
            f"adapter '{adapter}' ({path}) is no plain LoRA adapter, the one kind that is supported: it is "
            f"{config.peft_type}{' with ' + ', '.join(more) if more else ''}",
            "merge it into its base (PEFT's merge_and_unload) and load the two as separate models",
        )


_BEYOND_LORA = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "layer_replication",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
)


def _check_adapter_shapes(lm: nn.Module, adapter: str, file: Path, config: Any) -> None:
    """Compare each stored A and B with the linear layer that it would sit on, before PEFT touches the model."""
    from safetensors import SafetensorError, safe_open

    modules = dict(lm.named_modules())
    try:
        with safe_open(file, framework="pt") as tensors:
            shapes = {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"adapter '{adapter}': {file} is damaged: {error}") from error
    for key, shape in shapes.items():
        found = re.fullmatch(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.\w+)?\.weight", key)
        if found is None:
            raise ModelError(
                f"adapter '{adapter}' ({file}) holds {key}, so it is more than a plain LoRA adapter",
                "merge it into its base (PEFT's merge_and_unload) and load the two as separate models",
            )
        where, side = found[1], 1 if found[2] == "A" else 0
        target = modules.get(where)
        target = getattr(target, "base_layer", target)
        size = getattr(target, "in_features" if side else "out_features", None)
        if shape[side] != size:
            has = "no linear layer" if size is None else f"one that {'takes' if side else 'gives'} {size} numbers"
            raise AdapterMismatchError(
                f"adapter '{adapter}' ({file.parent}) was made for another base: it holds {key} of shape {shape}, "
                f"and the model has {has} at {where}",
                f"it names {config.base_model_name_or_path} as its base",
            )
