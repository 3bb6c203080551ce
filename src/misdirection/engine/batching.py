"""Batches sized in tokens, and what happens when memory runs out.

A budget says how many tokens (rows times padded length) one batch may hold. It starts from the memory that is free
and is halved whenever a batch does not fit; the batch is then cut and run again, so that a sweep ends instead of
dying.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

from misdirection import progress
from misdirection.models import Model, NotEnoughMemoryError
from misdirection.models.families import numbers_in
from misdirection.models.memory import free_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

CPU_TOKENS = 32_768
"""Largest default budget on a CPU: beyond it a batch no longer gains speed and only takes memory."""


def default_budget(model: Model) -> int:
    """Tokens that a batch may hold so that the key-value cache takes at most a third of the free memory.

    On a CPU it takes no more than a quarter of a gigabyte, or a quarter of what the weights of a large model do: some
    fifty rows at a time multiply as fast as any number (benchmarks/README.md).
    """
    keys, states = _kept(model.lm.config.get_text_config(decoder=True))
    # On a CPU the keys and values of shared prompts are kept in float32.
    itemsize = max(4, model.dtype.itemsize) if model.device.type == "cpu" else model.dtype.itemsize
    a_token = model.n_layers * (keys * itemsize + 4 * states // _SHORT) + 64 * model.width
    if model.device.type == "cuda":
        return max(1024, int(torch.cuda.mem_get_info(model.device)[0] / 3 / a_token))
    weights = _weights(model)
    room = min(free_memory() / 3, max(_KEPT_BYTES, weights / 4))
    return min(CPU_TOKENS, max(1024, int(room / a_token)))


def _weights(model: Model) -> int:
    """Bytes of the model's parameters, counted once for each set of adapters and each type of number."""
    held = _COUNTED.setdefault(model.lm, {})
    key = (model.dtype, len(model.lora))
    if key not in held:
        held[key] = sum(value.numel() * value.element_size() for value in model.lm.parameters())
    return held[key]


_COUNTED: WeakKeyDictionary[Any, dict[tuple[torch.dtype, int], int]] = WeakKeyDictionary()


def pass_budget(model: Model) -> int:
    """Tokens that a pass over whole texts may hold: as above, and on a CPU no more than its caches take.

    A batch whose inner states overflow them is slower, with an adapter up to twice (measured), and gains nothing.
    """
    if model.device.type != "cpu":
        return default_budget(model)
    config = model.lm.config.get_text_config(decoder=True)
    wide = max(numbers_in(config, "intermediate_size"), default=4 * model.width)
    return min(default_budget(model), max(512, _INNER_BYTES // (wide * model.dtype.itemsize)))


_INNER_BYTES = 3 * 2**19
_KEPT_BYTES = 2**28
_SHORT = 64
"""Tokens of a short row, over which what a row keeps whatever its length is spread."""


def _kept(config: Any) -> tuple[int, int]:
    """Numbers that a layer keeps of a token (keys and values) and of a row (recurrent states), at most.

    Settings differ by family, and some are lists with an entry a layer; where a family says nothing of heads (Mamba)
    there are no keys.
    """

    def most(*names: str) -> int:
        return max(numbers_in(config, *names), default=0)

    heads, width = most("num_attention_heads", "n_head"), most("hidden_size")
    head = most("global_head_dim", "head_dim") or (width // heads if heads else 0)
    keys = 2 * (most("num_key_value_heads") or heads) * head
    if latent := most("qk_nope_head_dim"):  # latent attention is kept as the keys and values that it is spread to
        keys = heads * (latent + most("qk_rope_head_dim") + most("v_head_dim"))
    channels = most("mamba_d_ssm", "intermediate_size") or 2 * width
    states = channels * most("state_size", "mamba_d_state", "ssm_state_size")
    delta = most("linear_num_value_heads") * most("linear_key_head_dim") * most("linear_value_head_dim")
    return keys, max(states, delta)


def pack(lengths: Sequence[int], budget: int, kinds: Sequence[str] | None = None) -> list[list[int]]:
    """Cut items into batches of at most `budget` tokens, counted with padding.

    Args:
        lengths: Tokens of each item.
        budget: Tokens a batch; an item longer than that stands alone.
        kinds: Items of one kind (rows of one adapter) stand together, so that only batches at a border mix kinds.

    Returns:
        Lists of indices; within a kind the longest come first, so that memory runs out early or not at all.
    """
    kinds = kinds or [""] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda index: (kinds[index], -lengths[index]))
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, lengths[index])
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def give_back() -> None:
    """Give memory that was freed back to the system, where its C library can.

    glibc keeps what was freed between what is held. Caches that grow, and rows that leave and join, leave holes of
    sizes that no later one has, until a run holds twice what it uses.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None elsewhere."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | NotEnoughMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in ("not enough memory", "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def run_batches(
    items: Sequence[Item],
    length: Callable[[Item], int],
    budget: int,
    run: Callable[[list[Item]], Result],
    kind: Callable[[Item], str] = lambda _: "",
) -> Iterator[tuple[list[Item], Result]]:
    """Run all items in length-sorted batches, halving the budget when memory runs out.

    Yields:
        Each batch's items with its result.

    Raises:
        NotEnoughMemoryError: A single item does not fit.
    """
    waiting = list(items)
    while waiting:
        batches = pack([length(item) for item in waiting], budget, [kind(item) for item in waiting])
        done: set[int] = set()
        for batch in batches:
            chosen = [waiting[index] for index in batch]
            result = attempt(run, chosen)
            if result is None:
                budget = halved([length(item) for item in chosen])
                break
            done.update(batch)
            yield chosen, result[0]
        waiting = [item for index, item in enumerate(waiting) if index not in done]


def halved(lengths: Sequence[int]) -> int:
    """The budget after a batch of rows of these lengths did not fit.

    Raises:
        NotEnoughMemoryError: It was a single row.
    """
    if len(lengths) == 1:
        raise NotEnoughMemoryError(
            f"one row of {lengths[0]} tokens does not fit in memory",
            "ask for fewer new tokens, a smaller dtype, or a larger device",
        )
    budget = max(1, max(lengths) * len(lengths) // 2)
    progress.say(f"memory ran out at {len(lengths)} rows; going on with {budget} tokens a batch")
    return budget


def attempt(run: Callable[[Item], Result], item: Item) -> tuple[Result] | None:
    """The result in a tuple, or None when memory ran out (the error, and what its frames hold, is dropped first)."""
    try:
        return (run(item),)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
