"""A removal as plain hooks on the modules that write to the residual stream: what repaired weights must equal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tests.families import prompt, words
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from misdirection.models import find_layers

TABLES = ("wpe", "embed_positions")
"""Tables of positions, whose rows are added to those of the tokens."""


def saved(lm: PreTrainedModel, folder: Path, **more: Any) -> Path:
    lm.save_pretrained(folder, **more)
    words().save_pretrained(folder)
    return folder


def loaded(folder: Path) -> PreTrainedModel:
    """By transformers alone."""
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def logits(lm: PreTrainedModel, length: int = 12) -> Tensor:
    with torch.no_grad():
        return lm(input_ids=torch.tensor([prompt(1, length)]), use_cache=False).logits[0]


@contextmanager
def changed(lm: PreTrainedModel, change: Callable[[Tensor, int | None], Tensor]) -> Generator[None]:
    """What embeddings (layer None), attention and MLP of each layer write, changed on its way to the stream."""

    def hook_of(layer: int | None) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            done = change(x, layer)
            return (done, *output[1:]) if isinstance(output, tuple) else done

        return hook

    tables = [module for name, module in lm.named_modules() if name.rsplit(".", 1)[-1] in TABLES]
    places: list[tuple[nn.Module, int | None]] = [(lm.get_input_embeddings(), None), *((t, None) for t in tables)]
    for number, layer in enumerate(find_layers(lm)):
        places += [(module, number) for module in layer.children() if writes(module)]
    handles = [module.register_forward_hook(hook_of(layer)) for module, layer in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def writes(module: nn.Module) -> bool:
    """Whether a child of a decoder layer is a block: it holds further modules, and its output is added."""
    return any(True for _ in module.children()) or isinstance(module, nn.Linear)


def without(x: Tensor, unit: Tensor) -> Tensor:
    return x - (x @ unit)[..., None] * unit
