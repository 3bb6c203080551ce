"""Products of eight-bit integers, where the processor has them: half the time of bfloat16 (PyTorch's oneDNN kernels).

The weights ship in eight bits anyway. What goes into a product is rounded to 256 steps between two bounds that were
measured on the corpus and are the same for every row, so that none depends on what is beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from misdirection.judging.offline.encoder import Layer, attended
from misdirection.processor import processor_words

POINTS = ("qkv", "o", "f1", "f2")
"""The products of a layer whose inputs are rounded."""

_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


@dataclass(frozen=True)
class Rounding:
    """256 steps between two bounds: x is about (integer - zero) x scale."""

    scale: float
    zero: int

    @staticmethod
    def between(low: float, high: float) -> Rounding:
        """Steps that hold 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max(high - low, 1e-6) / 255
        return Rounding(scale, round(-low / scale))

    def __call__(self, x: Tensor) -> Tensor:
        """Numbers as integers 0 .. 255; those beyond the bounds lie on them."""
        steps = torch.add(torch.tensor(self.zero + 0.5), x, alpha=1 / self.scale)
        return steps.clamp_(0, 255.5).to(torch.uint8)


class EightBitLayer(nn.Module):
    """A layer that computes as `encoder.Layer` does, its four products in eight bits; for reading only.

    Args:
        layer: In float32.
        bounds: By product of `POINTS`, between which its inputs lie.
    """

    def __init__(self, layer: Layer, bounds: Mapping[str, tuple[float, float]]) -> None:
        super().__init__()
        self.n1, self.n2 = layer.n1, layer.n2
        self.rounding = {name: Rounding.between(*bounds[name]) for name in POINTS}
        self.packed = {name: _packed(getattr(layer, name)) for name in POINTS}

    def forward(self, x: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
        """Stream (rows, positions, width) to stream, in float32."""
        qkv = self._product("qkv", self.rounding["qkv"](x), torch.bfloat16)
        mixed = attended(qkv, None if mask is None else mask.bfloat16()).float()
        x = self.n1(x + self._product("o", self.rounding["o"](mixed), torch.float32))
        inner = self._product("f1", self.rounding["f1"](x), torch.uint8, self.rounding["f2"])
        return self.n2(x + self._product("f2", inner, torch.float32))

    def _product(self, name: str, x: Tensor, dtype: torch.dtype, then: Rounding | None = None) -> Tensor:
        """One product; with a rounding, through GELU and rounded again in the same kernel."""
        weight, scales, zeros, bias = self.packed[name]
        into, after = self.rounding[name], then or Rounding(1.0, 0)
        activation = "gelu" if then else "none"
        rows = x.reshape(-1, x.shape[-1])
        kernel: Any = torch.ops.onednn.qlinear_pointwise
        told = (weight, scales, zeros, bias, after.scale, after.zero, dtype, activation, [], "none")
        return kernel(rows, into.scale, into.zero, *told).view(*x.shape[:-1], -1)


def _packed(linear: nn.Linear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scales = linear.weight.abs().amax(1).clamp(min=1e-12) / 127
    integers = torch.round(linear.weight / scales[:, None]).to(torch.int8)
    pack: Any = torch.ops.onednn.qlinear_prepack
    return pack(integers, None), scales, torch.zeros(len(scales), dtype=torch.int64), linear.bias


def has_eight_bits() -> bool:
    """Whether the processor says that it multiplies eight-bit integers, and PyTorch has the kernels for it."""
    return bool(processor_words() & _FLAGS) and hasattr(torch.ops.onednn, "qlinear_pointwise")


def watched(layer: nn.Module, run: Callable[[], object]) -> dict[str, tuple[float, float]]:
    """Between which bounds the inputs of a layer's products lie while something runs."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in POINTS}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[name].append((float(inputs[0].min()), float(inputs[0].max())))

        return getattr(layer, name).register_forward_pre_hook(hook)

    hooks = [watch(name) for name in POINTS]
    run()
    for hook in hooks:
        hook.remove()
    return {name: (min(low for low, _ in seen), max(high for _, high in seen)) for name, seen in found.items()}
