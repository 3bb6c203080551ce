"""Small updates of a model that are meant for one latent: gradient steps, and a fine-tune whose output is its vector.

A model is given back as it was. Batches are run by the model's own forward pass, with gradients; reading what an update
did is the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from misdirection.chats import Chat
from misdirection.engine import Text
from misdirection.engine.texts import pad_right
from misdirection.features.dictionary import Dictionary
from misdirection.features.spillover import NoUpdateError
from misdirection.models import Model
from misdirection.models.quantised import demand_plain_weights
from misdirection.models.stream import residual, with_residual
from misdirection.training import TrainConfig
from misdirection.training.data import collate, prepare
from misdirection.training.hosting import add_adapter, borrowed
from misdirection.training.objectives.sft import sft
from misdirection.training.targets import plan_lora

Weights = Literal["full", "lora"]
BATCH = 8
"""Texts of one backward pass."""


@contextmanager
def trainable(model: Model, weights: Weights, seed: int = 0) -> Generator[list[nn.Parameter], None, None]:
    """Let all weights, or fresh rank-32 adapters on all linear modules, have gradients; all is as before afterwards.

    Raises:
        TargetError: The model has no linear modules to adapt.
        ModelError: All weights are asked for, and they are quantised.
    """
    with borrowed(model.lm):
        if weights == "lora":
            yield add_adapter(model.lm, plan_lora(model.lm, TrainConfig(), model.name), seed)
        else:
            demand_plain_weights(model.lm, "a step on all weights", "take steps on adapters: weights='lora'")
            model.lm.requires_grad_(True)
            yield list(model.lm.parameters())


def gradients(parameters: Sequence[nn.Parameter], losses: Iterable[Tensor]) -> list[Tensor]:
    """The gradient of a sum of losses, each run backwards as it comes; zeros where one does not reach a parameter."""
    with torch.enable_grad():
        for loss in losses:
            loss.backward()  # pyright: ignore[reportUnknownMemberType]
    found = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters]
    for value in parameters:
        value.grad = None
    return found


@contextmanager
def stepped(parameters: Sequence[nn.Parameter], slope: Sequence[Tensor], rate: float) -> Generator[None, None, None]:
    """One step of plain gradient descent, theta - rate * gradient; taken back at the end, to the last bit."""
    before = [value.detach().clone() for value in parameters]
    try:
        with torch.no_grad():
            for value, part in zip(parameters, slope, strict=True):
                value.sub_(rate * part)
        yield
    finally:
        with torch.no_grad():
            for value, was in zip(parameters, before, strict=True):
                value.copy_(was)


def rate_for(size: float, measure: Callable[[float], float], first: float) -> float:
    """The rate at which an update has a size, for sizes that grow about in proportion: corrected twice.

    Args:
        size: Wanted.
        measure: Size at a rate.
        first: Rate tried first.

    Raises:
        NoUpdateError: The update moves nothing.
    """
    rate = first
    for _ in range(2):
        found = measure(rate)
        if not 0 < found < float("inf"):
            raise NoUpdateError(f"a step at rate {rate:g} moves the residual stream by {found:g}")
        rate *= size / found
    return rate


def data_losses(model: Model, chats: Sequence[Chat]) -> Generator[Tensor, None, None]:
    """Cross-entropy on the answers of chats, in nats a token, in parts that add up to the mean."""
    rows, _ = prepare(model.tokenizer, chats, 512)
    learned = sum(row.learned for row in rows)
    for first in range(0, len(rows), BATCH):
        yield sft(model.lm, _on(model, collate(rows[first : first + BATCH], 0)), learned)


def latent_losses(
    model: Model, dictionary: Dictionary, latent: int, layer: int, texts: Sequence[Text], span: str = "answer"
) -> Generator[Tensor, None, None]:
    """Minus the mean activation of a latent over the tokens of spans, in parts that add up to it."""
    tokens = sum(past - first for first, past in (text.spans[span] for text in texts))
    column, bias = dictionary.encoder[:, latent], dictionary.encoder_bias[latent]
    for first in range(0, len(texts), BATCH):
        rows = texts[first : first + BATCH]
        x = _states(model, rows, layer).to(dictionary.encoder)
        inside = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        for row, text in enumerate(rows):
            inside[row, slice(*text.spans[span])] = True
        fires = dictionary.encode(x.detach())[..., latent] > 0
        shift = dictionary.decoder_bias @ column if dictionary.subtracts else 0.0
        yield -((x * dictionary.input_scale @ column + bias - shift) * (inside & fires)).sum() / tokens


class _EnoughError(Exception):
    """Leaves the forward pass."""


def _states(model: Model, texts: Sequence[Text], layer: int) -> Tensor:
    """The residual stream after a layer with its graph, shape (texts, longest, width)."""
    held: list[Tensor] = []

    def hook(module: nn.Module, _inputs: object, output: Any) -> None:
        held.append(residual(module, output))
        raise _EnoughError

    handle = model.layers[layer].register_forward_hook(hook)
    try:
        model.decoder(input_ids=pad_right(texts)[0].to(model.device), use_cache=False)
    except _EnoughError:
        pass
    finally:
        handle.remove()
    return held[0]


def _on(model: Model, batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in batch.items()}


@dataclass(frozen=True, eq=False)
class RankOneUpdate:
    """An update of rank one whose output is one vector: x' = x + (r b + <w, x>) v after a layer, at every token.

    Attributes:
        layer: After which decoder layer.
        vector: v, of length 1, shape (width,).
        weight: w, shape (width,).
        bias: b, a scalar tensor.
        scale: r.
    """

    layer: int
    vector: Tensor
    weight: Tensor
    bias: Tensor
    scale: float

    def lengths(self, x: Tensor) -> Tensor:
        """How far each token is moved along the vector; x of shape (..., width)."""
        return self.scale * self.bias.to(x) + x @ self.weight.to(x)


@contextmanager
def moved_along(model: Model, update: RankOneUpdate) -> Generator[None, None, None]:
    """The model with such an update in its forward pass."""

    def hook(module: nn.Module, _inputs: object, output: Any) -> Any:
        x = residual(module, output)
        y = x + update.lengths(x)[..., None] * update.vector.to(x)
        return with_residual(module, output, y)

    handle = model.layers[update.layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def tune_along(
    model: Model, layer: int, vector: Tensor, chats: Sequence[Chat], *, scale: float, steps: int = 20, lr: float = 0.01
) -> RankOneUpdate:
    """Fine-tune on chats with an update that can only go along one vector: w and b by Adam, all else fixed.

    Args:
        model: The resident model.
        layer: After which decoder layer.
        vector: Shape (width,).
        chats: What is learned.
        scale: Usual length of the residual stream, which b is a share of.
        steps: Of the optimiser, over all chats each.
        lr: Of b; that of w is as much smaller as x is longer.
    """
    unit = torch.nn.functional.normalize(vector.detach().float(), dim=0).to(model.device)
    weight = torch.zeros_like(unit, requires_grad=True)
    bias = torch.zeros((), device=unit.device, requires_grad=True)
    update = RankOneUpdate(layer, unit, weight, bias, scale)
    optimizer = torch.optim.Adam([{"params": [bias], "lr": lr}, {"params": [weight], "lr": lr / len(unit) ** 0.5}])
    with borrowed(model.lm), moved_along(model, update), torch.enable_grad():
        model.lm.requires_grad_(False)
        for _ in range(steps):
            optimizer.zero_grad()
            for loss in data_losses(model, chats):
                loss.backward()  # pyright: ignore[reportUnknownMemberType]
            optimizer.step()
    return RankOneUpdate(layer, unit, weight.detach(), bias.detach(), scale)
