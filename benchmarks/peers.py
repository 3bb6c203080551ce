"""Answer means at every layer by transformer-lens and by nnsight, each used as its own pages say, on the same batches.

Both get the masks as one tensor a batch and reduce with one product a layer: the loops of the field's code are not
held against them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.field import padded
from benchmarks.setting import Setting, build
from misdirection.engine import Text

Means = Callable[[Sequence[Sequence[Text]]], Tensor]
"""From batches of texts to means, shape (layers, width)."""


def installed() -> bool:
    """Whether both are there (`make bench` installs them)."""
    return all(find_spec(name) is not None for name in ("transformer_lens", "nnsight"))


def transformer_lens(setting: Setting) -> Means:
    """`run_with_cache` of a bridge around a fresh copy of the model; only the residual stream is cached."""
    from transformer_lens.model_bridge import TransformerBridge

    model = build(setting)
    # The name says which architecture to bridge; nothing is fetched, for the model is given.
    bridge = TransformerBridge.boot_transformers(
        "Qwen/Qwen2.5-0.5B", hf_model=model.lm, tokenizer=model.tokenizer, device=setting.device, dtype=model.dtype
    )
    return partial(_lens_means, bridge, [f"blocks.{layer}.hook_out" for layer in range(model.n_layers)])


def _lens_means(bridge: Any, names: list[str], batches: Sequence[Sequence[Text]]) -> Tensor:
    wanted = set(names)
    sums, count = _nothing(len(names), bridge.cfg.d_model)
    for batch in batches:
        ids, _ = padded(batch)
        with torch.no_grad():
            _, cache = bridge.run_with_cache(
                ids.to(bridge.cfg.device), return_type=None, names_filter=lambda name: name in wanted
            )
            pick = answer_mask(batch)
            sums += torch.stack([_summed(pick, cache[name]) for name in names])
        count += float(pick.sum())
    return sums / count


def nnsight(setting: Setting) -> Means:
    """A trace that saves every layer's output, around a fresh copy of the model."""
    from nnsight import NNsight

    model = build(setting)
    return partial(_trace_means, NNsight(model.lm), model.n_layers, model.width, setting.device)


def _trace_means(traced: Any, layers: int, width: int, device: str, batches: Sequence[Sequence[Text]]) -> Tensor:
    sums, count = _nothing(layers, width)
    for batch in batches:
        ids = padded(batch)[0].to(device)
        with torch.no_grad():
            saved: list[Any] = []
            with traced.trace(ids, use_cache=False):
                for layer in traced.model.layers:
                    saved.append(layer.output.save())
            pick = answer_mask(batch)
            sums += torch.stack([_summed(pick, x) for x in saved])
        count += float(pick.sum())
    return sums / count


def answer_mask(batch: Sequence[Text]) -> Tensor:
    """1 at answer tokens, shape (texts, longest)."""
    mask = torch.zeros(len(batch), max(len(text.ids) for text in batch))
    for row, text in enumerate(batch):
        mask[row, slice(*text.spans["answer"])] = 1.0
    return mask


def _summed(pick: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("bt,btd->d", pick.to(x.device), x.float()).double().cpu()


def _nothing(layers: int, width: int) -> tuple[Tensor, float]:
    return torch.zeros(layers, width, dtype=torch.float64), 0.0


PEERS: dict[str, Callable[[Setting], Means]] = {"transformer-lens": transformer_lens, "nnsight": nnsight}
