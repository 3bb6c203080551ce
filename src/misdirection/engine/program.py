"""Arms compiled to per-row tensors, and the hooks that apply them.

A `Program` holds, for every decoder layer that some arm touches, a short list of slots. A slot is one affine map a
row, x' = x + a - (p^T x) p, with a = coefficient * v and p = 0 for `Steer`, a = 0 and p = v_hat for `Ablate`, a =
value * v_hat and p = v_hat for `Set`; rows without an intervention have a = p = 0. A batch of different rows
therefore costs what a batch of equal rows costs. LoRA modules get one factor a row on A·x, where a row of the base
model has factor 0, and optional replayed values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from misdirection.engine.float_attention import float_attention
from misdirection.engine.head import contiguous_head
from misdirection.engine.interventions import Ablate, Arm, Intervention, PatchAdapter, ScaleAdapter, Set, Steer
from misdirection.errors import MisdirectionError
from misdirection.models import Model, layer_of
from misdirection.models.products import fast_products
from misdirection.models.stream import check_stream, residual

_WHERE = ("all", "prompt", "answer")

Observe = Callable[[str, Tensor], None]
"""Called with a LoRA module's path and its raw scalars A·x, shape (rows, tokens, rank)."""


class InterventionError(MisdirectionError):
    """An intervention does not fit the model."""


@dataclass
class _Slot:
    """One affine map a row at one layer; tensors of shape (arms, width) and (arms,)."""

    add: Tensor
    project: Tensor
    where: Tensor
    projects: bool
    everywhere: bool


@dataclass
class _Bound:
    """A slot gathered for the rows of the current batch; shapes (rows, 1, width) and (rows, tokens, 1)."""

    add: Tensor
    project: Tensor | None
    mask: Tensor | None


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
            _check(model, arm)
        self._slots = {layer: slots for layer in range(model.n_layers) if (slots := self._compile(layer))}
        self._bound: dict[int, list[_Bound]] = {}
        self._factors: dict[tuple[str, int | None], Tensor | None] = {}
        self._patch: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self._positions: Tensor | None = None
        self._rows = 0
        self._active: tuple[str, ...] | None = None
        self.observe: Observe | None = None

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
        # A trainer may measure in the middle of training: what it trains must go on being trained.
        trained = [parameter for module in before for parameter in module.parameters() if parameter.requires_grad]
        training = [module for module in self.model.lm.modules() if module.training]
        self._active = None
        try:
            for module in training:
                module.training = False
            lm = self.model.lm
            with contiguous_head(lm), float_attention(lm), fast_products(lm):
                yield self
        finally:
            for handle in handles:
                handle.remove()
            for module, (names, disabled) in before.items():
                module.set_adapter(list(names), inference_mode=True)  # pyright: ignore[reportCallIssue]
                module.enable_adapters(not disabled)  # pyright: ignore[reportCallIssue]
                module.requires_grad_(False)
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
            layer: [_gather(slot, index, prompt, answer) for slot in slots if _matters(slot, arms)]
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

    def _compile(self, layer: int) -> list[_Slot]:
        programs = [[op for item in arm.interventions if (op := _affine(item, layer)) is not None] for arm in self.arms]
        depth = max((len(ops) for ops in programs), default=0)
        width = self.model.width
        slots: list[_Slot] = []
        for number in range(depth):
            add, project = torch.zeros(len(self.arms), width), torch.zeros(len(self.arms), width)
            where = torch.zeros(len(self.arms), dtype=torch.long)
            for row, ops in enumerate(programs):
                if number < len(ops):
                    add[row], project[row], where[row] = ops[number]
            slots.append(_Slot(add, project, where, bool(project.any()), not bool(where.any())))
        return slots

    def _layer_hook(self, layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            bound = self._bound.get(layer)
            if bound:
                x = residual(module, output)
                for slot in bound:
                    _apply(slot, x)

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
        for module in _adapter_state(self.model):
            module.enable_adapters(bool(adapters))  # pyright: ignore[reportCallIssue]
            if adapters:
                module.set_adapter(list(adapters), inference_mode=True)  # pyright: ignore[reportCallIssue]


def _check(model: Model, arm: Arm) -> None:
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
            continue
        check_stream(model.lm)
        shapes = ((model.width,), (model.n_layers, model.width))
        if tuple(item.direction.shape) not in shapes:
            raise InterventionError(
                f"arm '{arm.name}': a direction of shape {tuple(item.direction.shape)} does not fit {model.name}",
                f"expected {shapes[0]} or {shapes[1]}",
            )
        if any(not 0 <= layer < model.n_layers for layer in item.layers):
            raise InterventionError(
                f"arm '{arm.name}': layers {item.layers} reach beyond the model",
                f"it has layers 0..{model.n_layers - 1}",
            )
        _check_size(model, arm, item)


def _check_numbers(arm: Arm, what: str, values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise InterventionError(f"arm '{arm.name}': its {what} hold numbers that are none (NaN or infinite)")


def _check_size(model: Model, arm: Arm, item: Steer | Ablate | Set) -> None:
    """Refuse a direction or size that is no number, or none in the model's own number format."""
    direction = item.direction if item.direction.ndim == 1 else item.direction[list(item.layers)]
    _check_numbers(arm, "directions", direction)
    if isinstance(item, Ablate):
        return
    if isinstance(item, Steer):
        _check_numbers(arm, "coefficients", torch.tensor(item.coefficient))
        largest = abs(item.coefficient) * float(direction.double().abs().amax()) if direction.numel() else 0.0
    else:
        values = torch.as_tensor(item.value).double()
        values = values[list(item.layers)] if values.ndim else values
        _check_numbers(arm, "values", values)
        largest = float(values.abs().amax()) if values.numel() else 0.0
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


def _affine(item: Intervention, layer: int) -> tuple[Tensor, Tensor, int] | None:
    """(a, p, where) of one intervention at one layer, None where it does nothing."""
    if isinstance(item, ScaleAdapter | PatchAdapter) or layer not in item.layers:
        return None
    vector = (item.direction if item.direction.ndim == 1 else item.direction[layer]).float().cpu()
    where = _WHERE.index(item.positions)
    if isinstance(item, Steer):
        return item.coefficient * vector, torch.zeros_like(vector), where
    norm = vector.norm()
    if not torch.isfinite(norm) or norm == 0:
        raise InterventionError(f"the direction at layer {layer} has no length, so it cannot be projected on")
    unit = vector / norm
    if isinstance(item, Ablate):
        return torch.zeros_like(vector), unit, where
    value = float(item.value[layer]) if isinstance(item.value, Tensor) and item.value.ndim else float(item.value)
    return value * unit, unit, where


def _matters(slot: _Slot, arms: list[int]) -> bool:
    return bool(slot.add[arms].any() or slot.project[arms].any())


def _gather(slot: _Slot, index: Tensor, prompt: Tensor | None, answer: Tensor | None) -> _Bound:
    add = slot.add[index][:, None, :]
    project = slot.project[index][:, None, :] if slot.projects else None
    if slot.everywhere:
        return _Bound(add, project, None)
    where = slot.where[index]
    if prompt is None or answer is None:
        here = (where != 1)[:, None]
    else:
        choices = torch.stack([torch.ones_like(prompt), prompt, answer]).cpu()
        here = choices[where, torch.arange(len(index))]
    return _Bound(add, project, here[..., None].float())


def _apply(slot: _Bound, x: Tensor) -> None:
    """Apply x' = x + mask * (a - (p^T x) p), in place; the component is measured in float32."""
    if slot.add.device != x.device or slot.add.dtype != x.dtype:
        slot.add = slot.add.to(x)
        slot.mask = None if slot.mask is None else slot.mask.to(x)
        slot.project = None if slot.project is None else slot.project.to(x.device)
    if slot.project is None:
        if slot.mask is None:
            x.add_(slot.add)
        else:
            x.addcmul_(slot.mask, slot.add)
        return
    component = torch.matmul(x.float(), slot.project.transpose(1, 2))
    change = slot.add.float() - component * slot.project
    x.add_((change if slot.mask is None else change * slot.mask.float()).to(x.dtype))


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
    return {
        module: (list(module.active_adapters), bool(module.disable_adapters))  # pyright: ignore
        for paths in model.lora.values()
        for module in paths.values()
    }
