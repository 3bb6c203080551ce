"""Which tensors of a checkpoint write to the residual stream, family by family, and which families have no such list.

What a tensor writes can be projected exactly where its output is added to the stream as it is, or times a number. A
norm between them divides by the length of what is written, which the projection changes: such families are refused. So
are families that were not tried; those of `WRITTEN_STRAIGHT` are, each as a tiny model beside hooks at the same places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from misdirection.models.families import LAYER_LIST_NAMES, POST_NORMED, SEVERAL_STREAMS, WRITERS
from misdirection.models.quantised import method_of
from misdirection.repair.checkpoint import ModelFolder
from misdirection.repair.errors import RepairError

Kind = Literal["embedding", "matrix", "bias"]

WRITTEN_STRAIGHT = frozenset(
    {
        "apertus", "arcee", "bamba", "biogpt", "bitnet", "codegen", "cohere", "cohere2", "cwm", "deepseek_v2",
        "deepseek_v3", "diffllama", "dots1", "ernie4_5", "falcon", "falcon_h1", "falcon_mamba", "gemma", "glm",
        "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "helium",
        "hunyuan_v1_dense", "hunyuan_v1_moe", "internlm3", "jamba", "kimi_linear", "lfm2", "lfm2_moe", "llama",
        "llama4_text", "mamba", "mamba2", "minimax_m2", "ministral", "mistral", "mixtral", "mpt", "nemotron",
        "nemotron_h", "olmo", "olmoe", "persimmon", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3",
        "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "seed_oss", "smollm3", "stablelm", "starcoder2",
        "vaultgemma",
    }
)  # fmt: skip
"""Families whose blocks add what these tensors write to the stream as it is, or times a constant."""

EMBEDDINGS = (
    "embed_tokens", "wte", "wpe", "embed_in", "word_embeddings", "embed_positions", "position_embeddings", "embeddings",
)  # fmt: skip
"""Tables whose rows begin the residual stream, tokens' and positions', by the end of their name."""

TURNED = frozenset({"gpt2"})
"""Families whose linear layers are stored as (inputs, outputs): GPT-2's Conv1D."""

WIDTH_LAST = frozenset({"gpt_oss", "llama4_text"})
"""Families that store all experts' last matrices as one tensor (experts, inputs, width)."""

_IN_LAYER = re.compile(rf"(?:^|\.)(?:{'|'.join(LAYER_LIST_NAMES)})\.(\d+)\.(.+)$")
_PART = re.compile(r"^(?P<module>.+?)(?P<part>\.weight|\.bias|_bias|)$")


@dataclass(frozen=True)
class Place:
    """One tensor that writes to the residual stream.

    Attributes:
        name: In the files.
        layer: Decoder layer; None for an embedding.
        kind: What it is.
        axis: Which of its axes is the residual stream, 0 or -1.
        module: Path within its layer, or the embedding's name.
    """

    name: str
    layer: int | None
    kind: Kind
    axis: int
    module: str


@dataclass(frozen=True)
class Layout:
    """What a repair must know of a model.

    Attributes:
        family: The text model's type.
        n_layers: Decoder layers.
        width: Of the residual stream.
        tied: Whether head and embeddings are one matrix.
        multiplied: Whether what blocks write is multiplied on its way to the stream.
        places: All tensors that write to the stream.
    """

    family: str
    n_layers: int
    width: int
    tied: bool
    multiplied: bool
    places: tuple[Place, ...]


def config_of(checkpoint: ModelFolder) -> Any:
    """The configuration as transformers reads it.

    Raises:
        RepairError: The weights are quantised.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(str(checkpoint.folder))
    if (method := method_of(config)) is not None:
        raise RepairError(
            f"{checkpoint.folder} is quantised ({method}), and weights of few bits cannot be edited exactly",
            "repair the model as it was released, in bfloat16, and quantise the result again",
        )
    return config


def family_of_config(config: Any) -> str:
    """The text model's type."""
    return str(config.get_text_config(decoder=True).model_type)


def layout_of(checkpoint: ModelFolder, exact: bool = True) -> Layout:
    """The tensors that write to the residual stream.

    Args:
        checkpoint: The model's folder.
        exact: Refuse families in which they cannot be projected exactly.

    Raises:
        RepairError: The family is refused, or its files are not as its class writes them.
    """
    config = config_of(checkpoint)
    text: Any = config.get_text_config(decoder=True)
    family = family_of_config(config)
    if exact:
        demand_exact(checkpoint, config, family)
    width, count = int(text.hidden_size), int(text.num_hidden_layers)
    found = [place for name in checkpoint.tensors if (place := _place(name, checkpoint, family)) is not None]
    wrong = [p for p in found if checkpoint.tensors[p.name].shape[p.axis] != width]
    layers = {place.layer for place in found}
    if wrong or not set(range(count)) <= layers or None not in layers:
        odd = wrong[0].name if wrong else f"layer {next((n for n in range(count) if n not in layers), 'of embeddings')}"
        raise RepairError(
            f"the files of {checkpoint.folder} are not laid out as those of '{family}' are: see {odd}",
            "save the model again with transformers' save_pretrained",
        )
    tied = bool(getattr(config, "tie_word_embeddings", False) or getattr(text, "tie_word_embeddings", False))
    return Layout(family, count, width, tied, _multiplied(text), tuple(found))


def _multiplied(text: Any) -> bool:
    """Whether a setting multiplies what blocks write (Granite's residual_multiplier, Falcon-H1's multipliers)."""
    numbers = {name: value for name, value in vars(text).items() if "multiplier" in name}
    return any(value not in (1, None) for name, value in numbers.items() if name != "embedding_multiplier")


def demand_exact(checkpoint: ModelFolder, config: Any, family: str) -> None:
    """Refuse families whose weights cannot be projected exactly.

    Raises:
        RepairError: The family, with the reason.
    """
    name = f"{checkpoint.folder} is of the family '{family}'"
    way = "repair its adapter instead (repair scale, subtract or realign), or remove the direction while it runs"
    if family in POST_NORMED:
        raise RepairError(
            f"{name}, which norms what a block writes before it is added to the residual stream: the norm divides by "
            "the length of what is written, so that no change of the weights before it takes a direction out of what "
            "comes after it and leaves the rest as it was",
            way,
        )
    if family in SEVERAL_STREAMS:
        raise RepairError(f"{name}, which has several residual streams (hyper-connections)", way)
    if config.get_text_config(decoder=True) is not config:
        raise RepairError(f"{name} within a model that reads images or sound too, whose files were not tried", way)
    if family not in WRITTEN_STRAIGHT:
        raise RepairError(f"{name}, in which it was not tried whether its weights can be projected exactly", way)


def _place(name: str, checkpoint: ModelFolder, family: str) -> Place | None:
    parts = _PART.match(name)
    assert parts is not None
    module, ending = parts["module"], parts["part"]
    found = _IN_LAYER.search(module)
    if found is None:
        short = module.rsplit(".", 1)[-1]
        return Place(name, None, "embedding", -1, short) if short in EMBEDDINGS and ending == ".weight" else None
    layer, inner = int(found[1]), found[2]
    if not any(inner == writer or inner.endswith(f".{writer}") for writer in WRITERS):
        return None
    axes = len(checkpoint.tensors[name].shape)
    if ending in (".bias", "_bias"):
        return Place(name, layer, "bias", -1 if axes > 1 else 0, inner)
    last = (axes == 3 and family in WIDTH_LAST) or (axes == 2 and family in TURNED)
    return Place(name, layer, "matrix", -1 if last else 0, inner)
