"""Whether an arm fits a model: its adapter, layers, shapes and numbers, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from misdirection.engine.interventions import (
    Arm,
    Cap,
    Clamp,
    InStream,
    InterventionError,
    PatchAdapter,
    ScaleAdapter,
    Set,
    Steer,
)
from misdirection.models import Model
from misdirection.models.stream import check_stream


def check_arm(model: Model, arm: Arm) -> None:
    """Refuse an arm that does not fit.

    Raises:
        InterventionError: A direction, layer, dictionary or adapter does not fit the model, or a number is none in its
            format.
    """
    if arm.adapter is not None and arm.adapter not in model.adapters:
        raise InterventionError(
            f"arm '{arm.name}' wants the adapter '{arm.adapter}', which is not loaded",
            f"loaded adapters: {', '.join(model.adapters) or 'none'}",
        )
    for item in arm.interventions:
        if isinstance(item, ScaleAdapter | PatchAdapter):
            if arm.adapter is None:
                raise InterventionError(f"arm '{arm.name}' changes an adapter, and has none")
            if isinstance(item, PatchAdapter):
                _check_scalars(model, arm, arm.adapter, item)
            else:
                _check_numbers(arm, "factors", torch.tensor([*item.factors.values(), item.others]))
        else:
            _check_in_stream(model, arm, item)


def _check_in_stream(model: Model, arm: Arm, item: InStream) -> None:
    check_stream(model.lm)
    _check_width(model, arm, item)
    if any(not 0 <= layer < model.n_layers for layer in item.layers):
        raise InterventionError(
            f"arm '{arm.name}': layers {item.layers} reach beyond the model",
            f"it has layers 0..{model.n_layers - 1}",
        )
    if isinstance(item, Clamp):
        return
    direction = item.direction if item.direction.ndim == 1 else item.direction[list(item.layers)]
    _check_numbers(arm, "directions", direction)
    if isinstance(item, Steer):
        _check_numbers(arm, "coefficients", torch.tensor(item.coefficient))
        largest = abs(item.coefficient) * float(direction.double().abs().amax()) if direction.numel() else 0.0
        _check_size(model, arm, largest)
    elif isinstance(item, Set):
        _check_size(model, arm, _largest(_chosen(model, arm, item, "values", item.value)))
    elif isinstance(item, Cap):
        _chosen(model, arm, item, "thresholds", item.thresholds)


def _check_width(model: Model, arm: Arm, item: InStream) -> None:
    if isinstance(item, Clamp):
        if item.dictionary.width != model.width:
            raise InterventionError(
                f"arm '{arm.name}': a dictionary of width {item.dictionary.width} does not fit {model.name}",
                f"its residual stream is {model.width} wide",
            )
        return
    shapes = ((model.width,), (model.n_layers, model.width))
    if tuple(item.direction.shape) not in shapes:
        raise InterventionError(
            f"arm '{arm.name}': a direction of shape {tuple(item.direction.shape)} does not fit {model.name}",
            f"expected {shapes[0]} or {shapes[1]}",
        )


def _chosen(model: Model, arm: Arm, item: Set | Cap, what: str, values: float | Tensor | Mapping[int, float]) -> Tensor:
    """The numbers of an intervention's layers, shape (), or (layers,)."""
    if isinstance(values, Mapping):
        if missing := [layer for layer in item.layers if layer not in values]:
            raise InterventionError(
                f"arm '{arm.name}': its {what} are of layers {', '.join(map(str, sorted(values)))}, and it acts at "
                f"{', '.join(map(str, missing))} too",
                "give one for each layer that it acts at, or act at those layers alone",
            )
        values = torch.tensor([float(values[layer]) for layer in item.layers])
    else:
        values = torch.as_tensor(values)
        if values.ndim and tuple(values.shape) != (model.n_layers,):
            raise InterventionError(
                f"arm '{arm.name}': {what} of shape {tuple(values.shape)} do not fit {model.name}",
                f"one number, or one for each of its {model.n_layers} layers",
            )
        values = values[list(item.layers)] if values.ndim else values
    _check_numbers(arm, what, values)
    return values


def _check_numbers(arm: Arm, what: str, values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise InterventionError(f"arm '{arm.name}': its {what} hold numbers that are none (NaN or infinite)")


def _largest(values: Tensor) -> float:
    return float(values.double().abs().amax()) if values.numel() else 0.0


def _check_size(model: Model, arm: Arm, largest: float) -> None:
    """Refuse a size that is no number in the model's own number format."""
    if largest > (limit := torch.finfo(model.dtype).max):
        raise InterventionError(
            f"arm '{arm.name}' moves the residual stream by up to {largest:.3g}, and {model.dtype} ends at {limit:.3g}",
            "take a smaller coefficient, or load the model in bfloat16 or float32",
        )


def _check_scalars(model: Model, arm: Arm, adapter: str, item: PatchAdapter) -> None:
    for path, values in item.scalars.items():
        module = model.lora[adapter].get(path)
        if module is None:
            raise InterventionError(f"arm '{arm.name}' replays scalars of {path}, where '{adapter}' is not")
        rank = module.get_submodule(f"lora_A.{adapter}").out_features
        if values.ndim != 2 or values.shape[1] != rank:
            raise InterventionError(
                f"arm '{arm.name}': scalars of shape {tuple(values.shape)} do not fit {path}",
                f"expected (tokens, {rank})",
            )
        _check_numbers(arm, "scalars", values)
