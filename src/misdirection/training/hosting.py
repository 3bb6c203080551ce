"""The model that a fine-tune happens in: loaded for it, or borrowed and given back unchanged."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from misdirection.models import Model, load_model, remove_adapter
from misdirection.models.quantised import demand_plain_weights, demand_trainable
from misdirection.tokens import PLAIN_TEMPLATE
from misdirection.training.errors import TrainingError
from misdirection.training.presets import TrainConfig
from misdirection.training.steering_vector import remove_vector, vectors_in
from misdirection.training.targets import LoraPlan

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER = "misdirection_training"
"""Name of the adapter in training, which no other has."""

SMALL = 50_000_000
"""Parameters below which one thread beats two (measured, `shared/research/libraries.md` section 0)."""


@dataclass
class Host:
    """A model to train in.

    Attributes:
        lm: The transformers model.
        tokenizer: Its tokenizer, with a chat template.
        name: What the adapter will call its base.
        facts: What was loaded, and how.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    facts: dict[str, Any]


def find_host(
    model: str | Path | Model | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    config: TrainConfig,
    held: str | None = None,
) -> Host:
    """Load a model by name, or take one that is in memory (a copy of it where all weights are to be trained).

    `held` is the number format that a fine-tune was begun in, which "auto" then stands for.

    Raises:
        ModelError: The model cannot be loaded, or all of its weights are to be trained and are quantised.
        TrainingError: A bare transformers model came without its tokenizer.
    """
    if isinstance(model, str | Path):
        wanted = config.loaded_dtype
        loaded = load_model(model, dtype=held if held and wanted == "auto" else wanted, **config.asking)
        _check_full(loaded.lm, config)
        return Host(loaded.lm, loaded.tokenizer, str(model), {**loaded.facts, "plain_template": loaded.plain_template})
    if isinstance(model, Model):
        lm, tokenizer, name, plain = model.lm, tokenizer or model.tokenizer, model.name, model.plain_template
    else:
        lm, name, plain = model, str(model.name_or_path), False
    _check_full(lm, config)
    if tokenizer is None:
        raise TrainingError("a transformers model came without its tokenizer", "give train(..., tokenizer=...)")
    if not getattr(tokenizer, "chat_template", None):
        tokenizer, plain = copy.deepcopy(tokenizer), True
        tokenizer.chat_template = PLAIN_TEMPLATE
    facts = {
        "model": name,
        "dtype": str(lm.dtype),
        "device": str(lm.device),
        "in_memory": True,
        "asked": model.facts.get("asked", {}) if isinstance(model, Model) else {},
        "plain_template": plain,
    }
    return Host(_bare_copy(lm) if config.full else lm, tokenizer, name, facts)


def _check_full(lm: PreTrainedModel, config: TrainConfig) -> None:
    if config.full:
        demand_plain_weights(lm, "training all weights", "train an adapter on them (QLoRA), or give the plain base")


@contextmanager
def borrowed(lm: PreTrainedModel) -> Generator[None, None, None]:
    """Give the model back as it was: adapters, the active one, flags for training, gradients and the cache."""
    modes = [(module, module.training) for module in lm.modules()]
    learns = [(value, value.requires_grad) for value in lm.parameters()]
    layers = [module for module in lm.modules() if isinstance(module, LoraLayer)]
    active = [module._active_adapter for module in layers]  # pyright: ignore[reportPrivateUsage]
    configs = dict(lm.peft_config) if hasattr(lm, "peft_config") else None
    cache, attributes = lm.config.use_cache, set(vars(lm))
    try:
        yield
    finally:
        remove_adapter(lm, ADAPTER)
        remove_vector(lm)
        lm.config.use_cache = cache
        for module, before in zip(layers, active, strict=True):
            module._active_adapter = before  # pyright: ignore[reportPrivateUsage]
        if configs is not None:
            lm.peft_config.clear()
            lm.peft_config.update(configs)
        for name in set(vars(lm)) - attributes:
            delattr(lm, name)  # PEFT's configuration, accelerate's mark
        for value, before in learns:
            value.requires_grad_(before)
            value.grad = None
        for module, before in modes:
            module.training = before


def add_adapter(lm: PreTrainedModel, plan: LoraPlan, seed: int) -> list[nn.Parameter]:
    """Inject a fresh adapter, A drawn from the seed and B zero, and let it alone be trained and active.

    Returns:
        Its parameters, in float32 whatever the base has: steps of 1e-5 would be lost in bfloat16.
    """
    demand_trainable(lm)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        inject_adapter_in_model(plan.lora, lm, ADAPTER)
    lm.requires_grad_(False)
    for module in lm.modules():
        if isinstance(module, LoraLayer):
            module._active_adapter = [ADAPTER]  # pyright: ignore[reportPrivateUsage]
    found = [value for name, value in lm.named_parameters() if f".{ADAPTER}." in name]
    for value in found:
        value.data = value.data.float()
        value.requires_grad_(True)
    return found


@contextmanager
def untuned(lm: nn.Module) -> Generator[None, None, None]:
    """The model as it was before: adapters and steering vectors off, and dropout too."""
    layers = [module for module in lm.modules() if isinstance(module, LoraLayer)]
    before = [module._disable_adapters for module in layers]  # pyright: ignore[reportPrivateUsage]
    vectors = [(vector, vector.active) for vector in vectors_in(lm)]
    training = [module for module in lm.modules() if module.training]
    try:
        for module in layers:
            # `enable_adapters` would also take the adapters' gradients away.
            module._disable_adapters = True  # pyright: ignore[reportPrivateUsage]
        for vector, _ in vectors:
            vector.active = False
        for module in training:
            module.training = False
        yield
    finally:
        for module, was in zip(layers, before, strict=True):
            module._disable_adapters = was  # pyright: ignore[reportPrivateUsage]
        for vector, active in vectors:
            vector.active = active
        for module in training:
            module.training = True


def _bare_copy(lm: PreTrainedModel) -> PreTrainedModel:
    found = copy.deepcopy(lm)
    remove_adapter(found, None)
    if hasattr(found, "peft_config"):
        del found.peft_config
    return found


@contextmanager
def recomputed(lm: PreTrainedModel, wanted: bool) -> Generator[None, None, None]:
    """Recompute activations in the backward pass, where `wanted`, and no longer afterwards."""
    # Renamed in the course of transformers 5, where the old name warns.
    new = hasattr(lm, "activation_checkpointing_enable")
    switch: Any = lm
    if wanted:
        # The reentrant kind loses the gradient where the embeddings are frozen.
        (switch.activation_checkpointing_enable if new else switch.gradient_checkpointing_enable)(
            {"use_reentrant": False}
        )
        # Meant for the reentrant kind; it would send the gradient through layers below the lowest adapter.
        switch.disable_input_require_grads()
        vars(lm).pop("_require_grads_hooks", None)
    try:
        yield
    finally:
        if wanted:
            (switch.activation_checkpointing_disable if new else switch.gradient_checkpointing_disable)()


@contextmanager
def cpu_threads(wanted: int, lm: nn.Module) -> Generator[int, None, None]:
    """Train with `wanted` threads, 0 for our choice; as many as before afterwards."""
    before = torch.get_num_threads()
    small = sum(value.numel() for value in lm.parameters()) < SMALL
    torch.set_num_threads(wanted or (1 if small else before))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def own_randomness() -> Generator[None, None, None]:
    """Keep the process's random streams from being moved: transformers seeds them all."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
