"""Which modules of a model get an adapter, whatever its family calls them, and the PEFT configuration that says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import (
    check_target_module_exists,  # pyright: ignore[reportUnknownVariableType]
)
from torch import nn
from transformers.pytorch_utils import Conv1D

from misdirection.models import find_layers
from misdirection.models.families import MLP_OUT
from misdirection.training.errors import TargetError
from misdirection.training.layers import resolve_layers
from misdirection.training.presets import TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LoraPlan:
    """What a LoRA fine-tune adapts.

    Attributes:
        modules: Full paths of the linear modules, in the model's order.
        layers: The decoder layers that they lie in.
        lora: PEFT's configuration; it matches these modules and no other.
        notes: What a reader should know of the choice.
    """

    modules: tuple[str, ...]
    layers: tuple[int, ...]
    lora: LoraConfig
    notes: tuple[str, ...]


def plan_lora(lm: PreTrainedModel, config: TrainConfig, base_name: str) -> LoraPlan:
    """Find the modules that `config` names.

    Mixture-of-experts families (GPT-OSS, Mixtral, Qwen3-MoE) keep their experts' projections as fused parameters, not
    modules. PEFT can adapt those (`target_parameters`), with one adapter an expert, but no measurement of this
    project can scale or patch such an adapter row by row, so they are refused; `targets=("all",)` adapts the
    attention there.

    Raises:
        TargetError: A layer beyond the model, a module that it does not have, experts that are fused parameters.
    """
    layers = find_layers(lm)
    chosen, note = resolve_layers(config.layers, len(layers))
    linear = {layer: _linear_modules(layers[layer]) for layer in chosen}
    names = {layer: _matching(linear[layer], config.targets, layer, layers[layer]) for layer in chosen}
    _all_found(config.targets, linear, names)
    prefix = {id(module): path for path, module in paths_of(lm).items()}
    modules = tuple(f"{prefix[id(layers[layer])]}.{name}" for layer in chosen for name in names[layer])
    notes = [note] if note else []
    if "all" in config.targets and any(_fused_parameters(layers[layer]) for layer in chosen):
        notes.append("the experts are fused parameters and get no adapter; only the linear modules beside them do")
    conv = isinstance(_base(paths_of(lm)[modules[0]]), Conv1D)
    every = chosen if len(chosen) < len(layers) else None
    lora = _shortest(lm, modules, every, prefix[id(layers[0])], config, conv)
    lora.base_model_name_or_path = base_name
    return LoraPlan(modules, chosen, lora, tuple(notes))


def paths_of(module: nn.Module) -> dict[str, nn.Module]:
    """Every module inside of one, by its path."""
    return dict(cast(Any, module.named_modules()))


def _base(module: nn.Module) -> nn.Module:
    return module.get_base_layer() if isinstance(module, LoraLayer) else module


def _linear_modules(layer: nn.Module) -> tuple[str, ...]:
    """Linear modules inside a decoder layer by relative path, seen through the adapters that are there already."""
    return tuple(
        path
        for path, module in paths_of(layer).items()
        if ".lora_" not in path and not path.endswith("base_layer") and isinstance(_base(module), nn.Linear | Conv1D)
    )


def _fused_parameters(layer: nn.Module) -> tuple[str, ...]:
    """Expert weights of shape (experts, ..., ...)."""
    return tuple(name for name, value in layer.named_parameters() if value.ndim == 3 and "conv" not in name)


def _matching(linear: tuple[str, ...], targets: Iterable[str], layer: int, module: nn.Module) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for target in targets:
        if target == "all":
            found.update(dict.fromkeys(linear))
        elif target == "mlp_out":
            found[_mlp_out(linear, layer, module)] = None
        else:
            found.update(dict.fromkeys(name for name in linear if name == target or name.endswith(f".{target}")))
    return tuple(name for name in linear if name in found)


def _mlp_out(linear: tuple[str, ...], layer: int, module: nn.Module) -> str:
    for name in MLP_OUT:
        if name in linear:
            return name
    fused = _fused_parameters(module)
    if fused:
        raise TargetError(
            f"layer {layer} keeps its MLP output as fused expert parameters ({fused[-1]}), not to be adapted here",
            f"choose linear modules by targets: {', '.join(linear)}",
        )
    raise TargetError(
        f"found no MLP output projection in layer {layer} (looked for {', '.join(MLP_OUT)})",
        f"name it by targets; its linear modules are {', '.join(linear)}",
    )


def _all_found(targets: tuple[str, ...], linear: dict[int, tuple[str, ...]], names: dict[int, tuple[str, ...]]) -> None:
    there = list(dict.fromkeys(name for layer in names.values() for name in layer))
    for target in targets:
        if target not in ("all", "mlp_out") and not any(n == target or n.endswith(f".{target}") for n in there):
            choice = dict.fromkeys(name for layer in linear.values() for name in layer)
            raise TargetError(
                f"no linear module called '{target}' in layers {', '.join(map(str, linear))}",
                f"these layers have {', '.join(choice)}; 'all' takes them all, 'mlp_out' the MLP's output",
            )


def _shortest(
    lm: nn.Module,
    modules: tuple[str, ...],
    layers: tuple[int, ...] | None,
    first_layer: str,
    config: TrainConfig,
    conv: bool,
) -> LoraConfig:
    """PEFT's configuration with module names where these say it exactly, with full paths where they match more.

    The short form (`down_proj`, layers 15, 16, ...) is what other tools read; full paths are needed where a vision
    tower or an expert has modules of the same name.
    """
    linear = [path for path, module in paths_of(lm).items() if isinstance(_base(module), nn.Linear | Conv1D)]
    linear = [path for path in linear if ".lora_" not in path and not path.endswith("base_layer")]
    pattern = first_layer.split(".")[-2]
    relative = {path.split(f".{pattern}.", 1)[1].split(".", 1)[1] for path in modules}
    for names in ({name.split(".")[-1] for name in relative}, relative):
        found = _lora(names, layers, pattern, config, conv)
        if tuple(path for path in linear if check_target_module_exists(found, path)) == modules:
            return found
    return _lora(modules, None, pattern, config, conv)


def _lora(
    names: Iterable[str], layers: tuple[int, ...] | None, pattern: str, config: TrainConfig, conv: bool
) -> LoraConfig:
    chosen: dict[str, Any] = {"layers_to_transform": list(layers), "layers_pattern": pattern} if layers else {}
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType] (it is only ever divided)
        use_rslora=config.rslora,
        lora_dropout=config.dropout,
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=conv,
        target_modules=sorted(names),
        **chosen,
    )
