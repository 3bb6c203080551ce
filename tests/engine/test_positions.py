"""A table of positions ends; what would reach beyond is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.engine.every_family import tiny
from tests.families import prompt, words

from misdirection.engine import Arm, Prompt, Row, SamplingConfig, Text, capture_means, compare, log_likelihoods, sample
from misdirection.engine.batching import default_budget
from misdirection.engine.continuations import continuation_chances
from misdirection.engine.splice import next_token_losses
from misdirection.models import Model, ModelError, wrap

BASE = Arm("base")


def text(length: int) -> Text:
    return Text(prompt(1, length), {"all": (0, length)}, BASE, 3)


READERS: dict[str, Callable[[Model, int], Any]] = {
    "sampling": lambda model, n: sample(model, [Row(Prompt("q", prompt(1, n - 3)), BASE)], SamplingConfig(4)),
    "means": lambda model, n: capture_means(model, [text(n)], torch.ones(1, 1)),
    "likelihood": lambda model, n: log_likelihoods(model, [text(n)]),
    "divergence": lambda model, n: compare((model, BASE), (model, BASE), [text(n)]),
    "continuations": lambda model, n: list(continuation_chances(model, [prompt(1, n - 1)], [(4,), (5, 6)], 0)),
    "splice": lambda model, n: next_token_losses(model, [text(n)], 1, "all", {"clean": None}),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["gpt2", "opt", "gptj", "codegen", "mpt"])
def test_the_last_position_is_used_and_none_behind_it(kind: str, reader: str) -> None:
    model = wrap(tiny(kind), words(), "a model")
    READERS[reader](model, 128)
    model.lm.register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    with pytest.raises(ModelError, match="take up to 129 positions, and a model has a table of 128"):
        READERS[reader](model, 129)


def test_rotary_positions_go_on() -> None:
    model = wrap(tiny("llama"), words(), "a model")
    for reader in READERS.values():
        reader(model, 150)


def test_a_budget_is_found_whatever_a_configuration_says_of_heads() -> None:
    model = wrap(tiny("llama"), words(), "a model")
    for changes in (
        {"num_attention_heads": None, "num_key_value_heads": None, "head_dim": None},
        {"num_key_value_heads": [1, 2, 2, 4]},
        {"num_key_value_heads": [None, 2, 0, 1], "head_dim": None},
        {"num_attention_heads": [4, 4, 2, 2], "head_dim": None},
        {"qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 8},
        {"state_size": 16, "intermediate_size": None},
    ):
        for name, value in changes.items():
            object.__setattr__(model.lm.config, name, value)
        assert default_budget(model) >= 1024
