"""How long a text a model can read: its positions, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from misdirection.models.errors import ModelError
from misdirection.models.families import POSITION_TABLES, family_of
from misdirection.models.resident import Model
from misdirection.positions import positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fitting_length(model: Model, prompts: Mapping[str, int], new_tokens: int) -> int:
    """Longest answer that the prompts leave room for: `new_tokens`, or fewer where positions are a table that ends.

    Rotary positions go on beyond the number that a model was trained with, and its answers get worse: that is said in
    the model's warnings.

    Args:
        model: The resident model.
        prompts: Length in tokens of each prompt, by its key.
        new_tokens: Longest answer that is asked for.

    Raises:
        ModelError: A prompt alone does not fit.
    """
    limit = longest_text(model.lm)
    if limit is None or not prompts:
        return new_tokens
    long = [key for key, length in prompts.items() if length >= limit]
    if long:
        raise ModelError(
            f"{len(long)} of {len(prompts)} prompts leave {model.name} no position to answer at: it has {limit:,}, and "
            f"'{long[0].partition('#')[0]}' alone is {prompts[long[0]]:,} tokens long",
            "shorten the question or its system prompt, or leave it out",
        )
    near = [key for key, length in prompts.items() if length + new_tokens > limit]
    if not near:
        return new_tokens
    room = limit - max(prompts.values())
    count = f"{len(near)} of {len(prompts)} prompts and {new_tokens:,} new tokens are more than the {limit:,} positions"
    if _is_a_table(model, limit):
        model.warn(f"{count} of {model.name}: every answer is cut at {room:,} tokens")
        return room
    model.warn(
        f"{count} that {model.name} was made for: what it says beyond them is not to be trusted; "
        f"--max-new-tokens {room} fits"
    )
    return new_tokens


def demand_positions(model: Model, longest: int, what: str) -> None:
    """Refuse what would reach beyond the last position of a table, before anything runs.

    Args:
        model: The resident model.
        longest: Tokens of the longest text, with those that are still to be drawn.
        what: Needs them, in the plural.

    Raises:
        ModelError: The table ends before.
    """
    limit = longest_text(model.lm)
    if limit is not None and longest > limit and _is_a_table(model, limit):
        raise ModelError(
            f"{what} take up to {longest:,} positions, and {model.name or 'this model'} has a table of {limit:,}",
            "shorten the texts, or ask for fewer new tokens",
        )


def longest_text(lm: PreTrainedModel) -> int | None:
    """Tokens of the longest text that a model was made for, None where there is no end (`positions.positions_of`)."""
    return positions_of(lm.config.get_text_config(decoder=True))


def _is_a_table(model: Model, limit: int) -> bool:
    """Whether there is no position behind the last: each has a learned vector (GPT-2, OPT), or a line of a table."""
    if family_of(model.lm) in POSITION_TABLES:
        return True
    words = model.lm.get_input_embeddings()
    return any(
        isinstance(module, nn.Embedding) and module is not words and limit <= module.num_embeddings <= limit + 2
        for module in model.decoder.modules()
    )
