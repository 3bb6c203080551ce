"""Which PEFT adapters are plain LoRA, the one kind that rows can switch, and what to do with any other.

An adapter is plain where it adds scaling * B A x to a linear layer of the base as it was released. Settings are known
to be harmless one by one: one that this file does not name is refused, so that a later PEFT's variant is no surprise.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from misdirection.models.errors import ModelError

_HARMLESS = frozenset((
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "fan_in_fan_out", "bias", "use_rslora",
    "init_lora_weights", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "megatron_core",
    "qalora_group_size", "runtime_config", "ensure_weight_tying",
    # These say how A and B began or how their gradient is kept; what is added in the end is B A x.
    "loftq_config", "eva_config", "corda_config", "lora_ga_config", "velora_config",
))  # fmt: skip

_BASE_UNMOVED = ("true", "false", "none", "gaussian", "eva", "orthogonal", "mica")
"""Ways to begin A and B that leave the base's weights alone (PEFT 0.19 to 0.21, read in `LoraLayer.update_layer`)."""

_BASE_MOVED = ("pissa", "olora", "corda", "lora_ga")
"""Ways that take B A of the beginning out of the base's weights, and that PEFT can convert to plain LoRA."""

_NEVER_MERGED = (
    "XLORA", "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT", "POLY",
    "alora_invocation_tokens", "arrow_config", "layer_replication",
)  # fmt: skip
"""Kinds and settings whose effect depends on the text or the depth, so that no weights of the base can hold it."""

_CONVERT = (
    "its base was moved when its training began, so merging it into the released one is wrong: where it was trained, "
    "PEFT converts it with save_pretrained(FOLDER, path_initial_model_for_weight_conversion=ADAPTER_BEFORE_TRAINING)"
)
_LOFTQ = (
    "it belongs to the quantised base that LoftQ made: give that base as the model, with init_lora_weights set to true "
    "in adapter_config.json"
)
_SAVE = "save it with PEFT's save_pretrained"
_NOT_MERGED = "it cannot be merged into its base either; train a plain LoRA adapter or the whole model"
_UNTIE = (
    "its base has one matrix for embeddings and head, which merging would change together: save the base with "
    "tie_word_embeddings=False and a head of its own, merge into that, and load the two as separate models"
)


def merge_hint(base: str, path: str | Path) -> str:
    """How an adapter becomes a whole model, as a command that runs."""
    code = (
        "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; from peft import PeftModel as P; "
        f"P.from_pretrained(M.from_pretrained({base!r}, dtype='auto'), {str(path)!r}).merge_and_unload()"
        f".save_pretrained('MERGED'); T.from_pretrained({base!r}).save_pretrained('MERGED')"
    )
    return f'merge it into its base and give both as whole models (--model {base} --tuned MERGED): python -c "{code}"'


def check_plain_lora(adapter: str, path: str, config: Any, tied: bool, base: str) -> None:
    """Refuse what is more than B A x added to a linear layer: it could not be switched off and on row by row.

    Args:
        adapter: Name that rows will call it.
        path: Where it was found.
        config: PEFT's configuration of it.
        tied: Whether the base has one matrix for embeddings and head.
        base: Name of the base.

    Raises:
        ModelError: It is no plain LoRA adapter; the hint says what can be done with it.
    """
    kind, more, start = kind_of(vars(config))
    if kind != "LORA" or more:
        raise ModelError(
            f"adapter '{adapter}' ({path}) is no plain LoRA adapter, the one kind that rows can switch: it is "
            f"{said(kind, more)}",
            way_out([kind, *more], start, vars(config), tied=tied) or merge_hint(base, path),
        )


def kind_of(settings: Mapping[str, Any]) -> tuple[str, list[str], str]:
    """Kind of an adapter, what it has that plain LoRA has not, and how its matrices began.

    Args:
        settings: As they stand in adapter_config.json, or the fields of PEFT's configuration.
    """
    held: Any = settings.get("peft_type")
    kind, more = str(getattr(held, "value", held)), list[str]()
    if kind == "LORA":
        more = [name for name, value in settings.items() if value and name not in _HARMLESS]
        more = [name for name in more if name in _known()]
        more += ["bias"] if str(settings.get("bias", "none")) != "none" else []
    start = str(settings.get("init_lora_weights", True)).lower()
    if start not in _BASE_UNMOVED:
        more.append(f"init_lora_weights={settings['init_lora_weights']}")
    return kind, more, start


def said(kind: str, more: list[str]) -> str:
    """A kind of adapter in words: "LORA with use_dora"."""
    return kind + (f" with {', '.join(more)}" if more else "")


def of_single_experts(keys: Iterable[str]) -> bool:
    """Whether keys of an adapter's file name experts one by one, as transformers 4 kept them."""
    return any(re.search(r"\.experts\.\d+\.", key) for key in keys)


@cache
def _known() -> frozenset[str]:
    from peft import LoraConfig

    return frozenset(field.name for field in dataclasses.fields(LoraConfig))


def check_plain_keys(adapter: str, file: Path, keys: list[str], tied: bool, base: str) -> None:
    """Refuse a file that holds more than A and B: weights of the base, embeddings' adapters, magnitudes, biases.

    Raises:
        ModelError: It does.
    """
    for key in keys:
        if not any(f".{part}" in key for part in ("lora_A.", "lora_B.", "lora_velora_")) or key.endswith(".bias"):
            raise ModelError(
                f"adapter '{adapter}' ({file}) holds {key}, so it is more than a plain LoRA adapter",
                _UNTIE if tied and _is_vocabulary(key) else merge_hint(base, file.parent),
            )


def matrices_in(keys: Iterable[str], file: Path) -> dict[str, tuple[str, str]]:
    """Keys of A and B in a plain LoRA adapter's file, by the module's path in the model.

    Raises:
        ModelError: The file holds another key, one of the two without the other, or none.
    """
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        parts = re.fullmatch(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight", key)
        if parts is None:
            raise ModelError(f"{file} holds {key}, which is no A or B of a plain LoRA adapter", _SAVE)
        found.setdefault(parts[1], {})[parts[2]] = key
    for module, pair in found.items():
        if len(pair) < 2:
            raise ModelError(f"{file} holds {next(iter(pair.values()))} without its other half at {module}", _SAVE)
    if not found:
        raise ModelError(f"{file} holds no LoRA matrices", "give the folder of a PEFT LoRA adapter")
    return {module: (pair["A"], pair["B"]) for module, pair in found.items()}


def unknown_settings(config: Any, folder: Path) -> list[str]:
    """What an adapter's file sets and this PEFT does not know, as "name=value"; nothing where the value is empty."""
    known = {field.name for field in dataclasses.fields(config)}
    held = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return [f"{name}={value}" for name, value in held.items() if name not in known | {"peft_version"} and value]


def way_out(more: list[str], start: str, settings: Mapping[str, Any], *, tied: bool) -> str | None:
    """What to do with an adapter that cannot simply be merged into its base."""
    if start.startswith(_BASE_MOVED):
        return _CONVERT
    if start == "loftq":
        return _LOFTQ
    if any(name in _NEVER_MERGED for name in more):
        return _NOT_MERGED
    places = [name for setting in ("modules_to_save", "target_modules") for name in _names(settings, setting)]
    if tied and any(_is_vocabulary(name) for name in places):
        return _UNTIE
    return None


def _names(settings: Mapping[str, Any], setting: str) -> list[str]:
    value = settings.get(setting) or ()
    return [value] if isinstance(value, str) else [str(name) for name in value]


def _is_vocabulary(name: str) -> bool:
    return any(part in name for part in ("lm_head", "embed", "wte", "output"))
