"""What a fine-tune minimises: one file an objective, registered here by name.

An objective takes the model, a batch (see `data.collate`) and the number of labelled tokens in the whole accumulated
step, and gives a loss to be summed over the step's batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from misdirection.registry import Registry
from misdirection.training.errors import SettingsError
from misdirection.training.objectives.kl import kl
from misdirection.training.objectives.sft import sft

Objective = Callable[[nn.Module, Mapping[str, Any], "Tensor | float"], Tensor]


def _as_it_is(function: Objective) -> Objective:
    return function


OBJECTIVES: Registry[Objective] = Registry("objective", "misdirection.objectives", _as_it_is, {"sft": sft, "kl": kl})
"""Objectives by the name that `TrainConfig.objective` calls them; `OBJECTIVES.register(name)` adds one."""


def find_objective(name: str) -> Objective:
    """The objective of a name.

    Raises:
        SettingsError: There is none.
    """
    if name not in OBJECTIVES:
        raise SettingsError(f"no objective is called '{name}'", f"objectives: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]
