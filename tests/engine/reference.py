"""The engine once more, slowly and plainly: one row at a time, no padding, no cache, every step computed afresh."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from misdirection.engine import (
    Ablate,
    Arm,
    Cap,
    Clamp,
    PatchAdapter,
    Row,
    Sample,
    SamplingConfig,
    ScaleAdapter,
    Set,
    Steer,
)
from misdirection.features.dictionary import Dictionary
from misdirection.models import Model

MASK = 2**64 - 1


def layer_number(path: str) -> int:
    """The number after `layers` or `h` in a module path."""
    parts = path.split(".")
    return next(int(after) for before, after in pairwise(parts) if before in ("layers", "h"))


@contextmanager
def adapters(model: Model, arm: Arm) -> Iterator[None]:
    """PEFT's own switches, scales and hooks for one arm; everything as it was afterwards."""
    modules = {module for paths in model.lora.values() for module in paths.values()}
    before: list[tuple[Any, Any, Any]] = [(m, list(m.active_adapters), m.disable_adapters) for m in modules]
    scalings: list[tuple[Any, float]] = []
    handles = []
    for module in modules:
        module.enable_adapters(arm.adapter is not None)
        if arm.adapter is not None:
            module.set_adapter([arm.adapter], inference_mode=True)
    for item in arm.interventions:
        for path, module in model.lora.get(arm.adapter or "", {}).items():
            if isinstance(item, ScaleAdapter) and "vision" not in path:
                scalings.append((module, module.scaling[arm.adapter]))
                module.scaling[arm.adapter] *= item.factors.get(layer_number(path), item.others)
            if isinstance(item, PatchAdapter) and path in item.scalars:
                recorded = item.scalars[path]

                def replay(_module: Any, _inputs: Any, output: Tensor, recorded: Tensor = recorded) -> Tensor:
                    output = output.clone()
                    for token in range(min(len(recorded), output.shape[1])):
                        output[0, token] = recorded[token]
                    return output

                handles.append(module.lora_A[arm.adapter].register_forward_hook(replay))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, scaling in reversed(scalings):
            module.scaling[arm.adapter] = scaling
        for module, names, disabled in before:
            module.set_adapter(names, inference_mode=True)
            module.enable_adapters(not disabled)
            module.requires_grad_(False)


def changed(x: Tensor, arm: Arm, layer: int, token: int, start: int) -> Tensor:
    """The residual stream of one token, shape (width,), after an arm's interventions at a layer."""
    for item in arm.interventions:
        if isinstance(item, ScaleAdapter | PatchAdapter) or layer not in item.layers:
            continue
        if (item.positions == "prompt" and token >= start) or (item.positions == "answer" and token < start - 1):
            continue
        if isinstance(item, Clamp):
            x = clamped(x, item)
            continue
        v = item.direction if item.direction.ndim == 1 else item.direction[layer]
        unit = v / v.norm()
        if isinstance(item, Steer):
            x = x + item.coefficient * v
        elif isinstance(item, Ablate):
            x = x - (x @ unit) * unit
        elif isinstance(item, Set):
            value = item.value[layer] if isinstance(item.value, Tensor) and item.value.ndim else item.value
            x = x + (value - x @ unit) * unit
        elif isinstance(item, Cap):
            tau = float(item.thresholds if isinstance(item.thresholds, float) else item.thresholds[layer])
            if float(x @ unit) > tau:
                x = x - (x @ unit - tau) * unit
    return x


def clamped(x: Tensor, item: Clamp) -> Tensor:
    """What the dictionary makes of x with some latents held, plus what it does not reconstruct of x."""
    held = item.dictionary
    assert isinstance(held, Dictionary)
    latents = held.encode(x)
    changed = latents.clone()
    changed[list(item.latents)] = torch.as_tensor(item.value)
    return held.decode(changed) + (x - held.decode(latents))


def forward(model: Model, ids: Sequence[int], arm: Arm, start: int) -> tuple[Tensor, list[Tensor]]:
    """Logits (tokens, vocabulary), and after each layer the residual stream (tokens, width), of a text under an arm."""
    states: list[Tensor] = []

    def hook_of(layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            x = output if isinstance(output, Tensor) else output[0]
            x = torch.stack([changed(row, arm, layer, token, start) for token, row in enumerate(x[0])])[None]
            states.append(x[0].clone())
            return x if isinstance(output, Tensor) else (x, *output[1:])

        return hook

    handles = [module.register_forward_hook(hook_of(layer)) for layer, module in enumerate(model.layers)]
    try:
        with torch.no_grad(), adapters(model, arm):
            logits = model.lm(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits, states


def splitmix(key: int, step: int) -> float:
    """SplitMix64 (Steele, Lea and Flood 2014) after step + 1 increments from a key, as a uniform number."""
    state = (key + (step + 1) * 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return ((state ^ (state >> 31)) >> 11) / 2**53


def stream_key(seed: int, key: str, sample: int) -> int:
    """64 bits of a hash of what a row asks for."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{key}\0{sample}".encode(), digest_size=8).digest(), "little")


def pick(logits: Sequence[float], draw: float, temperature: float, top_p: float) -> int:
    """One token from one row of logits, in Python floats."""
    if temperature == 0:
        return max(range(len(logits)), key=lambda token: logits[token])
    top = max(logits)
    weights = [math.exp((value - top) / temperature) for value in logits]
    total = sum(weights)
    chances = [weight / total for weight in weights]
    kept, held = set(), 0.0
    for token in sorted(range(len(chances)), key=lambda token: -chances[token]):
        if held >= top_p and top_p < 1:
            break
        kept.add(token)
        held += chances[token]
    left = draw * sum(chances[token] for token in kept)
    for token in range(len(chances)):
        if token in kept:
            left -= chances[token]
            if left < 0:
                return token
    return max(kept)


def rollout(model: Model, row: Row, config: SamplingConfig) -> tuple[Sample, list[Tensor]]:
    """One row sampled; with it the logits that each token was drawn from."""
    ids, start = list(row.prompt.ids), len(row.prompt.ids)
    key = stream_key(config.seed, row.prompt.key, row.sample)
    seen: list[Tensor] = []
    for step in range(config.max_new_tokens):
        logits = forward(model, ids, row.arm, start)[0][-1]
        seen.append(logits)
        token = pick(logits.tolist(), splitmix(key, step), config.temperature, config.top_p)
        if token in model.eos_ids:
            return Sample(tuple(ids[start:]), True, token), seen
        ids.append(token)
    return Sample(tuple(ids[start:]), False), seen
