"""The pairs (A, B) of a LoRA adapter as plain tensors, module by module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from misdirection.errors import MisdirectionError
from misdirection.models import Model, layer_of
from misdirection.models.families import WRITERS
from misdirection.models.quantised import weight_of


class AdapterError(MisdirectionError):
    """An adapter does not allow what is asked of it."""


@dataclass(frozen=True, eq=False)
class LoraPair:
    """One adapted module: it adds `scaling * B A x` to `W x`.

    Attributes:
        path: Of the module.
        layer: Decoder layer.
        a: A, shape (rank, inputs), float32.
        b: B, shape (outputs, rank), float32.
        scaling: LoRA's alpha / rank, or alpha / sqrt(rank).
        module: The linear layer W itself.
    """

    path: str
    layer: int
    a: Tensor
    b: Tensor
    scaling: float
    module: nn.Module

    @property
    def weight(self) -> Tensor:
        """W, shape (outputs, inputs), in the model's own format and place; made anew where it is quantised."""
        return weight_of(self.module)

    @property
    def rank(self) -> int:
        """Number of rows of A."""
        return len(self.a)

    @property
    def writes(self) -> bool:
        """Whether B writes into the residual stream."""
        return writes_residual(self.path)


def writes_residual(path: str) -> bool:
    """Whether a module's output is added to the residual stream.

    Told by its name: a query projection may be as wide as the residual stream, so that the shape says nothing.
    """
    return any(path == name or path.endswith(f".{name}") for name in WRITERS)


def pairs_of(model: Model, adapter: str) -> list[LoraPair]:
    """Every adapted module of a decoder layer, in the model's order.

    Raises:
        AdapterError: No adapter is called so, or it adapts no module of a decoder layer.
    """
    if adapter not in model.lora:
        raise AdapterError(
            f"no adapter is called '{adapter}'", f"loaded adapters: {', '.join(model.adapters) or 'none'}"
        )
    found: list[LoraPair] = []
    for path, held in model.lora[adapter].items():
        module, layer = cast(Any, held), layer_of(path)
        if layer is None or layer >= model.n_layers:
            continue
        a, b = (part[adapter].weight.detach().float().cpu() for part in (module.lora_A, module.lora_B))
        found.append(LoraPair(path, layer, a, b, float(module.scaling[adapter]), module.get_base_layer()))
    if not found:
        raise AdapterError(f"the adapter '{adapter}' adapts no module of a decoder layer")
    return found


def labels_of(paths: list[str] | tuple[str, ...]) -> dict[str, str]:
    """A short name for each module path: "layer 3", and the module's own name behind it where a layer has several."""
    layers = [layer_of(path) for path in paths]
    return {
        path: f"layer {layer}" + (f" {path.rsplit('.', 1)[-1]}" if layers.count(layer) > 1 else "")
        for path, layer in zip(paths, layers, strict=True)
    }
