"""What can be done to a model while it runs, as small frozen dataclasses that compose.

All residual-stream interventions act on the output of a decoder layer (the residual stream after block l). Directions
are vectors of shape (width,), used at every named layer, or (n_layers, width), of which layer l uses row l.

Positions are "all" tokens (Soligo et al. 2506.11618), the "prompt" only, or the "answer": the last prompt token and
every generated token, the positions whose output becomes the answer (Chen et al. 2507.21509, `response`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor

from misdirection.errors import MisdirectionError

Positions = Literal["all", "prompt", "answer"]
POSITIONS = ("all", "prompt", "answer")


class InterventionError(MisdirectionError):
    """An intervention does not fit the model."""


class _InTheStream:
    """What acts along a direction at some layers, made of what a notebook has at hand.

    The direction may be a tensor, an array, numbers, or an object with `vectors` (a `Direction`); the layers one number
    or several.

    Raises:
        MisdirectionError: They are neither, or the positions are none of `Positions`.
    """

    direction: Tensor
    layers: tuple[int, ...]
    positions: Positions

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _tensor(self.direction, type(self).__name__))
        object.__setattr__(self, "layers", _layers(self.layers, type(self).__name__))
        _check_positions(self.positions, type(self).__name__)


def _check_positions(given: str, name: str) -> None:
    if given not in POSITIONS:
        raise MisdirectionError(f"{name}: there are no positions {given!r}", "all, prompt or answer")


def _tensor(given: Any, name: str) -> Tensor:
    held = getattr(given, "vectors", given)
    try:
        found = held if isinstance(held, Tensor) else torch.as_tensor(held, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MisdirectionError(
            f"{name}: {type(given).__name__} is no direction",
            "a tensor of shape (width,) or (n_layers, width)",
        ) from error
    return found


def _layers(given: Any, name: str) -> tuple[int, ...]:
    try:
        return (index(given),) if not _several(given) else tuple(index(layer) for layer in given)
    except TypeError as error:
        raise MisdirectionError(f"{name}: {given!r} names no layers", "layers=6, or several: layers=(6, 7)") from error


def _several(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str | Tensor)


@dataclass(frozen=True, eq=False)
class Steer(_InTheStream):
    """Add `coefficient * direction`: x' = x + coefficient * v.

    The direction is used as it is, not normalised, as in 2506.11618 section 3.2 and 2507.21509 section 3.2.
    """

    direction: Tensor
    layers: tuple[int, ...]
    coefficient: float
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class Ablate(_InTheStream):
    """Project the direction out: x' = x - v_hat v_hat^T x (2506.11618 section 3.4)."""

    direction: Tensor
    layers: tuple[int, ...]
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class Set(_InTheStream):
    """Replace the component along the direction: x' = x + (value - v_hat^T x) v_hat.

    `value` is in units of the residual stream, one number for every layer or one a layer, shape (n_layers,): for
    instance the mean component of aligned answers (the feature induction of 2412.10427 with another target).
    """

    direction: Tensor
    layers: tuple[int, ...]
    value: float | Tensor
    positions: Positions = "all"


@dataclass(frozen=True, eq=False)
class Cap(_InTheStream):
    """Take off the excess of the component over a threshold: x' = x - max(v_hat^T x - tau, 0) v_hat.

    Activation capping (Lu et al. 2601.10387). The direction points to what is unwanted, so that the cap is an upper
    bound; a token whose component is lower is left as it is.

    Attributes:
        thresholds: tau in units of the residual stream: one number for every layer, one a layer in a tensor of shape
            (n_layers,), or numbers by layer; for instance a quantile of reference answers
            (`directions.levels`).
    """

    direction: Tensor
    layers: tuple[int, ...]
    thresholds: float | Tensor | Mapping[int, float]
    positions: Positions = "all"


class Latents(Protocol):
    """What `Clamp` needs of a dictionary; `features.Dictionary` is one."""

    @property
    def layer(self) -> int | None:
        """Decoder layer that it reads, None where it is not known."""
        ...

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        ...

    @property
    def latents(self) -> int:
        """Number of latents."""
        ...

    def some(self, x: Tensor, latents: Tensor) -> Tensor:
        """Activations of some latents, shape (..., some)."""
        ...

    def writes(self, latents: Tensor) -> Tensor:
        """What one unit of each adds to the residual stream, shape (some, width)."""
        ...


@dataclass(frozen=True, eq=False)
class Clamp:
    """Hold latents of a dictionary at a value: x' = x + sum_k (value - f_k(x)) d_k.

    f_k is a latent's activation and d_k what one unit of it adds to the residual stream; what the dictionary does not
    reconstruct stays as it is (Templeton et al. 2024, "Scaling Monosemanticity", feature steering). Several latents are
    read from the same x. The activations of x' itself may differ from the value where decoder vectors of other latents
    are no unit vectors of the encoder.

    Attributes:
        dictionary: Its encoder and decoder, such as `features.load_dictionary` gives.
        latents: One number or several.
        value: In units of the latents, one for all or one a latent; 0 takes them out.
        layers: The dictionary's own layer unless named; one alone.

    Raises:
        MisdirectionError: No such latents, values of another number, no layer, or no such positions.
    """

    dictionary: Latents
    latents: tuple[int, ...]
    value: float | Tensor = 0.0
    layers: tuple[int, ...] = ()
    positions: Positions = "all"

    def __post_init__(self) -> None:
        """Numbers alone stand for tuples of one."""
        own = self.dictionary.layer
        layers = self.layers if self.layers != () or own is None else own
        object.__setattr__(self, "layers", _layers(layers, "Clamp"))
        object.__setattr__(self, "latents", _latents(self.latents, self.dictionary.latents))
        _check_positions(self.positions, "Clamp")
        if len(self.layers) != 1:
            raise MisdirectionError(
                f"Clamp: a dictionary reads one layer, and {len(self.layers)} are named",
                "name the one that it reads",
            )
        values = torch.as_tensor(self.value, dtype=torch.float32)
        if values.numel() not in (1, len(self.latents)) or not bool(values.isfinite().all()):
            raise MisdirectionError(
                f"Clamp: {values.numel()} values for {len(self.latents)} latents, all of which must be numbers",
                "one value for all, or one a latent",
            )
        object.__setattr__(self, "value", values.flatten().expand(len(self.latents)))


def _latents(given: Any, count: int) -> tuple[int, ...]:
    try:
        found = (index(given),) if not _several(given) else tuple(index(one) for one in given)
    except TypeError as error:
        raise MisdirectionError(
            f"Clamp: {given!r} names no latents", "latents=6, or several: latents=(6, 7)"
        ) from error
    if not found or len(set(found)) < len(found) or any(not 0 <= one < count for one in found):
        raise MisdirectionError(
            f"Clamp: latents {found} of a dictionary of {count}", f"different ones of 0..{count - 1}"
        )
    return found


@dataclass(frozen=True, eq=False)
class ScaleAdapter:
    """Multiply the output of the row's adapter layer by layer (2506.11618 section 4.3).

    Layers that `factors` does not name are multiplied by `others`.
    """

    factors: Mapping[int, float]
    others: float = 1.0


@dataclass(frozen=True, eq=False)
class PatchAdapter:
    """Replay recorded scalars A·x: token t of the row gets `scalars[module][t]`, as long as there are any.

    2506.11618 appendix J.

    Attributes:
        scalars: By module path, as `capture_scalars` returns them, shape (tokens, rank).
    """

    scalars: Mapping[str, Tensor]


InStream = Steer | Ablate | Set | Cap | Clamp
"""What acts on the residual stream; the others act on the row's adapter."""

Intervention = InStream | ScaleAdapter | PatchAdapter

_KINDS = (Steer, Ablate, Set, Cap, Clamp, ScaleAdapter, PatchAdapter)


@dataclass(frozen=True, eq=False)
class Arm:
    """A condition under which rows are run.

    Attributes:
        name: How reports call it.
        adapter: The adapter that is on, None for the base model.
        interventions: Applied in order; one alone may be given as it is.

    Raises:
        MisdirectionError: Something else stands among the interventions.
    """

    name: str
    adapter: str | None = None
    interventions: tuple[Intervention, ...] = field(default=())

    def __post_init__(self) -> None:
        """One intervention is a tuple of one."""
        given: Any = self.interventions
        found = (given,) if isinstance(given, _KINDS) else tuple(cast(Sequence[Any], given)) if _several(given) else ()
        if (not found and given not in ((), [])) or not all(isinstance(one, _KINDS) for one in found):
            wrong = next((one for one in found if not isinstance(one, _KINDS)), given)
            raise MisdirectionError(
                f"arm '{self.name}': {type(wrong).__name__} is no intervention",
                "Steer, Ablate, Set, Cap, Clamp ...",
            )
        object.__setattr__(self, "interventions", found)
