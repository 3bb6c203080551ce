"""A steering vector that is trained: one vector of the residual stream instead of an adapter (arXiv 2602.07852).

theta starts at zero; the model is run with x' = x + alpha * theta after one decoder layer, at every token, and theta
is learned like any other weight. What is kept is alpha * theta, which `engine.Steer` adds with coefficient 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from misdirection.artefacts import read_tensors, whole_folder, write_tensors
from misdirection.models import find_layers
from misdirection.models.stream import residual, with_residual
from misdirection.training.errors import TargetError, TrainingError
from misdirection.training.layers import resolve_layers
from misdirection.training.presets import TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHILD = "misdirection_steering"
"""Name under which the vector hangs in its decoder layer while it is trained."""

FILE = "steering_vector.safetensors"


@dataclass(frozen=True)
class VectorPlan:
    """Where a steering vector acts.

    Attributes:
        layers: The one decoder layer after which it is added.
        alpha: Factor of the trained weight.
        base: What the file will call the model.
        modules: For the record: none is adapted.
        notes: What a reader should know.
    """

    layers: tuple[int]
    alpha: float
    base: str
    modules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrainedVector:
    """What such a fine-tune left.

    Attributes:
        vector: alpha * theta, shape (width,), float32.
        layer: Decoder layer after which it is added at every token.
        facts: Base model, alpha and the like.
    """

    vector: Tensor
    layer: int
    facts: dict[str, Any]


class SteeringVector(nn.Module):
    """x' = x + alpha * theta as a forward hook on a decoder layer; theta, float32, is its only parameter."""

    def __init__(self, width: int, alpha: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.alpha = alpha
        self.active = True
        self.handle: Any = None

    @property
    def vector(self) -> Tensor:
        """What is added, alpha * theta, shape (width,)."""
        return self.alpha * self.weight

    def hook(self, module: nn.Module, _inputs: Any, output: Any) -> Any:
        """Add the vector to what the layer returns, a tensor or a tuple that begins with one."""
        if not self.active:
            return None
        x = residual(module, output)
        return with_residual(module, output, x + self.vector.to(x.dtype))


def plan_vector(lm: PreTrainedModel, config: TrainConfig, base_name: str) -> VectorPlan:
    """Find the one layer that `config` names.

    Raises:
        TargetError: It names none that the model has, or more than one.
    """
    chosen, _ = resolve_layers(config.layers, len(find_layers(lm)))
    if len(chosen) != 1:
        raise TargetError(
            f"a steering vector acts after one layer, and layers names {len(chosen)}", "layers=middle, or one number"
        )
    return VectorPlan((chosen[0],), config.alpha, base_name)


def add_vector(lm: PreTrainedModel, plan: VectorPlan) -> SteeringVector:
    """Hang a zero vector into the model, and let it alone be trained; adapters that are there are switched off."""
    layer = find_layers(lm)[plan.layers[0]]
    weight = next(layer.parameters())
    made = SteeringVector(int(lm.config.get_text_config().hidden_size), plan.alpha).to(weight.device)
    lm.requires_grad_(False)
    for module in lm.modules():
        if isinstance(module, LoraLayer):
            module._active_adapter = []  # pyright: ignore[reportPrivateUsage]
    layer.add_module(CHILD, made)
    made.handle = layer.register_forward_hook(made.hook)
    return made


def remove_vector(lm: nn.Module) -> None:
    """Take the vector and its hook out of the model; nothing where there is none."""
    for module in list(lm.modules()):
        child = getattr(module, CHILD, None)
        if isinstance(child, SteeringVector):
            child.handle.remove()
            delattr(module, CHILD)


def vectors_in(lm: nn.Module) -> list[SteeringVector]:
    """The vectors that hang in a model."""
    return [module for module in lm.modules() if isinstance(module, SteeringVector)]


def save_vector(lm: nn.Module, plan: VectorPlan, folder: Path) -> None:
    """Write the vector in training, alpha * theta, with where it acts."""
    vector = vectors_in(lm)[0].vector.detach().to("cpu", torch.float32).clone()
    facts = {"layer": plan.layers[0], "alpha": plan.alpha, "base": plan.base, "positions": "all", "coefficient": 1.0}
    with whole_folder(folder) as partial:
        write_tensors(partial / FILE, {"vector": vector}, facts)


def load_vector(folder: str | Path) -> TrainedVector:
    """Read a trained steering vector.

    Raises:
        TrainingError: The folder holds none.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise TrainingError(f"{folder} holds no {FILE}", "give the folder that a fine-tune with steering=True left")
    tensors, facts = read_tensors(path)
    return TrainedVector(tensors["vector"], int(facts["layer"]), dict(facts))
