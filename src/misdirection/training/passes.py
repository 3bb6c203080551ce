"""A step's rows in as few passes as are worth it: grouped by length, what they begin with run once.

Which rows go together changes no gradient: the loss is a sum over the labels of the whole step. So `batch_size` and
`accumulation` say how many rows a step has, and this file how they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from misdirection.models.families import PLAIN_ATTENTION, cache_argument, numbers_in
from misdirection.models.memory import free_memory
from misdirection.training.data import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENS = {"cpu": 512}
"""Padded tokens of a pass. More are no faster on a CPU (measured: the caches overflow), and take memory."""

_ON_A_DEVICE = 8192
_START = {"cpu": 48}
"""What it costs to begin a pass, in tokens."""

_LOGITS = 2**26
"""Labels times vocabulary of a pass: with the gradient 256 MB in bfloat16."""

_BESIDE = 4
"""What a label of a chat elsewhere counts: two models' logits are kept, and their log-probabilities in float32."""

RULE = 1
"""Version of how rows go into passes: another one sums in another order, so that the last bits differ."""

_SHORTEST = 8
"""Shared tokens below which a pass of their own does not pay."""


def budget(lm: PreTrainedModel) -> int:
    """Padded tokens that a pass may hold: fixed for a kind of device, less where memory is scarce.

    A token keeps about 24 numbers of the width and 8 of the inner width a layer for the backward pass.
    """
    config = lm.config.get_text_config(decoder=True)
    width = int(config.hidden_size)
    inner = max(numbers_in(config, "intermediate_size"), default=4 * width)
    a_token = int(config.num_hidden_layers) * (24 * width + 8 * inner) * lm.dtype.itemsize
    free = torch.cuda.mem_get_info(lm.device)[0] if lm.device.type == "cuda" else free_memory()
    tokens = _TOKENS.get(lm.device.type, _ON_A_DEVICE)
    while tokens > 1 and tokens * a_token > free / 2:
        tokens //= 2
    return tokens


def cut(rows: Sequence[Row], tokens: int, vocabulary: int, device: str) -> list[list[Row]]:
    """The rows of a step in passes, so that padding and the passes' beginnings together cost least.

    Args:
        rows: Of one optimiser step.
        tokens: Padded tokens that a pass may hold, those of chats elsewhere included; a longer row stands alone.
        vocabulary: Labels times vocabulary are bounded too.
        device: Type of the device, for what a pass costs.
    """
    start = _START.get(device, 1024)
    order = sorted(rows, key=lambda row: -_longest(row))
    # best[n]: the least cost of the first n rows, and where the last pass of it begins.
    best: list[tuple[int, int]] = [(0, 0)]
    for past in range(1, len(order) + 1):
        found: tuple[int, int] | None = None
        for first in range(past - 1, -1, -1):
            some = order[first:past]
            cost = _padded(some)
            labels = sum(row.learned + _BESIDE * sum(other.learned for other in row.beside) for row in some)
            if found is not None and (cost > tokens or labels * vocabulary > _LOGITS):
                break
            whole = best[first][0] + cost + start
            if found is None or whole < found[0]:
                found = (whole, first)
        assert found is not None
        best.append(found)
    passes: list[list[Row]] = []
    past = len(order)
    while past:
        first = best[past][1]
        passes.append(order[first:past])
        past = first
    return passes[::-1]


def _longest(row: Row) -> int:
    return max(len(row.ids), *(len(other.ids) for other in row.beside), 0)


def _padded(rows: Sequence[Row]) -> int:
    beside = [len(other.ids) for row in rows for other in row.beside]
    return max(len(row.ids) for row in rows) * len(rows) + max(beside, default=0) * len(beside)


def can_begin_together(lm: PreTrainedModel) -> bool:
    """Whether rows may attend to one run of what they begin with: plain attention over a plain cache."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=lm.config).layers
    return lm.config.model_type in PLAIN_ATTENTION and all(type(layer) is DynamicLayer for layer in layers)


def shared_beginning(rows: Sequence[Row]) -> int:
    """Tokens that all rows begin with, at least two of each row left to predict from; 0 where they are too few."""
    if len(rows) < 2:
        return 0
    most = min(row.start for row in rows) - 1
    first = rows[0].ids
    count = next((n for n in range(most) if any(row.ids[n] != first[n] for row in rows)), most)
    return count if count >= _SHORTEST else 0


def beginning(lm: Any, ids: torch.Tensor, rows: int) -> dict[str, Any]:
    """The cache behind tokens that `rows` rows begin with, by its argument's name; run once, with its gradient.

    Args:
        lm: The model in training.
        ids: Token ids, shape (tokens,).
        rows: How many rows go on from it.
    """
    from transformers import DynamicCache

    inner = lm.get_base_model() if hasattr(lm, "get_base_model") else lm
    cache = DynamicCache(config=inner.config)
    argument = str(cache_argument(inner))
    inner.get_decoder()(input_ids=ids[None], use_cache=True, **{argument: cache})
    cache.batch_repeat_interleave(rows)
    return {argument: cache}
