"""What is true of one family of models and not of another, in one table.

Families are named by the `model_type` of their text configuration. What can be read off a model (its forward's
arguments, the classes of its cache) is read off, so that a new family needs no line here unless it departs from its
library's own conventions.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LAYER_LIST_NAMES = ("layers", "h", "blocks")
"""Names of the list of decoder layers: most families; GPT-2, GPT-Neo, Bloom, Falcon, RecurrentGemma's kin; MPT, RWKV,
xLSTM."""

CACHE_CLASSES = {"minimax": "transformers.models.minimax.modeling_minimax.MiniMaxCache"}
"""Families that accept no cache but their own."""

SKIPS_PADDING = frozenset(
    {
        "bamba", "falcon_h1", "granitemoehybrid", "jamba", "lfm2", "lfm2_moe", "mamba2", "nemotron_h",
        "olmo_hybrid", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next",
    }
)  # fmt: skip
"""Families with recurrent layers that leave padding on the left out of their states, as they were seen to do; prompts
of all others are run in groups of one length."""

MODULE_STATES = {"recurrent_gemma": ("conv1d_state", "recurrent_states")}
"""Families whose modules keep their states themselves: the names of these attributes."""

NO_SAMPLING = {"rwkv": "goes on from its states right for one row only: transformers takes further rows for tokens"}
"""Families whose cache is there and cannot be used, and why."""

NO_POSITIONS_NEEDED = frozenset({"bloom", "mpt"})
"""Families whose forward takes no positions and that need none: ALiBi, from the attention mask or by distance."""

POSITION_TABLES = frozenset({"codegen", "gptj", "mpt"})
"""Families with a table of positions that is no embedding: sines and cosines, ALiBi's distances made once."""

PLAIN_ATTENTION = frozenset({"gpt_neox", "llama", "mistral", "olmo2", "qwen2", "qwen3"})
"""Families whose attention is plain and goes through transformers' interface with the caller's arguments."""

SEVERAL_STREAMS = frozenset({"deepseek_v4", "glm5_next", "hy_v4", "qwen4_exp", "qwen4_exp_text"})
"""Families with hyper-connections: several residual streams, none of which is the one that layers read and write."""

MLP_OUT = ("mlp.down_proj", "mlp.dense_4h_to_h", "mlp.c_proj", "mlp.fc2", "mlp.fc_out", "fc2", "feed_forward.w2")
"""The projection from the MLP back to the residual stream, in order: Qwen, Llama, Gemma, OLMo and Mistral; GPT-NeoX;
GPT-Neo and GPT-2; Phi; GPT-J; OPT; InternLM."""

WRITERS = (
    "down_proj", "dense_4h_to_h", "c_proj", "fc2", "fc_out", "w2", "o_proj", "out_proj", "wo", "attention.dense",
    "self_attn.dense", "self_attention.dense",
)  # fmt: skip
"""Modules whose output is added to the residual stream, by the end of their path."""

POST_NORMED = (
    "exaone4", "flex_olmo", "gemma2", "gemma3", "gemma3_text", "gemma3n_text", "gemma4_text", "gemma4_unified_text",
    "glm4", "olmo2", "olmo3", "olmo_hybrid",
)  # fmt: skip
"""Model types that norm what a block writes before it is added to the residual stream: B is then no vector of it."""

NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "embedding_norm")
"""Names of the norm before the unembedding: Qwen, Llama, Gemma, OLMo, GPT-OSS; GPT-NeoX; OPT, Phi; GPT-Neo, GPT-2."""

_MAKES_ITS_STATES = frozenset({"rwkv", "xlstm"})
"""Families that make their states in the first pass and return them, with the output's field named as the argument."""

RECURRENT = frozenset({"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"})
"""Families without any attention: their cache holds states alone, and no mask of the tokens so far is asked for."""

Argument = Literal["past_key_values", "cache", "cache_params", "state"]
_ARGUMENTS: tuple[Argument, ...] = ("past_key_values", "cache_params", "state", "cache")
"""From transformers 5.24 on `cache` everywhere but in RWKV; the first two before."""


def family_of(lm: PreTrainedModel) -> str:
    """The model type of the text decoder."""
    return str(lm.config.get_text_config(decoder=True).model_type)


def numbers_in(config: Any, *names: str) -> tuple[int, ...]:
    """Whole numbers that a text configuration gives for the first of some settings that it has, one or one a layer.

    Gemma 4 and Nemotron's searched architectures have other heads in some layers than in others: transformers gives
    such a setting layer by layer, and raises where it is read from the whole.
    """
    for name in names:
        try:
            found: Any = getattr(config, name, None)
        except RuntimeError:
            found = [getattr(layer, name, None) for layer in config.per_layer_config]
        held: list[Any] = list(found) if isinstance(found, list | tuple) else [found]  # pyright: ignore
        if numbers := tuple(number for number in held if isinstance(number, int) and number > 0):
            return numbers
    return ()


def cache_argument(lm: PreTrainedModel) -> Argument | None:
    """How a model's forward calls its cache; None where it takes none."""
    there = _parameters(lm)
    found: Argument | None = next((name for name in _ARGUMENTS if name in there), None)
    # XLM's `cache` is a mapping of its own.
    return None if found == "cache" and "Cache" not in str(there[found].annotation) else found


def takes_positions(lm: PreTrainedModel) -> bool:
    """Whether rows may stand at different positions: they are told, or nothing depends on them."""
    return "position_ids" in _parameters(lm) or family_of(lm) in NO_POSITIONS_NEEDED | RECURRENT


def makes_its_states(lm: PreTrainedModel) -> bool:
    """Whether the cache is made by the model's first pass and read from its output."""
    return family_of(lm) in _MAKES_ITS_STATES


def _parameters(lm: PreTrainedModel) -> Any:
    return inspect.signature(type(lm).forward).parameters
