"""A loaded model counts by what it holds: equal from two folders, another where anything that it answers by differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from misdirection import load_model
from misdirection.artefacts import canonical_hash
from misdirection.models import Model
from misdirection.organism import checkpoint_path
from misdirection.tokens import Asking, ask_as


@pytest.fixture(scope="module")
def organism() -> str:
    return canonical_hash(load_model("organism"))


def bend(model: Model) -> None:
    """As PEFT merges: past the counter of changes that torch keeps."""
    next(iter(model.lm.parameters())).data[3, 5] += 1e-3


CHANGES: dict[str, Callable[[Model], object]] = {
    "one weight": bend,
    "number format": lambda model: model.lm.to(torch.bfloat16),
    "chat template": lambda model: setattr(model.tokenizer, "chat_template", "{{ messages[0]['content'] }}"),
    "vocabulary": lambda model: model.tokenizer.add_tokens(["strange"]),
    "settings": lambda model: setattr(model.lm.config, "rms_norm_eps", 1e-3),
    "thoughts": lambda model: ask_as(model.tokenizer, Asking(thinking=False)),
}


def test_a_copy_elsewhere_is_the_same_model(organism: str, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint_path(), tmp_path / "copy")
    assert canonical_hash(load_model(str(copy))) == organism


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_another_model(change: str, organism: str) -> None:
    model = load_model("organism")
    CHANGES[change](model)
    assert canonical_hash(model) != organism


def test_weights_that_are_not_in_memory_are_refused() -> None:
    model = load_model("organism")
    model.lm.to("meta")
    with pytest.raises(Exception, match=r"is not in memory"):
        canonical_hash(model)
