"""A sparse autoencoder as it is used for measurement: encode, decode, and nothing else.

    a = (x - b_dec if subtracts else x) W_enc + b_enc
    f = relu(a)                                  "relu"      (standard)
      = a where a > threshold, else 0            "jumprelu"  (Rajamanoharan et al. 2407.14435; BatchTopK after training)
      = relu of the k largest of a token         "topk"      (Gao et al. 2406.04093)
    x' = f W_dec + b_dec

Inputs are scaled by `input_scale` and reconstructions by its inverse, for dictionaries trained on normalised
activations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from misdirection.artefacts import canonical_hash
from misdirection.errors import MisdirectionError

if TYPE_CHECKING:
    from misdirection.models import Model

Activation = Literal["relu", "jumprelu", "topk"]


class DictionaryError(MisdirectionError):
    """A dictionary cannot be found or read, or does not fit."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse autoencoder of the residual stream after one decoder layer.

    Attributes:
        encoder: W_enc, shape (width, latents).
        decoder: W_dec, shape (latents, width).
        encoder_bias: Shape (latents,).
        decoder_bias: Shape (width,).
        activation: See the module.
        threshold: Of "jumprelu", shape (latents,).
        k: Of "topk".
        subtracts: Whether decoder_bias is subtracted from the input.
        input_scale: Factor of the input.
        layer: Decoder layer after whose block it reads (hook "resid post"), None where it is not known.
        facts: Model, release, id, format, training.

    Raises:
        DictionaryError: Shapes that do not fit, weights that are no numbers, an unknown activation, a threshold or k
            that is missing.
    """

    encoder: Tensor
    decoder: Tensor
    encoder_bias: Tensor
    decoder_bias: Tensor
    activation: Activation = "relu"
    threshold: Tensor | None = None
    k: int | None = None
    subtracts: bool = False
    input_scale: float = 1.0
    layer: int | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        width, latents = self.encoder.shape
        wanted = {"decoder": (latents, width), "encoder_bias": (latents,), "decoder_bias": (width,)}
        wanted |= {"threshold": (latents,)} if self.threshold is not None else {}
        for name, shape in wanted.items():
            if tuple(getattr(self, name).shape) != shape:
                raise DictionaryError(
                    f"{name} has the shape {tuple(getattr(self, name).shape)}, the encoder asks for {shape}"
                )
        for name in ("encoder", "decoder", "encoder_bias", "decoder_bias"):
            if not bool(getattr(self, name).isfinite().all()):
                raise DictionaryError(f"{name} holds numbers that are none (NaN or infinite)", "fetch or save it again")
        # An infinite threshold switches a latent off.
        if self.threshold is not None and bool(self.threshold.isnan().any()):
            raise DictionaryError("threshold holds NaN", "fetch or save it again")
        if self.activation not in get_args(Activation):
            raise DictionaryError(f"no activation is called '{self.activation}'", f"{', '.join(get_args(Activation))}")
        if self.activation == "jumprelu" and self.threshold is None:
            raise DictionaryError("a JumpReLU dictionary has no threshold")
        if self.activation == "topk" and not self.k:
            raise DictionaryError("a TopK dictionary does not say its k")

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.encoder.shape[0]

    @property
    def latents(self) -> int:
        """Number of latents."""
        return self.encoder.shape[1]

    @property
    def directions(self) -> Tensor:
        """Decoder vectors of length 1, shape (latents, width); 0 for a latent without one."""
        return torch.nn.functional.normalize(self.decoder.float(), dim=-1)

    @cached_property
    def key(self) -> str:
        """Hash of all weights and of the rule: what identifies it among the inputs of a step."""
        tensors = (self.encoder, self.decoder, self.encoder_bias, self.decoder_bias, self.threshold)
        rule = [self.activation, self.k, self.subtracts, self.input_scale]
        return canonical_hash([[None if t is None else t.float().cpu() for t in tensors], rule])

    def __canonical__(self) -> dict[str, Any]:
        """What stands for it among the arguments of a measurement: weights, rule, and which layer it reads."""
        return {"dictionary": self.key, "layer": self.layer}

    def layer_in(self, model: Model, layer: int | None = None) -> int:
        """The layer of a model that it reads: its own, unless another one is named.

        Raises:
            DictionaryError: The widths differ, the model has no such layer, or none is known.
        """
        at = self.layer if layer is None else layer
        if at is None:
            raise DictionaryError("the dictionary does not say which layer it reads", "name the layer")
        if self.width != model.width:
            raise DictionaryError(f"the dictionary reads a width of {self.width}, {model.name} has {model.width}")
        if not 0 <= at < model.n_layers:
            raise DictionaryError(f"the dictionary reads layer {at}, {model.name} has layers 0 to {model.n_layers - 1}")
        return at

    def encode(self, x: Tensor) -> Tensor:
        """Activations of all latents.

        Args:
            x: Residual stream, shape (..., width), any floating type.

        Returns:
            Shape (..., latents), in the dictionary's own type.
        """
        return self.rectify_(self._before(x)).view(*x.shape[:-1], -1)

    def some(self, x: Tensor, latents: Tensor) -> Tensor:
        """Activations of some latents, without the others' where the rule is a latent's own.

        Args:
            x: Residual stream, shape (..., width), any floating type.
            latents: Their numbers, shape (some,).

        Returns:
            Shape (..., some), in the dictionary's own type and place.
        """
        at = latents.to(self.encoder.device)
        if self.activation == "topk":
            return self.encode(x)[..., at]
        threshold = None if self.threshold is None else self.threshold[at]
        columns = replace(
            self, encoder=self.encoder[:, at], decoder=self.decoder[at], encoder_bias=self.encoder_bias[at],
            threshold=threshold,
        )  # fmt: skip
        return columns.encode(x)

    def writes(self, latents: Tensor) -> Tensor:
        """What one unit of each of some latents adds to the residual stream, shape (some, width)."""
        return self.decoder[latents.to(self.decoder.device)] / self.input_scale

    def active(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What fires, without the zeros: few of the latents do, and all that comes after costs as little.

        Args:
            x: Residual stream, shape (tokens, width), any floating type.

        Returns:
            Token, latent and activation (above zero) of each, shape (firings,); in order of tokens.
        """
        before = self._before(x)
        if self.activation == "topk":
            assert self.k is not None
            values, latents = before.topk(min(self.k, self.latents), dim=-1)
            tokens, places = (values > 0).nonzero().unbind(1)
            return tokens, latents[tokens, places], values[tokens, places]
        floor = 0 if self.threshold is None else self.threshold.clamp(min=0)
        cells = _true_cells(before > floor)
        tokens = cells // self.latents
        return tokens, cells - tokens * self.latents, before.view(-1)[cells]

    def _before(self, x: Tensor) -> Tensor:
        """Pre-activations, shape (tokens, latents)."""
        x = x.to(self.encoder) if self.input_scale == 1 else x.to(self.encoder) * self.input_scale
        return torch.addmm(self._bias, x.reshape(-1, self.width), self.encoder)

    @property
    def _bias(self) -> Tensor:
        """The encoder's bias with -b_dec W_enc folded in, so that the input needs no pass of its own."""
        if not self.subtracts:
            return self.encoder_bias
        return self.encoder_bias - self.decoder_bias @ self.encoder

    def rectify_(self, before: Tensor) -> Tensor:
        """Pre-activations to activations, in place where that is possible; shape (tokens, latents)."""
        if self.activation == "relu":
            return before.relu_()
        if self.activation == "topk":
            assert self.k is not None
            values, places = before.topk(min(self.k, before.shape[-1]), dim=-1)
            return torch.zeros_like(before).scatter_(-1, places, values.relu_())
        assert self.threshold is not None
        return before.masked_fill_(before <= self.threshold.clamp(min=0), 0)

    def decode(self, latents: Tensor) -> Tensor:
        """Reconstruction of the residual stream, shape (..., width)."""
        return (latents.to(self.decoder) @ self.decoder + self.decoder_bias) / self.input_scale

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Dictionary:
        """The same dictionary elsewhere, or in another number format."""
        names = ("encoder", "decoder", "encoder_bias", "decoder_bias", "threshold")
        held = {name: getattr(self, name) for name in names}
        return replace(self, **{n: t if t is None else t.to(device=device, dtype=dtype) for n, t in held.items()})


def _true_cells(mask: Tensor) -> Tensor:
    """Places of what is true in the flattened mask, in order; where little is, eight cells are looked at in one."""
    flat = mask.view(-1)
    if len(flat) % 8:
        return flat.nonzero()[:, 0]
    words = flat.view(torch.int64).nonzero()
    cells = (words * 8 + torch.arange(8, device=mask.device)).view(-1)
    return cells[flat[cells]]
