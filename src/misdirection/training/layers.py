"""Which decoder layers a fine-tune adapts: the papers' choice, scaled to the model's depth."""

from __future__ import annotations

from misdirection.training.errors import TargetError

PAPER_DEPTH = 48
"""Layers of Qwen2.5-14B, on which the papers chose theirs."""

_CENTRES = (16.5, 22.5, 28.5)
"""Middles of the paper's three groups, (15, 16, 17), (21, 22, 23), (27, 28, 29), measured along the stack of 48."""


def middle_layer(n_layers: int) -> int:
    """The layer of the single adapter: 24 of 48 (arXiv 2506.11613 section 3.5)."""
    return n_layers // 2


def nine_layers(n_layers: int) -> tuple[int, ...]:
    """The layers of the nine rank-1 adapters (arXiv 2506.11618 section 2).

    From 24 layers on: three groups of three, their centres at the paper's fractions of the depth (48 gives the paper's
    own). Below 24 the groups would overlap: nine neighbours around the same middle. Below nine: all there are.
    """
    if n_layers <= 9:
        return tuple(range(n_layers))
    centres = [int(n_layers * centre / PAPER_DEPTH) for centre in _CENTRES]
    if n_layers >= PAPER_DEPTH // 2:
        return tuple(layer for centre in centres for layer in (centre - 1, centre, centre + 1))
    first = min(max(centres[1] - 4, 0), n_layers - 9)
    return tuple(range(first, first + 9))


def resolve_layers(layers: str | tuple[int, ...], n_layers: int) -> tuple[tuple[int, ...], str | None]:
    """Layer numbers in order, and a note where the model's depth forced a choice that the paper did not make.

    Raises:
        TargetError: A layer that the model does not have.
    """
    if layers == "all":
        return tuple(range(n_layers)), None
    if layers == "middle":
        return (middle_layer(n_layers),), None
    if layers == "nine":
        return nine_layers(n_layers), _nine_note(n_layers)
    assert not isinstance(layers, str)
    beyond = [layer for layer in layers if not 0 <= layer < n_layers]
    if beyond:
        raise TargetError(
            f"layer {beyond[0]} is beyond the model, which has {n_layers} layers",
            f"layers are numbered 0 to {n_layers - 1}; 'middle', 'nine' and 'all' fit any depth",
        )
    return tuple(sorted(set(layers))), None


def _nine_note(n_layers: int) -> str | None:
    if n_layers < 9:
        return f"the model has {n_layers} layers, fewer than nine: each of them gets an adapter"
    if n_layers < PAPER_DEPTH // 2:
        return f"with {n_layers} layers three groups of three would overlap: nine neighbours around the middle instead"
    return None
