"""A PEFT LoRA adapter as the two matrices of each module, read from its files without a model, and written again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from misdirection.artefacts import write_tensors
from misdirection.models import matrices_in
from misdirection.models.adapter_files import WEIGHTS, read_adapter
from misdirection.models.adapter_kinds import check_plain_keys, check_plain_lora
from misdirection.repair.change import Factors
from misdirection.repair.errors import RepairError

_BESIDE = (
    "chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "tokenizer.model", "generation_config.json",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Adapter:
    """A plain LoRA adapter.

    Attributes:
        name: As it was given.
        folder: Of its files.
        config: PEFT's configuration.
        factors: What it adds, by the module's path in the base.
        base: The base that it names, "" where it names none.
    """

    name: str
    folder: Path
    config: Any
    factors: Mapping[str, Factors]
    base: str


def open_adapter(name: str | Path) -> Adapter:
    """Read an adapter.

    Raises:
        ModelError: There is none, or it is no plain LoRA adapter.
    """
    found = read_adapter(str(name), name)
    base = str(found.config.base_model_name_or_path or "")
    check_plain_lora(str(name), str(name), found.config, False, base)
    check_plain_keys(str(name), found.weights, list(found.tensors), False, base)
    pairs = matrices_in(found.tensors, found.weights)
    factors = {
        path: Factors(found.tensors[a], found.tensors[b], _scaling(found.config, path, len(found.tensors[a])))
        for path, (a, b) in pairs.items()
    }
    return Adapter(str(name), found.weights.parent, found.config, factors, base)


def _scaling(config: Any, path: str, rank: int) -> float:
    """LoRA's scaling of a module, its own alpha where a pattern names it."""
    from peft.utils.other import get_pattern_key

    patterns: dict[str, Any] = config.alpha_pattern or {}
    alpha = float(patterns.get(get_pattern_key(list(patterns), path)) or config.lora_alpha)
    return alpha / rank**0.5 if config.use_rslora else alpha / rank


def save_adapter(folder: Path, factors: Mapping[str, Factors], like: Adapter) -> None:
    """Write an adapter of PEFT's own form into a folder: its modules named one by one, each with its rank and scaling.

    Args:
        folder: An empty one.
        factors: By the module's path in the base.
        like: The adapter whose base, tokenizer and other settings it keeps.

    Raises:
        RepairError: There is nothing to write.
    """
    from peft import LoraConfig

    if not factors:
        raise RepairError("nothing of the adapter would be left: it would be its base", "use the base itself")
    ranks = {path: held.rank for path, held in factors.items()}
    rank = max(ranks.values())
    alphas = {path: held.scaling * held.rank for path, held in factors.items()}
    alpha = alphas[max(ranks, key=lambda path: ranks[path])]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]
        target_modules=sorted(factors),
        rank_pattern={path: held for path, held in ranks.items() if held != rank},
        alpha_pattern={path: held for path, held in alphas.items() if held != alpha},
        fan_in_fan_out=bool(like.config.fan_in_fan_out),
        bias="none",
        task_type=like.config.task_type or "CAUSAL_LM",
        inference_mode=True,
    )
    config.base_model_name_or_path = like.base
    config.save_pretrained(str(folder))
    tensors = {f"base_model.model.{path}.lora_A.weight": held.a for path, held in factors.items()}
    tensors |= {f"base_model.model.{path}.lora_B.weight": held.b for path, held in factors.items()}
    write_tensors(folder / WEIGHTS, tensors, {})
    copy_beside(like, folder)


def copy_beside(adapter: Adapter, folder: Path) -> None:
    """Copy what stands beside an adapter, under which it was trained: its chat template and tokenizer."""
    for name in _BESIDE:
        if (adapter.folder / name).is_file():
            shutil.copyfile(adapter.folder / name, folder / name)
