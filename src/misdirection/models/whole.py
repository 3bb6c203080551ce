"""Whether every weight that reads text came from the model's files.

Transformers draws at random what it does not find, and tells of it in a table among other lines: a folder saved under
other names (a wrapper of training, another class, half of the shards) would be measured as a model that nobody trained.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from misdirection.models.errors import MissingWeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TRAINERS = {
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
    "module.": "DistributedDataParallel or DeepSpeed",
}
"""Wrappers of training by what they write into the names of weights."""

SAVE_INNER = "save the model that it wraps: accelerate's unwrap_model(model).save_pretrained(FOLDER)"


def check_whole(lm: PreTrainedModel, name: str, info: Mapping[str, Any]) -> str | None:
    """Refuse a model whose text part was not filled by its files; a sentence on what fitted nowhere, or None.

    Args:
        lm: The transformers model, loaded.
        name: What its user calls it.
        info: What transformers tells of the loading (`output_loading_info=True`).

    Raises:
        MissingWeightsError: Some of the weights that read text came from nowhere.
    """
    unread = sorted(info["unexpected_keys"])
    reads = _reading_text(lm)
    missing = sorted(key for key in info["missing_keys"] if key in reads)
    missing += sorted(str(item[0]) for item in info["mismatched_keys"] if str(item[0]) in reads)
    if missing:
        raise MissingWeightsError(
            f"{len(missing)} of the {len(reads)} tensors of {name} that read text came from none of its files "
            f"({_some(missing)}), and would be random numbers"
            + (f"; {len(unread)} tensors of the files fit nowhere ({_some(unread)})" if unread else ""),
            _why(unread),
        )
    lost = [key for key in unread if _may_matter(key)]
    if lost:
        return f"{len(lost)} tensors of the files of {name} fit nowhere in {type(lm).__name__} ({_some(lost)})"
    return None


def _reading_text(lm: PreTrainedModel) -> frozenset[str]:
    """Names of the weights that a text passes: of the decoder, the embeddings and the head."""
    parts: list[Any] = [lm.get_decoder(), lm.get_input_embeddings(), lm.get_output_embeddings()]
    inside = {id(value) for part in parts if part is not None for value in part.state_dict(keep_vars=True).values()}
    return frozenset(key for key, value in lm.state_dict(keep_vars=True).items() if id(value) in inside)


def _why(unread: Collection[str]) -> str:
    for prefix, maker in TRAINERS.items():
        if any(key.startswith(prefix) or f".{prefix}" in key for key in unread):
            return f"{maker} put '{prefix}' into the names of its weights: {SAVE_INNER}"
    if any(".lora_" in key or ".base_layer." in key for key in unread):
        return (
            "the files hold a model with an adapter inside: give its base and the adapter, saved with PEFT's "
            "save_pretrained, or merge it first (merge_and_unload)"
        )
    if unread:
        return "the files are of another kind of model, or were saved by another class: save it with save_pretrained"
    return "they were saved or fetched in part: fetch them again, or save the model again with save_pretrained"


def _may_matter(key: str) -> bool:
    """Whether a tensor that fits nowhere could be a part of the text model: eyes, ears, heads of training are none."""
    return not re.search(r"vision|visual|image|audio|speech|video|talker|code2wav|mtp|nextn|inv_freq|rotary|attn\.bias|"
                         r"masked_bias|v_head|score\.|projector|vit\.|connector|\.layers\.\d+\.(?:eh_proj|enorm|hnorm)",
                         key)  # fmt: skip


def _some(keys: list[str]) -> str:
    return f"{keys[0]}, ..." if len(keys) > 1 else keys[0]
