"""PEFT LoRA adapters beside a resident model: found, attached, and checked to be in effect, or nothing is changed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from misdirection.models.adapter_files import AdapterFiles, read_adapter
from misdirection.models.adapter_kinds import check_plain_keys, check_plain_lora, unknown_settings
from misdirection.models.adapter_names import rename
from misdirection.models.asking import ask_as_trained, check_beside
from misdirection.models.base_weights import without_base_weights
from misdirection.models.errors import AdapterMismatchError, ModelError
from misdirection.models.gguf import is_gguf
from misdirection.models.in_effect import changes_nothing, check_in_effect, check_tensors, mismatch, say_without_effect
from misdirection.models.resident import Model, lora_modules

if TYPE_CHECKING:
    from torch import Tensor


def add_adapter(model: Model, adapter: str, path: str | Path) -> None:
    """Load one more PEFT LoRA adapter beside those that are there, off until a row asks for it.

    A refused adapter leaves the model as it was.

    Args:
        model: The resident model; changed in place.
        adapter: Name that rows will call it.
        path: Local folder or hub id.

    Raises:
        AdapterMismatchError: It was made for another base, or would be in effect in part only.
        ModelError: There is no adapter there, it is no plain LoRA adapter, or the name is taken.
    """
    if adapter in model.adapters:
        raise ModelError(f"there is an adapter called '{adapter}' already", "give this one another name")
    if not adapter or "." in adapter:
        raise ModelError(f"'{adapter}' cannot be an adapter's name", "a name has a letter or more, and no dot")
    if hasattr(nn.ModuleDict(), adapter):
        raise ModelError(
            f"'{adapter}' cannot be an adapter's name: PyTorch's modules have something else by that name",
            f"give it another, as {adapter}-1",
        )
    if is_gguf(path):
        raise ModelError(
            f"adapter '{adapter}': {path} is a GGUF file",
            "llama.cpp's convert_lora_to_gguf.py made it of a PEFT adapter: give that adapter's folder",
        )
    found = read_adapter(adapter, path)
    config, weights = found.config, found.weights
    tied = bool(getattr(model.lm.config, "tie_word_embeddings", False))
    check_plain_lora(adapter, str(path), config, tied, model.name)
    tensors = without_base_weights(model, found.tensors)
    check_plain_keys(adapter, weights, list(tensors), tied, model.name)
    check_tensors(adapter, weights, tensors)
    beside = check_beside(model, path, f"adapter '{adapter}'")
    trained_on = str(config.base_model_name_or_path or "")
    _load(model, adapter, str(path), replace(found, tensors=tensors), trained_on)
    if trained_on and Path(trained_on).name.lower() != Path(model.name).name.lower():
        model.facts["warnings"].append(f"adapter '{adapter}' names the base {trained_on}; it is used on {model.name}")
    for setting in unknown_settings(config, weights.parent) if found.made_from is None else ():
        model.facts["warnings"].append(f"adapter '{adapter}' sets {setting}, which the installed PEFT does not know")
    model.facts.setdefault("adapters", {})[adapter] = {"path": str(path), "trained_on": trained_on}
    if changes_nothing(model, adapter):
        say_without_effect(model, adapter, "B A is 0 in all of its modules, as before any training")
    model.lora = lora_modules(model.lm)
    model.adapters = (*model.adapters, adapter)
    ask_as_trained(model, beside, f"adapter '{adapter}'")


def drop_adapter(model: Model, adapter: str) -> None:
    """Take an adapter of a resident model out of memory; what a report must say of it stays among the model's facts.

    Args:
        model: The resident model; changed in place. The answers of its other adapters and its own stay as they are.
        adapter: One of its adapters.
    """
    remove_adapter(model.lm, adapter)
    model.lora = lora_modules(model.lm)
    model.adapters = tuple(name for name in model.adapters if name != adapter)
    if model.peft is None:
        return
    model.peft.peft_config.pop(adapter, None)
    if model.adapters:
        # PEFT looks at the settings of the one that is on whenever it adds another.
        model.peft.set_adapter(model.adapters[0])
        model.lm.requires_grad_(False)
    else:
        model.peft = None
        vars(model.lm).pop("peft_config", None)


def remove_adapter(lm: nn.Module, name: str | None) -> None:
    """Take an adapter out (every one, for None), and PEFT's wrapper with the last of a module's adapters."""
    from peft.tuners.lora import LoraLayer

    gone: list[str] = []
    for path, module in list(lm.named_modules()):
        # PEFT wraps fused parameters twice: what lies inside of a wrapper that is gone went with it.
        if not isinstance(module, LoraLayer) or any(path.startswith(f"{outer}.") for outer in gone):
            continue
        for adapter in [name] if name else list(module.lora_A):
            if adapter in module.lora_A:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=".* was active which is now deleted")
                    module.delete_adapter(adapter)
        if not len(module.lora_A):
            parent, _, child = path.rpartition(".")
            setattr(lm.get_submodule(parent), child, module.get_base_layer())
            gone.append(path)


def _load(model: Model, adapter: str, path: str, found: AdapterFiles, trained_on: str) -> None:
    """Load as PEFT does; where its keys mean modules by other names, under the model's own."""
    refused: AdapterMismatchError | None = None
    if found.made_from is None:
        try:
            _attach(model, adapter, path, found.tensors, trained_on, _by_peft(model, adapter, found))
            return
        except AdapterMismatchError as error:
            refused = error
    renamed = rename(model, found.tensors, found.config)
    if renamed is None:
        raise refused or AdapterMismatchError(
            f"adapter '{adapter}' ({path}) was turned from {found.made_from}; its modules are none of {model.name}'s",
            f"it was trained on {trained_on or 'another base'}",
        )
    try:
        _attach(model, adapter, path, renamed.tensors, trained_on, _by_settings(model, adapter, renamed.config))
    except AdapterMismatchError as error:
        raise refused or error from error
    before, after = renamed.first
    model.warn(
        f"adapter '{adapter}': its keys name other places, and were renamed ({before} to {after}, ...)"
        if found.made_from is None and before != after
        else f"adapter '{adapter}': its settings name fewer modules than its file holds; all are in effect"
        if found.made_from is None
        else f"adapter '{adapter}' was turned from {found.made_from} into PEFT's"
    )
    if renamed.left_out:
        model.warn(
            f"adapter '{adapter}': {len(renamed.left_out)} of its tensors belong to parts that read images or sound "
            f"({renamed.left_out[0]}, ...) and were left out"
        )


def _by_peft(model: Model, adapter: str, found: AdapterFiles) -> Callable[[], Any]:
    """PEFT's own loading, but for a file that also holds copies of the base's weights: they stay where they are."""
    if len(found.tensors) < found.stored:
        return _by_settings(model, adapter, found.config)
    folder = str(found.weights.parent)

    def add() -> Any:
        from peft import PeftModel

        if model.peft is None:
            return PeftModel.from_pretrained(model.lm, folder, adapter_name=adapter)
        model.peft.load_adapter(folder, adapter_name=adapter)
        return model.peft

    return add


def _by_settings(model: Model, adapter: str, config: Any) -> Callable[[], Any]:
    """An adapter made by its settings alone; `check_in_effect` fills it."""

    def add() -> Any:
        from peft import PeftModel

        made = copy.deepcopy(config)
        if model.peft is None:
            return PeftModel(model.lm, made, adapter_name=adapter)
        model.peft.add_adapter(adapter, made)
        return model.peft

    return add


def _attach(
    model: Model,
    adapter: str,
    path: str,
    tensors: dict[str, Tensor],
    trained_on: str,
    add: Callable[[], Any],
) -> None:
    """Put an adapter in and see that all is in effect; whatever goes wrong, the model is left as it was."""
    before, attributes, done = model.peft, set(vars(model.lm)), False
    try:
        with warnings.catch_warnings():
            # Said as an error by `check_in_effect`.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
            warnings.filterwarnings("ignore", message=r"Adapter name .* should not be contained in the prefix")
            model.peft = add()
        check_in_effect(model, adapter, path, tensors)
        done = True
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise AdapterMismatchError(
            f"adapter '{adapter}' ({path}) does not fit {model.name}: {mismatch(error)}",
            f"it was trained on {trained_on or 'another base'}",
        ) from error
    finally:
        if not done:
            remove_adapter(model.lm, adapter)
            model.peft = before
            if before is not None:
                before.peft_config.pop(adapter, None)
            for name in set(vars(model.lm)) - attributes:
                delattr(model.lm, name)
        model.lm.eval()
        model.lm.requires_grad_(False)
