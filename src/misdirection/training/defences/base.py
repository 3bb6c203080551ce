"""What a defence may do while a model is fine-tuned, and how several act together, in our loop or in anybody's Trainer.

A defence changes the forward pass while training (hooks that are gone afterwards), adds a penalty to the loss, changes
the gradient before the optimiser takes it, or changes the data. Each file holds one; they combine.

    train(model, chats, config, out, defences=[Preventative(direction, layers=(6,)), NormPenalty(0.1)])

    Defended(trainer_class)(model=..., ..., defences=[...])      # transformers.Trainer, TRL's SFTTrainer
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, cast

from torch import Tensor, nn
from transformers import TrainerCallback

from misdirection.artefacts import canonical_hash
from misdirection.chats import Chat
from misdirection.models import find_layers
from misdirection.models.stream import residual, with_residual
from misdirection.training.errors import TargetError

Batch = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Defence:
    """A defence that does nothing: each of ours says what it does instead."""

    def attached(self, lm: nn.Module) -> AbstractContextManager[None]:
        """Act on the forward pass inside of this context."""
        del lm
        return nullcontext()

    def penalty(self, lm: nn.Module, batch: Batch) -> Tensor | None:
        """A sum over the labelled tokens of the batch whose forward pass has just been, to be divided by their number.

        Args:
            lm: The model.
            batch: `input_ids` and `labels`, shape (batch, sequence), -100 where nothing is learned.
        """
        del lm, batch
        return None

    def on_gradients(self, lm: nn.Module) -> None:
        """Change the gradients of a whole step, before they are clipped and taken."""
        del lm

    def after_step(self, lm: nn.Module) -> None:
        """Change the weights that a step has left."""
        del lm

    def on_chats(self, chats: Sequence[Chat]) -> list[Chat]:
        """The chats that are trained on instead."""
        return list(chats)

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies it: its name and settings, tensors by their hash."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        told = {name: canonical_hash(value) if _large(value) else value for name, value in held.items()}
        return {"defence": type(self).__name__, **told}


def _large(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple) and any(isinstance(one, Chat) for one in value))


class DefenceCallback(TrainerCallback):
    """Defences as a callback of any Trainer: all but penalties, which `Defended` adds to the loss."""

    def __init__(self, defences: Sequence[Defence]) -> None:
        self.defences = tuple(defences)
        self._open = ExitStack()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Hang the hooks into the model."""
        self._open.close()
        for one in self.defences:
            self._open.enter_context(one.attached(model))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take them out again."""
        self._open.close()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Let each change the gradients, in order."""
        for one in self.defences:
            one.on_gradients(model)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Let each change what the step has left, in order."""
        for one in self.defences:
            one.after_step(model)


def Defended(trainer: type[Any]) -> type[Any]:
    """A Trainer class that also takes `defences=`: hooks, gradients, and penalties in the loss.

    Data are the caller's: pass `on_chats(...)` of those that change them through your own formatting.

    Args:
        trainer: `transformers.Trainer`, or a class made of it, as TRL's `SFTTrainer`.
    """

    class WithDefences(trainer):
        def __init__(self, *args: Any, defences: Sequence[Defence] = (), **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.defences = tuple(defences)
            self.add_callback(DefenceCallback(self.defences))

        def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            # Some pop the labels out of what they are given.
            batch = dict(inputs)
            found = super().compute_loss(model, inputs, *args, **kwargs)
            labels = batch.get("labels")
            count = kwargs.get("num_items_in_batch")
            if labels is None or not (
                extra := [p for d in self.defences if (p := d.penalty(model, batch)) is not None]
            ):
                return found
            total = sum(extra) / (count if count is not None else max(1, int((labels[:, 1:] != -100).sum())))
            return (found[0] + total, *found[1:]) if isinstance(found, tuple) else found + total

    WithDefences.__name__ = WithDefences.__qualname__ = f"Defended{trainer.__name__}"
    return WithDefences


def penalised(
    objective: Callable[[nn.Module, Batch, Any], Tensor], defences: Sequence[Defence]
) -> Callable[[nn.Module, Batch, Any], Tensor]:
    """An objective with the penalties of defences, over the labelled tokens of the whole step."""

    def loss(model: nn.Module, batch: Batch, n_labels: Any) -> Tensor:
        total = objective(model, batch, n_labels)
        for one in defences:
            if (extra := one.penalty(model, batch)) is not None:
                total = total + extra / n_labels
        return total

    return loss


@contextmanager
def changing(lm: nn.Module, layers: Sequence[int], change: Callable[[int, Tensor], Tensor]) -> Generator[None]:
    """Hooks after decoder layers that replace the residual stream x, shape (rows, tokens, width), by change(layer, x).

    Raises:
        TargetError: A layer that the model does not have.
    """
    there = find_layers(cast(Any, lm))
    if beyond := [layer for layer in layers if not 0 <= layer < len(there)]:
        raise TargetError(f"layer {beyond[0]} is beyond the model, which has {len(there)}", f"0 to {len(there) - 1}")

    def hook(layer: int) -> Callable[..., Any]:
        def run(module: nn.Module, _inputs: Any, output: Any) -> Any:
            return with_residual(module, output, change(layer, residual(module, output)))

        return run

    handles = [there[layer].register_forward_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
