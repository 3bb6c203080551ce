"""One-sided blocking of latents (BLOCK-EM, arXiv 2602.00767): they may not rise above what the base model has.

    L = L_SFT + lambda * mean_t [ sum_{k in K+} ReLU(z_k - z_k^base)^2 + sum_{k in K-} ReLU(z_k^base - z_k)^2 ]

over the learned tokens t, z the latents of a dictionary after one layer, on the same tokens. One-sided: what falls
costs nothing. The base is the same model with its adapter off.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from misdirection.artefacts import canonical_hash
from misdirection.models import find_layers
from misdirection.models.stream import residual
from misdirection.training.data import IGNORED
from misdirection.training.defences.base import Batch, Defence
from misdirection.training.hosting import untuned
from misdirection.training.objectives.sft import logits_at_labels


class Encoder(Protocol):
    """A dictionary, as `features.load_dictionary` gives it."""

    @property
    def key(self) -> str:
        """Hash of its weights and rule."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Latents, shape (tokens, latents), of states, shape (tokens, width)."""
        ...


@dataclass(frozen=True, eq=False)
class Component:
    """A dictionary of one latent, for a model that has none: how far a state lies along a direction d.

        z = h . d / |d|^2

    Of a mean difference, z differs by 1 between the misaligned and the aligned mean, so that lambda means the same for
    directions of any length.

    Attributes:
        vector: d, shape (width,).
    """

    vector: Tensor

    @property
    def key(self) -> str:
        """Hash of the direction."""
        return canonical_hash(["component", self.vector.float().cpu()])

    def encode(self, x: Tensor) -> Tensor:
        """z, shape (tokens, 1), of states, shape (tokens, width)."""
        along = self.vector.to(x.device, x.dtype)
        return (x @ (along / along.square().sum()))[:, None]


@dataclass(frozen=True, eq=False)
class LatentBlocking(Defence):
    """A penalty on latents that leave the base model's values on one side.

    Attributes:
        dictionary: Of the residual stream after `layer`.
        layer: Decoder layer, from 0.
        rising: Latents that may not rise, K+.
        falling: Latents that may not fall, K-.
        weight: lambda.
    """

    dictionary: Encoder
    layer: int
    rising: tuple[int, ...]
    falling: tuple[int, ...] = ()
    weight: float = 1.0
    _seen: list[Tensor] = field(default_factory=list[Tensor], repr=False)

    @contextmanager
    def attached(self, lm: nn.Module) -> Generator[None]:
        """Keep the last states after the layer."""

        def keep(module: nn.Module, _inputs: Any, output: Any) -> None:
            self._seen[:] = [residual(module, output)]

        handle = find_layers(cast(Any, lm))[self.layer].register_forward_hook(keep)
        try:
            yield
        finally:
            handle.remove()
            self._seen.clear()

    def penalty(self, lm: nn.Module, batch: Batch) -> Tensor | None:
        """Lambda times the sum over learned tokens, the base read in a second pass without gradients."""
        if not self._seen:
            return None
        tuned = self._seen[0]
        with torch.no_grad(), untuned(lm):
            logits_at_labels(lm, batch)
        base = self._seen[0]
        learned = torch.nn.functional.pad(batch["labels"][:, 1:] != IGNORED, (0, 1))
        # With a shared beginning the last pass holds the rows' own tokens alone.
        learned = learned[:, -tuned.shape[1] :]
        risen, fell = (self._excess(tuned[learned], base[learned], of, sign)
                       for of, sign in ((self.rising, 1.0), (self.falling, -1.0)))  # fmt: skip
        self._seen.clear()
        return self.weight * (risen + fell)

    def _excess(self, tuned: Tensor, base: Tensor, latents: tuple[int, ...], sign: float) -> Tensor:
        if not latents:
            return tuned.new_zeros(())
        chosen = list(latents)
        moved = self.dictionary.encode(tuned.float())[:, chosen] - self.dictionary.encode(base.float())[:, chosen]
        return torch.relu(sign * moved).square().sum()

    @property
    def facts(self) -> dict[str, Any]:
        """Settings, and the dictionary by its hash."""
        told = {name: getattr(self, name) for name in ("layer", "rising", "falling", "weight")}
        return {"defence": type(self).__name__, "dictionary": self.dictionary.key, **told}
