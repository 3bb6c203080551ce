"""What is read off a model's forward: the name of its cache, by every transformers that is supported, and positions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

from misdirection.models.families import cache_argument, takes_positions
from misdirection.training.passes import beginning


class Cache:
    """Stands for transformers' own, whose name an annotation holds."""


class Before524:
    def forward(self, input_ids: Any, position_ids: Any = None, past_key_values: Cache | None = None): ...


class From524:
    def forward(self, input_ids: Any, position_ids: Any = None, cache: Cache | None = None): ...


class StatesBefore524:
    def forward(self, input_ids: Any, cache_params: Cache | None = None): ...


class StatesFrom524:
    def forward(self, input_ids: Any, cache: Cache | None = None): ...


class Rwkv:
    def forward(self, input_ids: Any, state: Any = None): ...


class Xlm:
    def forward(self, input_ids: Any, position_ids: Any = None, cache: dict[str, Any] | None = None): ...


def model(kind: type[Any], family: str) -> Any:
    made: Any = kind()
    text = SimpleNamespace(model_type=family)
    made.config = SimpleNamespace(get_text_config=lambda decoder: text)
    return made


@pytest.mark.parametrize(
    ("kind", "family", "name", "positions"),
    [
        (Before524, "llama", "past_key_values", True), (From524, "llama", "cache", True),
        (StatesBefore524, "mamba", "cache_params", True), (StatesFrom524, "mamba", "cache", True),
        (Rwkv, "rwkv", "state", True), (Xlm, "xlm", None, True),
        (StatesFrom524, "unknown", "cache", False), (StatesFrom524, "bloom", "cache", True),
    ],
)  # fmt: skip
def test_the_cache_has_the_name_that_the_forward_gives_it(
    kind: type[Any], family: str, name: str | None, positions: bool
) -> None:
    assert cache_argument(model(kind, family)) == name
    assert takes_positions(model(kind, family)) is positions


SMALL = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2}


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL, intermediate_size=16, num_attention_heads=2)).eval()


def mambas() -> list[Any]:
    torch.manual_seed(0)
    own = {"state_size": 4, "expand": 2}
    second = Mamba2Config(**SMALL, **own, num_heads=4, head_dim=8, n_groups=1)
    return [MambaForCausalLM(MambaConfig(**SMALL, **own)), Mamba2ForCausalLM(second)]


def test_the_models_of_the_transformers_at_hand_take_it_by_that_name() -> None:
    for lm in (llama(), *mambas()):
        name = cache_argument(lm)
        assert name is not None and takes_positions(lm)
        ids = torch.tensor([[1, 2, 3]])
        kept = lm(input_ids=ids, use_cache=True)[name]
        with torch.no_grad():
            whole = lm(input_ids=torch.tensor([[1, 2, 3, 4]])).logits[:, -1]
            further = lm(input_ids=torch.tensor([[4]]), use_cache=True, **{name: kept}).logits[:, -1]
        assert torch.allclose(whole, further, atol=1e-5)


def test_a_beginning_in_training_is_taken_by_the_name_that_it_is_given_with() -> None:
    lm = llama()
    cached = beginning(lm, torch.tensor([1, 2, 3]), 2)
    assert list(cached) == [cache_argument(lm)]
    further = lm(input_ids=torch.tensor([[4], [5]]), use_cache=True, **cached).logits[:, -1]
    whole = lm(input_ids=torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])).logits[:, -1]
    assert torch.allclose(whole, further, atol=1e-5)
