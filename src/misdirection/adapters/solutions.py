"""A fine-tune as one point theta in parameter space, so that it can be made longer, shorter, and moved aside.

A trained steering vector is its own theta. Of an adapter, theta is what it adds to the weights: with A = R^T Q^T (QR of
A^T, Q orthonormal) and LoRA's scaling s, every module's change is s B A = T Q^T with T = s B R^T, and theta is all T's
end to end. Its length is the Frobenius norm of the change of the weights and does not depend on how the product was
split into A and B; what A reads is kept. Moving theta moves B alone, as arXiv 2602.07852 moves the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from misdirection.adapters.weights import AdapterError
from misdirection.engine import Arm, Steer
from misdirection.models import Model


@dataclass(frozen=True, eq=False)
class Solution:
    """A fine-tune as a point.

    Attributes:
        name: Of the fine-tune.
        model: The resident model.
        theta: Shape (parameters,), float64; zero is the base model.
        at: Puts another theta in its place while a block runs, and gives the arm to run it under.
    """

    name: str
    model: Model
    theta: Tensor
    at: Callable[[Tensor], AbstractContextManager[Arm]]

    @property
    def norm(self) -> float:
        """Length of theta."""
        return float(self.theta.norm())


@dataclass(frozen=True, eq=False)
class _Factor:
    """One module: its A and B in the model, Q (inputs, pairs), T (outputs, pairs) and s."""

    a: Tensor
    b: Tensor
    q: Tensor
    t: Tensor
    scaling: float


def vector_solution(name: str, model: Model, vector: Tensor, layer: int) -> Solution:
    """A steering vector added after one layer at every token.

    Args:
        name: Of the fine-tune.
        model: The resident model.
        vector: Shape (width,).
        layer: Decoder layer.
    """

    @contextmanager
    def at(theta: Tensor) -> Generator[Arm]:
        yield Arm(name, None, (Steer(theta.float(), (layer,), 1.0),))

    return Solution(name, model, vector.double().cpu(), at)


def adapter_solution(name: str, model: Model, adapter: str) -> Solution:
    """A LoRA adapter of the resident model; its weights are exchanged within `at` and put back afterwards.

    Raises:
        AdapterError: No adapter is called so.
    """
    factors = _factors(model, adapter)

    @contextmanager
    def at(theta: Tensor) -> Generator[Arm]:
        before = [(factor.a.clone(), factor.b.clone()) for factor in factors]
        try:
            _write(factors, theta)
            yield Arm(name, adapter)
        finally:
            for factor, (a, b) in zip(factors, before, strict=True):
                factor.a.copy_(a)
                factor.b.copy_(b)

    return Solution(name, model, torch.cat([factor.t.flatten() for factor in factors]), at)


def weight_cosine(model: Model, one: str, other: str) -> float:
    """Cosine between the changes of the weights that two adapters of one model make, sum <s B A, s' B' A'>_F."""
    sides = [{path: held for path, held in _by_path(model, name).items()} for name in (one, other)]
    along = sum(
        float(((sides[0][path].q.T @ sides[1][path].q) * (sides[0][path].t.T @ sides[1][path].t)).sum())
        for path in sides[0].keys() & sides[1].keys()
    )
    lengths = [sum(float(factor.t.square().sum()) for factor in side.values()) ** 0.5 for side in sides]
    return along / (lengths[0] * lengths[1]) if all(lengths) else 0.0


def _factors(model: Model, adapter: str) -> list[_Factor]:
    return list(_by_path(model, adapter).values())


def _by_path(model: Model, adapter: str) -> dict[str, _Factor]:
    if adapter not in model.lora:
        raise AdapterError(
            f"no adapter is called '{adapter}'", f"loaded adapters: {', '.join(model.adapters) or 'none'}"
        )
    found: dict[str, _Factor] = {}
    for path, held in model.lora[adapter].items():
        module = cast(Any, held)
        a, b = (part[adapter].weight.detach() for part in (module.lora_A, module.lora_B))
        scaling = float(module.scaling[adapter])
        q, r = torch.linalg.qr(a.double().cpu().T)
        found[path] = _Factor(a, b, q, scaling * b.double().cpu() @ r.T, scaling)
    return found


def _write(factors: list[_Factor], theta: Tensor) -> None:
    """Put theta into the modules: A = Q^T and B = T / s; where a module has fewer inputs than rank, the rest is 0."""
    parts = theta.split([factor.t.numel() for factor in factors])
    for factor, part in zip(factors, parts, strict=True):
        pairs = factor.q.shape[1]
        factor.a.zero_()
        factor.b.zero_()
        factor.a[:pairs] = factor.q.T.to(factor.a)
        factor.b[:, :pairs] = (part.view(factor.t.shape) / factor.scaling).to(factor.b)
