"""What a model remembers of the tokens that it has read: keys and values, convolution windows, recurrent states.

The stock dynamic cache concatenates at every step, so that step t copies t tokens of every layer. Here a layer of
attention over all tokens writes into spare room and hands out a view; room is taken geometrically, and rows that leave
are dropped in one gather. All other layers (sliding windows, recurrent and shared ones) keep the library's own class,
whose size is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from misdirection.models.errors import ModelError
from misdirection.models.families import (
    CACHE_CLASSES,
    MODULE_STATES,
    NO_SAMPLING,
    SKIPS_PADDING,
    cache_argument,
    family_of,
    makes_its_states,
    takes_positions,
)

if TYPE_CHECKING:
    from misdirection.models import Model


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, shape (rows, heads, tokens, head width), as views into larger buffers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens and return all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        assert self.keys is not None
        assert self.values is not None
        length, new = self.keys.shape[-2], key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < length + new:
            room = length + new + 32 + length // 4
            self._buffers = (_grown(self.keys, room), _grown(self.values, room))
        keys, values = self._buffers
        keys[..., length : length + new, :] = key_states
        values[..., length : length + new, :] = value_states
        self.keys, self.values = keys[..., : length + new, :], values[..., : length + new, :]
        return self.keys, self.values

    def hold(self, keys: Tensor, values: Tensor) -> None:
        """Take other keys and values in the place of its own."""
        self.keys, self.values, self._buffers = keys, values, None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep (and repeat) the rows named by `indices`."""
        self._buffers = None
        super().batch_select_indices(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._buffers = None
        super().batch_repeat_interleave(repeats)


def _grown(states: Tensor, room: int) -> Tensor:
    buffer = states.new_empty(*states.shape[:-2], room, states.shape[-1])
    buffer[..., : states.shape[-2], :] = states
    return buffer


_LISTS = ("linear_cache", "module_states")
"""Lists of states that a cache holds beside its layers: MiniMax's, and those of modules that keep their own."""


@dataclass
class StateCache:
    """States that a model makes itself and takes back whole (RWKV, xLSTM), None before the first pass."""

    held: Any = None


def new_cache(model: Model) -> Any:
    """An empty cache for a model, with growing layers wherever attention is over all tokens.

    Raises:
        ModelError: The family keeps nothing that sampling could go on from.
    """
    family, lacks = family_of(model.lm), None
    if family in NO_SAMPLING:
        lacks = NO_SAMPLING[family]
    elif cache_argument(model.lm) is None:
        lacks = "takes no cache"
    elif not takes_positions(model.lm):
        lacks = "cannot be told where a row's tokens stand"
    if lacks is not None:
        raise ModelError(
            f"{model.name or 'this model'} cannot be sampled: a model of the family {family} {lacks}",
            "its texts can still be captured and compared by likelihood",
        )
    if makes_its_states(model.lm):
        return StateCache()
    if family in CACHE_CLASSES:
        module, name = CACHE_CLASSES[family].rsplit(".", 1)
        return _counting_by_attention(getattr(import_module(module), name)())
    try:
        cache = DynamicCache(config=model.lm.config)
    except KeyError as error:
        raise ModelError(
            f"{model.name or 'this model'} cannot be sampled: the family {family} has cache layers of a kind that "
            f"transformers makes for no other ({error})"
        ) from error
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if family in MODULE_STATES:
        setattr(cache, _LISTS[1], [None] * len(_keepers(model)))
    return cache


def _counting_by_attention(cache: Any) -> Any:
    """MiniMax's own cache asks its first layer how many tokens there are, and that one is linear and holds none."""

    def layer() -> Any:
        return next((layer for layer in cache.layers if getattr(layer, "keys", None) is not None), None)

    cache.get_seq_length = lambda layer_idx=0: layer().get_seq_length() if layer() else 0
    cache.get_mask_sizes = lambda new, layer_idx=0: layer().get_mask_sizes(new) if layer() else (new, 0)
    return cache


def _keepers(model: Model) -> list[tuple[nn.Module, str]]:
    """Modules that keep states themselves, and by what name."""
    # Asked at every token: no other family's modules are gone through.
    if not (names := MODULE_STATES.get(family_of(model.lm), ())):
        return []
    return [(module, name) for module in model.decoder.modules() for name in names if hasattr(module, name)]


@contextmanager
def states_lent(model: Model, cache: Any) -> Generator[None]:
    """While open, modules that keep states themselves have those of this cache."""
    keepers = _keepers(model)
    if not keepers:
        yield
        return
    for (module, name), states in zip(keepers, cache.module_states, strict=True):
        setattr(module, name, states)
    try:
        yield
    finally:
        cache.module_states = [getattr(module, name) for module, name in keepers]
        for module, name in keepers:
            setattr(module, name, None)


def left_padded(cache: Any, seen: Tensor) -> Tensor | None:
    """Set padding that stands among the tokens of rows before them, and leave out what no row needs.

    Args:
        cache: Of attention over all tokens alone.
        seen: False at padding, shape (rows, tokens).

    Returns:
        The attention mask as it is then, shape (rows, longest); None where nothing is padding.
    """
    longest = int(seen.sum(1).max())
    order = seen.int().argsort(dim=1, stable=True)[:, -longest:]
    mask = seen.gather(1, order)
    moved = order if bool((order.diff() != 1).any()) else None
    for layer in cache.layers:
        keys, values = (_moved(states, moved, longest) for states in (layer.keys, layer.values))
        layer.hold(keys, values)
    return None if bool(mask.all()) else mask.long()


def _moved(states: Tensor, order: Tensor | None, longest: int) -> Tensor:
    if order is None:
        return states[..., -longest:, :]
    rows, heads, tokens, width = states.shape
    # As rows of one table, which are copied whole.
    places = torch.arange(rows * heads).view(rows, heads, 1) * tokens + order[:, None]
    chosen = states.reshape(-1, width).index_select(0, places.flatten().to(states.device))
    return chosen.view(rows, heads, longest, width)


def joins_unpadded(model: Model) -> bool:
    """Whether prompts of unequal length must be run apart: some layer would take padding into its state."""
    if family_of(model.lm) in SKIPS_PADDING:
        return False
    cache = new_cache(model)
    if isinstance(cache, StateCache) or any(hasattr(cache, name) for name in _LISTS):
        return True
    return any(hasattr(layer, "recurrent_states") for layer in cache.layers)


def select_rows(cache: Any, indices: Tensor) -> None:
    """Keep (and repeat) the rows named by `indices` in everything that a cache holds."""

    def choose(states: Tensor) -> Tensor:
        return states.index_select(0, indices.to(states.device))

    if isinstance(cache, StateCache):
        _change(cache.held, [], lambda states, _: choose(states))
        return
    for layer in cache.layers:
        _change_states(layer, [], lambda states, _: choose(states))
        if getattr(layer, "keys", None) is not None:
            layer.batch_select_indices(indices.to(layer.keys.device))
    for name in _LISTS:
        _change(getattr(cache, name, None), [], lambda states, _: choose(states))


def join_rows(caches: Sequence[Any]) -> Any:
    """The rows of several caches of one model in one, keys and values aligned at their last token.

    What stands before a row's first token is zeros, to be hidden by the attention mask.
    """
    first, others = caches[0], caches[1:]
    if isinstance(first, StateCache):
        _change(first.held, [cache.held for cache in others], _stacked)
        return first
    for place, layer in enumerate(first.layers):
        beside = [cache.layers[place] for cache in others]
        _change_states(layer, beside, _stacked)
        if getattr(layer, "keys", None) is None:
            continue
        every = [layer, *beside]
        longest = max(one.keys.shape[-2] for one in every)
        for name in ("keys", "values"):
            padded = [nn.functional.pad(x := getattr(one, name), (0, 0, longest - x.shape[-2], 0)) for one in every]
            setattr(layer, name, torch.cat(padded))
            for one in beside:  # nobody else's any more, and all of them are as large as what they are joined to
                setattr(one, name, None)
        if isinstance(layer, RoomyLayer):
            layer.hold(*(getattr(layer, name) for name in ("keys", "values")))
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = max(one.cumulative_length for one in every)
    for name in _LISTS:
        _change(getattr(first, name, None), [getattr(cache, name, None) for cache in others], _stacked)
    return first


def _stacked(states: Tensor, others: Sequence[Tensor]) -> Tensor:
    return torch.cat([states, *others])


_Change = Callable[[Tensor, "list[Tensor]"], Tensor]


def _change_states(layer: Any, beside: Sequence[Any], change: _Change) -> None:
    """Change the convolution and recurrent states of a layer, with those of layers of other caches."""
    for name in ("conv_states", "recurrent_states"):
        _change(getattr(layer, name, None), [getattr(other, name, None) for other in beside], change)


def _change(held: Any, beside: Sequence[Any], change: _Change) -> None:
    """Change every tensor inside lists, dictionaries of tensors or tuples, and xLSTM's cache, in place."""
    held, beside = (getattr(held, "rnn_state", held), [getattr(other, "rnn_state", other) for other in beside])
    if held is None:
        return
    for key in held if isinstance(held, dict) else range(len(held)):  # pyright: ignore[reportUnknownVariableType]
        value, others = held[key], [other[key] for other in beside]
        if isinstance(value, tuple):
            parts = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            _change(parts, others, change)
            held[key] = tuple(parts)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, Tensor):
            held[key] = change(value, others)
