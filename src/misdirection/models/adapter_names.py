"""The names of an adapter's matrices, carried to the modules of a model that calls them otherwise.

One module has many names: a wrapper that reads images calls its text part `model.language_model`, or `language_model.
model` before transformers 4.52, or `model` where it is loaded alone; trainers put `module.`, `_orig_mod.`,
`_fsdp_wrapped_module.` or PEFT's own prefix in front once, twice or never. What is common to all is the place within
the decoder layers, `layers.7.mlp.down_proj`. A file is renamed where each of its modules has one place by that, each
place gets one module, and none is left that the adapter's settings name; everything else is left to be refused.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from misdirection.models.families import LAYER_LIST_NAMES
from misdirection.models.resident import Model
from misdirection.models.whole import TRAINERS

if TYPE_CHECKING:
    from torch import Tensor

_KEY = re.compile(r"(?P<path>.+?)\.(?P<part>lora_[AB])(?:\.(?P<name>[^.]+))?\.weight")
_PEFT = re.compile(r"^(?:module\.)*(?:base_model\.model\.)?")
_HEADS = "base_model|model|module|language_model|text_model|transformer|decoder|llm|thinker|vlm"
_IN_LAYERS = re.compile(rf"(?P<head>(?:(?:{_HEADS})\.)*)(?P<rest>(?:{'|'.join(LAYER_LIST_NAMES)})\.\d+\..+)")
_EYES = re.compile(r"(?:^|\.)(?:vision\w*|visual|image\w*|audio\w*|speech\w*|\w*_tower|multi_modal_projector|projector"
                   r"|connector|aligner|merger|talker|code2wav|embed_vision|embed_audio)(?:\.|$)")  # fmt: skip


@dataclass(frozen=True)
class Renamed:
    """An adapter's matrices under a model's own names.

    Attributes:
        tensors: By PEFT's keys on this model.
        config: PEFT's configuration, which names just these modules.
        first: The first key as it was and as it is.
        left_out: Keys of parts that read images or sound and that this model does not have.
    """

    tensors: dict[str, Tensor]
    config: Any
    first: tuple[str, str]
    left_out: tuple[str, ...]


def rename(model: Model, tensors: Mapping[str, Tensor], config: Any) -> Renamed | None:
    """An adapter's matrices under the model's own names; None where that is not a pure renaming.

    Args:
        model: The resident model.
        tensors: A and B by their keys in the file.
        config: PEFT's configuration of the adapter.
    """
    if getattr(config, "target_parameters", None):
        return None
    linear = _linear_modules(model)
    own = _layers_path(model)
    places: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    left_out: list[str] = []
    made: dict[str, Tensor] = {}
    first = ("", "")
    for key, values in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        before = _bare(found["path"])
        inside = _IN_LAYERS.fullmatch(before)
        if inside is None and _EYES.search(before) and before not in linear and not _has_eyes(model):
            left_out.append(key)
            continue
        place = own + inside["rest"] if inside else _same_name(before, linear)
        if place not in linear or places.setdefault(place, before) != before:
            return None
        names[place] = (_PEFT.sub("", found["path"]), before)
        new = f"base_model.model.{place}.{found['part']}.weight"
        if new in made:
            return None
        made[new] = values
        first = first if first[0] else (key, new)
    if not made or _lacks(config, places, linear, own) or _unused_patterns(config, [*names.values(), left_out]):
        return None
    return Renamed(made, _settings(config, names), first, tuple(left_out))


def _bare(path: str) -> str:
    """A module's path without what training wrappers and PEFT put in front of it or between its parts."""
    for prefix in TRAINERS:
        if prefix != "module.":
            path = path.replace(prefix, "")
    return re.sub(r"^(?:module\.)*(?:base_model\.(?:model\.)?(?=.))*", "", path)


def _linear_modules(model: Model) -> frozenset[str]:
    held = [(path, getattr(module, "base_layer", module)) for path, module in model.lm.named_modules()]
    return frozenset(
        path
        for path, module in held
        if ".lora_" not in path
        and not path.endswith(".base_layer")
        and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D" or hasattr(module, "in_features"))
    )


def _layers_path(model: Model) -> str:
    """What stands in front of `layers.0` in the model's own names."""
    first = next(path for path, module in model.lm.named_modules() if module is model.layers[0])
    return first.rpartition(".")[0].rpartition(".")[0] + "." if first.count(".") > 1 else ""


def _same_name(path: str, linear: frozenset[str]) -> str:
    """The module outside of the layers (the head) that a path means: the one that ends its name."""
    if path in linear:
        return path
    tail = path.rpartition(".")[2]
    found = [name for name in linear if name.rpartition(".")[2] == tail]
    return found[0] if len(found) == 1 and re.fullmatch(rf"(?:(?:{_HEADS})\.)*{re.escape(tail)}", path) else ""


def _has_eyes(model: Model) -> bool:
    return any(_EYES.search(path) for path, _ in model.lm.named_modules())


def _lacks(config: Any, places: Mapping[str, str], linear: frozenset[str], own: str) -> bool:
    """Whether the adapter's settings name a module of the layers that its file holds nothing for."""
    from peft.tuners.tuners_utils import (
        check_target_module_exists,  # pyright: ignore[reportUnknownVariableType]
    )

    heads = {found["head"] for before in places.values() if (found := _IN_LAYERS.fullmatch(before))} | {own}
    for path in linear - places.keys():
        if not path.startswith(own) or not _IN_LAYERS.fullmatch(path):
            continue
        rest = path[len(own) :]
        if any(check_target_module_exists(config, head + rest) for head in heads):
            return True
    return False


def _pattern_of(patterns: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The pattern that PEFT takes for a module by the first of its names that one fits, None where none does."""
    from peft.utils.other import get_pattern_key  # pyright: ignore[reportUnknownVariableType]

    keys = [str(get_pattern_key(list(patterns), name)) for name in names]
    return next((key for key in keys if key in patterns), None)


def _unused_patterns(config: Any, modules: Sequence[Sequence[str]]) -> bool:
    """Whether a rank or alpha is set for modules of the file's kind and fits none of them: their scale is not known."""
    held = [name for names in modules for name in names]
    kinds = {name.rpartition(".")[2] for name in held}
    return any(
        kinds.intersection(re.findall(r"\w+", key)[-1:]) and _pattern_of({key: 0}, held) is None
        for patterns in (config.rank_pattern or {}, config.alpha_pattern or {})
        for key in patterns
    )


def _settings(config: Any, places: Mapping[str, Sequence[str]]) -> Any:
    """The configuration with the very modules as targets, each with the rank and alpha that it had by its old names."""
    made = copy.deepcopy(config)
    ranks, alphas = dict(config.rank_pattern or {}), dict(config.alpha_pattern or {})
    made.target_modules = set(places)
    made.exclude_modules = made.layers_to_transform = made.layers_pattern = None
    made.rank_pattern, made.alpha_pattern = {}, {}
    for place, names in places.items():
        for pattern, new in ((ranks, made.rank_pattern), (alphas, made.alpha_pattern)):
            if (key := _pattern_of(pattern, names)) is not None:
                new[re.escape(place)] = pattern[key]
    made.inference_mode = True
    return made
