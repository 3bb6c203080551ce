"""Numbers that are none: seen where a batch is read, traced to layer and cause, and told in one sentence.

A batch pays for looking at a few numbers a row. Only where one of them is NaN or infinite is that text run again,
alone, with every layer looked at, and with less and less switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from misdirection.engine.interventions import Arm
from misdirection.engine.program import Program
from misdirection.errors import MisdirectionError
from misdirection.models import Model

_WIDER = {
    torch.float16: "float16 ends at 65,504: use --dtype bfloat16 (the same size) or float32",
    torch.bfloat16: "try --dtype float32; if nothing changes, the weights are damaged",
}
_DAMAGED = "the weights, or what they were converted from, seem damaged: fetch or convert them again"


class NotFiniteError(MisdirectionError):
    """A model gave NaN or infinity where a number belongs."""


class _FaultError(Exception):
    """A text that gave no numbers, on its way out of the hooks of the program that is running."""

    def __init__(self, model: Model, what: str, ids: tuple[int, ...], arm: Arm, start: int) -> None:
        super().__init__(what)
        self.model, self.what, self.ids, self.arm, self.start = model, what, ids, arm, start


def demand(sound: Tensor, model: Model, what: str, ids: Sequence[int], arm: Arm, start: int) -> None:
    """Stop where something that was read from a text is not finite.

    Args:
        sound: Whether it is finite, bools that must all hold.
        model: What was run.
        what: What was read, in the plural.
        ids: The tokens up to the fault.
        arm: Under which they were read.
        start: First token of the answer.

    Raises:
        NotFiniteError: Something is not, where an `explained` is open around.
    """
    if not bool(sound.all()):
        raise _FaultError(model, what, tuple(ids), arm, start)


@contextmanager
def explained() -> Generator[None]:
    """Makes the user's error of what `demand` finds inside; to be opened outside of any program's hooks."""
    try:
        yield
        return
    except _FaultError as error:
        fault = error
    raise _traced(fault)


def _traced(fault: _FaultError) -> NotFiniteError:
    model, arm = fault.model, fault.arm
    dtype = str(model.dtype).removeprefix("torch.")
    where = _first(fault, arm) or "not seen again when this text runs alone and without a cache"
    message = (
        f"the {fault.what} of {model.name} are not numbers (NaN or infinite) in {dtype}, arm '{arm.name}': {where}"
    )
    if arm.interventions and _first(fault, Arm(arm.name, arm.adapter)) is None:
        hint = f"take a smaller coefficient in '{arm.name}', or a dtype of wider range (bfloat16, float32)"
        return NotFiniteError(f"{message}; without the arm's interventions they are finite", hint)
    damaged = _damaged(model, arm.adapter)
    if arm.adapter is not None and _first(fault, Arm("base")) is None:
        message += f"; without the adapter '{arm.adapter}' they are finite"
        if damaged:
            return NotFiniteError(f"{message}, and its weight {damaged} holds NaN", "train or save the adapter again")
        return NotFiniteError(message, _WIDER.get(model.dtype, "the adapter seems damaged, or scaled beyond measure"))
    if damaged:
        return NotFiniteError(f"{message}; the weight {damaged} holds NaN or infinity", _DAMAGED)
    return NotFiniteError(message, _WIDER.get(model.dtype, _DAMAGED))


def _damaged(model: Model, adapter: str | None) -> str | None:
    """The first weight, of an adapter first, that is not finite."""
    named = [(name, value) for name, value in model.lm.named_parameters() if value.is_floating_point()]
    named.sort(key=lambda item: f".{adapter}." not in item[0])
    others = [f".{name}." for name in model.adapters if name != adapter]
    for name, value in named:
        if not (".lora_" in name and any(other in name for other in others)) and not bool(value.isfinite().all()):
            return name
    return None


def _first(fault: _FaultError, arm: Arm) -> str | None:
    """Where the text's states first stop being finite under an arm; None where all are finite."""
    model, found = fault.model, list[str]()

    def hook_of(name: str, of: Callable[[Any], Tensor]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Any) -> None:
            if not found and not bool(of(output).isfinite().all()):
                found.append(name)

        return hook

    program = Program(model, [arm])
    positions = torch.arange(len(fault.ids))[None]
    with torch.inference_mode(), program.attached():
        program.bind(program.arm_index([arm]), positions < fault.start, positions >= fault.start - 1, positions)
        watched: list[tuple[Any, str, Callable[[Any], Tensor]]] = [
            (model.lm.get_input_embeddings(), "the token embeddings are the first", lambda x: x)
        ]
        watched += [
            (layer, f"layer {number} is the first", lambda output: output if isinstance(output, Tensor) else output[0])
            for number, layer in enumerate(model.layers)
        ]
        handles = [module.register_forward_hook(hook_of(name, of)) for module, name, of in watched]
        try:
            ids = torch.tensor([fault.ids], device=model.device)
            logits = model.lm(input_ids=ids, use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
    if not found and not bool(logits.amax(-1).isfinite().all()):
        found.append("all layers are finite, the final norm or the unembedding is the first")
    return found[0] if found else None
