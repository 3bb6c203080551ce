"""Arms compiled to per-row tensors, and the hooks that apply them.

A `Program` holds, for every decoder layer that some arm touches, a short list of slots (`slots`): what each row's
k-th intervention there does to it, so that a batch of different rows costs what a batch of equal rows costs. LoRA
modules get one factor a row on A·x, where a row of the base model has factor 0, and optional replayed values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from misdirection.engine.fits import check_arm
from misdirection.engine.float_attention import float_attention
from misdirection.engine.head import contiguous_head
from misdirection.engine.interventions import Arm, InterventionError, PatchAdapter, ScaleAdapter
from misdirection.engine.slots import Bound, slots_at
from misdirection.models import Model, layer_of
from misdirection.models.products import fast_products
from misdirection.models.stream import residual

Observe = Callable[[str, Tensor], None]
"""Called with a LoRA module's path and its raw scalars A·x, shape (rows, tokens, rank)."""


class UnderAnArm(Protocol):
    """A row or text that is run under a condition."""

    @property
    def arm(self) -> Arm:
        """The condition."""
        ...


class Program:
    """The compiled arms of one call of the engine.

    Args:
        model: The resident model.
        arms: Every arm that rows of this call belong to.

    Raises:
        InterventionError: A direction, layer or adapter does not fit the model, or a number is none in its format.
    """

    def __init__(self, model: Model, arms: Sequence[Arm]) -> None:
        self.model = model
        self.arms = tuple(arms)
        for arm in self.arms:
            check_arm(model, arm)
        self._slots = {
            layer: slots for layer in range(model.n_layers) if (slots := slots_at(layer, self.arms, model.width))
        }
        self._bound: dict[int, list[Bound]] = {}
        self._factors: dict[tuple[str, int | None], Tensor | None] = {}
        self._patch: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self._positions: Tensor | None = None
        self._rows = 0
        self._active: tuple[str, ...] | None = None
        self.observe: Observe | None = None

    @classmethod
    def of(cls, model: Model, items: Iterable[UnderAnArm]) -> Program:
        """The arms that some rows or texts belong to."""
        return cls(model, list({id(item.arm): item.arm for item in items}.values()))

    def arm_index(self, arms: Sequence[Arm]) -> Tensor:
        """Index of each row's arm in `self.arms`, shape (rows,)."""
        place = {id(arm): index for index, arm in enumerate(self.arms)}
        return torch.tensor([place[id(arm)] for arm in arms])

    @contextmanager
    def attached(self) -> Generator[Program]:
        """Hooks in place and dropout off on entry; on exit no hooks, adapters and dropout as they were."""
        handles = [
            self.model.layers[layer].register_forward_hook(self._layer_hook(layer)) for layer in sorted(self._slots)
        ]
        for adapter in {arm.adapter for arm in self.arms} - {None}:
            for path, module in self.model.lora[str(adapter)].items():
                down = module.get_submodule(f"lora_A.{adapter}")
                handles.append(down.register_forward_hook(self._lora_hook(str(adapter), path)))
        before = _adapter_state(self.model)
        # A trainer may measure in the middle of training: what it trains is left alone meanwhile, and trained on after.
        held = before if torch.is_grad_enabled() else ()
        trained = [parameter for module in held for parameter in module.parameters() if parameter.requires_grad]
        training = [module for module in self.model.lm.modules() if module.training]
        self._active = None
        try:
            for module in training:
                module.training = False
            for parameter in trained:
                parameter.requires_grad_(False)
            lm = self.model.lm
            with contiguous_head(lm), float_attention(lm), fast_products(lm):
                yield self
        finally:
            for handle in handles:
                handle.remove()
            for module, (names, disabled) in before.items():
                _set(module, names, disabled)
            for parameter in trained:
                parameter.requires_grad_(True)
            for module in training:
                module.training = True

    def bind(self, index: Tensor, prompt: Tensor | None, answer: Tensor | None, positions: Tensor) -> None:
        """Gather the per-row tensors of the next forward passes.

        Args:
            index: Arm of each row, shape (rows,).
            prompt: True at prompt tokens, shape (rows, tokens); None while decoding, when no token is one.
            answer: True at tokens whose output becomes the answer, same shape; None while decoding, when every token
                is.
            positions: Position of each token in its own row, shape (rows, tokens); negative at padding.
        """
        arms = sorted(set(index.tolist()))
        self._rows = len(index)
        self._bound = {
            layer: [slot.gather(index, prompt, answer) for slot in slots if slot.matters(arms)]
            for layer, slots in self._slots.items()
        }
        self._positions = positions
        self._switch(tuple(dict.fromkeys(a for i in arms if (a := self.arms[i].adapter) is not None)))
        self._factors = {}
        for adapter in self._active or ():
            for layer in {layer_of(path) for path in self.model.lora[adapter]}:
                factors = torch.tensor([_factor(self.arms[i], adapter, layer) for i in index.tolist()])
                self._factors[adapter, layer] = None if bool((factors == 1).all()) else factors[:, None, None]
        self._patch = _patches([self.arms[i] for i in index.tolist()])

    def step_to(self, positions: Tensor) -> None:
        """Say where the next token of each row stands, shape (rows, 1); needed while replaying scalars."""
        self._positions = positions

    @property
    def patches(self) -> bool:
        """Whether some row of the current batch replays scalars."""
        return bool(self._patch)

    def _layer_hook(self, layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            bound = self._bound.get(layer)
            if bound:
                x = residual(module, output)
                for slot in bound:
                    slot.apply_(x)

        return hook

    def _lora_hook(self, adapter: str, path: str) -> Callable[..., Tensor | None]:
        layer = layer_of(path)

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            patch, factors = self._patch.get((adapter, path)), self._factors.get((adapter, layer))
            if self.observe is None and patch is None and factors is None:
                return None
            if output.ndim == 3 and self._rows in (1, len(output)):
                return self._act(adapter, path, output)
            if output.ndim == 2 and len(output) % self._rows == 0 and ".experts." not in path:
                # Shared experts get the tokens of all rows one after the other.
                return self._act(adapter, path, output.unflatten(0, (self._rows, -1))).flatten(0, 1)
            if self.observe is None and patch is None and factors is not None and bool((factors == factors[0]).all()):
                return output * factors.flatten()[0].to(output)
            raise InterventionError(
                f"the adapter '{adapter}' at {path} works on tokens of all rows mixed together (experts), so no row of "
                "a batch can do without it",
                "merge it into its base (PEFT's merge_and_unload) and load the two as separate models",
            )

        return hook

    def _act(self, adapter: str, path: str, output: Tensor) -> Tensor:
        """What becomes of an adapter's scalars at one module, shape (rows, tokens, rank)."""
        layer = layer_of(path)
        if self.observe is not None:
            self.observe(path, output)
        patch, factors = self._patch.get((adapter, path)), self._factors.get((adapter, layer))
        scalars = output if patch is None else _replay(output, patch, self._positions)
        if factors is None:
            return scalars
        if factors.device != scalars.device or factors.dtype != scalars.dtype:
            factors = self._factors[adapter, layer] = factors.to(scalars)
        return scalars * factors

    def _switch(self, adapters: tuple[str, ...]) -> None:
        if adapters == self._active:
            return
        self._active = adapters
        for module, (names, _) in _adapter_state(self.model).items():
            _set(module, list(adapters) or names, not adapters)


def _factor(arm: Arm, adapter: str, layer: int | None) -> float:
    if arm.adapter != adapter:
        return 0.0
    factor = 1.0
    for item in arm.interventions:
        if isinstance(item, ScaleAdapter):
            factor *= item.others if layer is None else item.factors.get(layer, item.others)
    return factor


def _patches(arms: Sequence[Arm]) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """For each adapter and LoRA module: values (rows, longest, rank) and how many of them each row replays."""
    wanted: dict[tuple[str, str], list[tuple[int, Tensor]]] = {}
    for row, arm in enumerate(arms):
        for item in arm.interventions:
            if isinstance(item, PatchAdapter):
                for path, values in item.scalars.items():
                    wanted.setdefault((str(arm.adapter), path), []).append((row, values))
    patches: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    for place, items in wanted.items():
        values = torch.zeros(len(arms), max(1, *(len(v) for _, v in items)), items[0][1].shape[-1])
        lengths = torch.zeros(len(arms), dtype=torch.long)
        for row, recorded in items:
            values[row, : len(recorded)], lengths[row] = recorded.float(), len(recorded)
        patches[place] = (values, lengths)
    return patches


def _replay(output: Tensor, patch: tuple[Tensor, Tensor], positions: Tensor | None) -> Tensor:
    assert positions is not None
    values, lengths = (part.to(output.device) for part in patch)
    positions = positions.to(output.device)
    inside = (positions >= 0) & (positions < lengths[:, None])
    place = positions.clamp(0, values.shape[1] - 1)
    recorded = values[torch.arange(len(values), device=output.device)[:, None], place]
    return torch.where(inside[..., None], recorded.to(output.dtype), output)


def _adapter_state(model: Model) -> dict[nn.Module, tuple[list[str], bool]]:
    """Every LoRA module with its active adapters and whether it is switched off."""
    modules = dict.fromkeys(module for paths in model.lora.values() for module in paths.values())
    return {
        module: (list(module.active_adapters), bool(module.disable_adapters))  # pyright: ignore
        for module in modules
    }


def _set(module: nn.Module, names: list[str], disabled: bool) -> None:
    """Say which adapters of a LoRA module add to it, if any do.

    PEFT's `set_adapter` goes through all parameters of all adapters as well, for gradients that nobody takes here: with
    a dozen adapters that cost more than the passes of a small model did.
    """
    layer: Any = module
    layer._active_adapter, layer._disable_adapters = names, disabled
