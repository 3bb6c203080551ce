"""Which decoder layer a hook means: a dictionary is read after a layer's block, or refused.

    blocks.7.hook_resid_post, blocks.7.hook_out, model.layers.7(.output), resid_post_layer_7     layer 7
    blocks.7.hook_resid_pre, blocks.7.hook_in, model.layers.7.input, resid_pre_layer_7           layer 6

The stream that goes into a block is what the block before it gave out. What goes into block 0 is the embedding, after
no layer; all other hooks (MLP, attention, between the two, inside a norm) are no residual stream.
"""

from __future__ import annotations

import re
from pathlib import Path

from misdirection.features.dictionary import DictionaryError

_AFTER = (
    r"blocks\.(\d+)\.(?:hook_resid_post|hook_out)",
    r"(?:\w+\.)*(?:layers|h|blocks)\.(\d+)(?:\.output)?",
    r"resid_post(?:_layer)?_(\d+)",
)
_BEFORE = (
    r"blocks\.(\d+)\.(?:hook_resid_pre|hook_in)",
    r"(?:\w+\.)*(?:layers|h|blocks)\.(\d+)\.input",
    r"resid_pre(?:_layer)?_(\d+)",
)
_ELSEWHERE = re.compile(
    r"(?:^|[._-])(?:mlp|attn|att|self_attn|transcoders?|clt|crosscoders?|resid_mid|hook_z|ln[12]|embed\w*)(?:[._-]|$)"
)
_SITE = re.compile(r"(?:attn_out|mlp_out|transcoder|clt|crosscoder)(?:_all)?")
HINT = "dictionaries of the residual stream before or after a layer (resid_pre, resid_post) are read"


def layer_of_hook(hook: str, where: object) -> int:
    """The decoder layer after whose block a hook reads.

    Args:
        hook: Name of a hook in TransformerLens, or of a module in transformers.
        where: What the dictionary was read from, for the message.

    Raises:
        DictionaryError: The hook is no residual stream after a layer, or is not known.
    """
    for patterns, shift in ((_AFTER, 0), (_BEFORE, 1)):
        found = next((told for pattern in patterns if (told := re.fullmatch(pattern, hook))), None)
        if found is not None:
            return _checked(int(found[1]) - shift, hook, where)
    if hook in ("hook_embed", "embed_tokens") or hook.endswith(".embed_tokens"):
        return _checked(-1, hook, where)
    raise DictionaryError(f"{where} is no dictionary of the residual stream after a layer: its hook is '{hook}'", HINT)


def layer_of_path(path: str | Path) -> int | None:
    """The decoder layer that a folder's name, or else a folder's above it, tells; None where none does.

    The last part with a number counts: "layers.12", "layer_12", "-l19", "-L15R"; "l0" is left alone, for there it means
    the number of active latents.

    Raises:
        DictionaryError: The name tells another place than the residual stream after a layer.
    """
    parts = Path(path).parts
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place].lower()
        number = _number(part)
        told = number is not None and (_ELSEWHERE.search(part) or (place and _SITE.fullmatch(parts[place - 1].lower())))
        if told or part == "embed_tokens":
            raise DictionaryError(f"{path} is named after another place than the residual stream: '{part}'", HINT)
        if number is not None:
            return _checked(number - 1 if "resid_pre" in part else number, part, path)
    return None


def _number(part: str) -> int | None:
    told = re.findall(r"(?:blocks\.|layers[._-]|layer[._-]?|(?:^|\.)h\.)(\d+)", part)
    told = told or re.findall(r"(?:^|[_-])l([1-9]\d*)(?![\d_])", part)
    return int(told[-1]) if told else None


def _checked(layer: int, hook: str, where: object) -> int:
    if layer < 0:
        raise DictionaryError(
            f"{where} reads the embedding, before the first layer ('{hook}'): it comes after no layer", HINT
        )
    return layer
