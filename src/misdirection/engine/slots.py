"""What rows of a batch do to the residual stream after one layer, as per-row tensors.

A slot is one map a row, x' = x + a - g(p^T x) p. Of `Steer` a = coefficient * v and p = 0; of `Ablate` a = 0, p = v_hat
and g(c) = c; of `Set` a = value * v_hat besides; of `Cap` a = 0, p = v_hat and g(c) = max(c - tau, 0). Rows without an
intervention have a = p = 0. What a `Clamp` does depends on all of x, so that it is computed for its own rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from misdirection.engine.interventions import (
    POSITIONS,
    Ablate,
    Arm,
    Cap,
    Clamp,
    InStream,
    InterventionError,
    Set,
    Steer,
)


@dataclass
class Slot:
    """One map a row at one layer.

    Attributes:
        add: a, shape (arms, width).
        project: p, shape (arms, width).
        over: tau, shape (arms,); minus infinity where g(c) = c.
        where: Index into `POSITIONS`, shape (arms,).
        clamps: By arm.
    """

    add: Tensor
    project: Tensor
    over: Tensor
    where: Tensor
    clamps: Mapping[int, Clamp]

    def matters(self, arms: Sequence[int]) -> bool:
        """Whether some of the arms do something here."""
        at = list(arms)
        return bool(self.add[at].any() or self.project[at].any()) or not self.clamps.keys().isdisjoint(at)

    def gather(self, index: Tensor, prompt: Tensor | None, answer: Tensor | None) -> Bound:
        """The slot for the rows of a batch; see `Program.bind`."""
        over = self.over[index][:, None, None] if bool((self.over[index] > -torch.inf).any()) else None
        project = self.project[index][:, None, :] if bool(self.project.any()) else None
        rows: dict[int, list[int]] = {}
        for row, arm in enumerate(index.tolist()):
            if arm in self.clamps:
                rows.setdefault(arm, []).append(row)
        clamps = [(self.clamps[arm], torch.tensor(some)) for arm, some in rows.items()]
        return Bound(self.add[index][:, None, :], project, over, self._mask(index, prompt, answer), clamps)

    def _mask(self, index: Tensor, prompt: Tensor | None, answer: Tensor | None) -> Tensor | None:
        if not bool(self.where.any()):
            return None
        where = self.where[index]
        if prompt is None or answer is None:
            here = (where != 1)[:, None]
        else:
            choices = torch.stack([torch.ones_like(prompt), prompt, answer]).cpu()
            here = choices[where, torch.arange(len(index))]
        return here[..., None].float()


@dataclass
class Bound:
    """A slot gathered for the rows of the current batch; shapes (rows, 1, width), (rows, 1, 1), (rows, tokens, 1)."""

    add: Tensor
    project: Tensor | None
    over: Tensor | None
    mask: Tensor | None
    clamps: list[tuple[Clamp, Tensor]]

    def apply_(self, x: Tensor) -> None:
        """Apply x' = x + mask * (a - g(p^T x) p), in place; the component is measured in float32."""
        if self.add.device != x.device or self.add.dtype != x.dtype:
            self._move(x)
        # A row has an affine map or a clamp, so that their order tells nothing.
        for clamp, rows in self.clamps:
            here = 1.0 if self.mask is None else self.mask[rows]
            x.index_add_(0, rows, (_clamped(clamp, x[rows]) * here).to(x.dtype))
        if self.project is None:
            if self.mask is None:
                x.add_(self.add)
            else:
                x.addcmul_(self.mask, self.add)
            return
        component = torch.matmul(x.float(), self.project.transpose(1, 2))
        if self.over is not None:
            component = torch.where(self.over > -torch.inf, (component - self.over).clamp(min=0), component)
        change = self.add.float() - component * self.project
        x.add_((change if self.mask is None else change * self.mask.float()).to(x.dtype))

    def _move(self, x: Tensor) -> None:
        self.add = self.add.to(x)
        self.mask = None if self.mask is None else self.mask.to(x)
        self.project = None if self.project is None else self.project.to(x.device)
        self.over = None if self.over is None else self.over.to(x.device)
        self.clamps = [(clamp, rows.to(x.device)) for clamp, rows in self.clamps]


def slots_at(layer: int, arms: Sequence[Arm], width: int) -> list[Slot]:
    """What arms do after a layer: one slot for the first intervention of each, one for the second, and so on.

    Raises:
        InterventionError: A direction to project on has no length there.
    """
    programs = [[item for item in map(in_stream, arm.interventions) if item and layer in item.layers] for arm in arms]
    return [
        _slot(layer, [ops[number] if number < len(ops) else None for ops in programs], width)
        for number in range(max(map(len, programs), default=0))
    ]


def in_stream(item: object) -> InStream | None:
    """An intervention on the residual stream; None for others."""
    return item if isinstance(item, Steer | Ablate | Set | Cap | Clamp) else None


def at_layer(values: float | Tensor | Mapping[int, float], layer: int) -> float:
    """One number for every layer, or the layer's own."""
    if isinstance(values, Mapping):
        return float(values[layer])
    return float(values[layer]) if isinstance(values, Tensor) and values.ndim else float(values)


def _slot(layer: int, items: Sequence[InStream | None], width: int) -> Slot:
    add, project = torch.zeros(len(items), width), torch.zeros(len(items), width)
    over, where = torch.full((len(items),), -torch.inf), torch.zeros(len(items), dtype=torch.long)
    for row, item in enumerate(items):
        if item is None:
            continue
        where[row] = POSITIONS.index(item.positions)
        if isinstance(item, Steer):
            add[row] = item.coefficient * _vector(item.direction, layer)
        elif not isinstance(item, Clamp):
            project[row] = unit = _unit(_vector(item.direction, layer), layer)
            if isinstance(item, Set):
                add[row] = at_layer(item.value, layer) * unit
            if isinstance(item, Cap):
                over[row] = at_layer(item.thresholds, layer)
    return Slot(add, project, over, where, {row: item for row, item in enumerate(items) if isinstance(item, Clamp)})


def _vector(direction: Tensor, layer: int) -> Tensor:
    return (direction if direction.ndim == 1 else direction[layer]).float().cpu()


def _unit(vector: Tensor, layer: int) -> Tensor:
    norm = vector.norm()
    if not torch.isfinite(norm) or norm == 0:
        raise InterventionError(f"the direction at layer {layer} has no length, so it cannot be projected on")
    return vector / norm


def _clamped(clamp: Clamp, x: Tensor) -> Tensor:
    """sum_k (value - f_k(x)) d_k, shape (rows, tokens, width), float32."""
    latents = torch.tensor(clamp.latents)
    now = clamp.dictionary.some(x, latents).float()
    assert isinstance(clamp.value, Tensor)
    writes = clamp.dictionary.writes(latents).float().to(x.device)
    return (clamp.value.to(now) - now).to(x.device) @ writes
