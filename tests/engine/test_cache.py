from __future__ import annotations

import pytest
import torch
from tests.families import FAMILIES, prompt, shared
from transformers import DynamicCache

from misdirection.engine.cache import RoomyLayer, new_cache, select_rows
from misdirection.models import Model
from misdirection.models.families import cache_argument


def steps_of(
    model: Model, cache: DynamicCache, ids: torch.Tensor, choices: list[torch.Tensor | None]
) -> list[torch.Tensor]:
    """Logits of a prefill and of 44 single steps, some of them after a choice of rows."""
    found = []
    with torch.inference_mode():
        for step in range(45):
            if step and (choice := choices[step % len(choices)]) is not None:
                choice = choice[choice < len(ids)]
                select_rows(cache, choice)
                ids = ids[choice]
            new = ids[:, :20] if step == 0 else ids[:, 19 + step : 20 + step]
            named = {str(cache_argument(model.lm)): cache}
            found.append(model.lm(input_ids=new, use_cache=True, **named).logits[:, -1].clone())
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_growing_in_place_gives_bit_for_bit_what_the_stock_cache_gives(family: str) -> None:
    model = shared(family)
    ids = torch.tensor([prompt(n, 65) for n in range(5)])
    choices = [None] * 6 + [torch.tensor([3, 0, 1, 3])] + [None] * 13 + [torch.tensor([1, 0])] + [None] * 9
    ours, stock = new_cache(model), DynamicCache(config=model.lm.config)
    assert any(isinstance(layer, RoomyLayer) for layer in ours.layers) != (family == "mistral")
    for one, other in zip(steps_of(model, ours, ids, choices), steps_of(model, stock, ids, choices), strict=True):
        assert torch.equal(one, other)


def test_room_is_not_taken_at_every_step() -> None:
    layer, places = RoomyLayer(), set()
    layer.update(torch.randn(2, 3, 10, 4), torch.randn(2, 3, 10, 4))
    for step in range(200):
        key, value = torch.full((2, 3, 1, 4), float(step)), torch.randn(2, 3, 1, 4)
        keys, values = layer.update(key, value)
        assert keys.shape == values.shape == (2, 3, 11 + step, 4)
        assert layer.get_seq_length() == 11 + step
        assert torch.equal(keys[:, :, -1:], key)
        assert torch.equal(values[:, :, -1:], value)
        assert keys[0, 0, 10:, 0].tolist() == list(range(step + 1))
        places.add(keys.untyped_storage().data_ptr())
    assert len(places) < 8


def test_choosing_rows_leaves_the_originals_alone() -> None:
    layer = RoomyLayer()
    layer.update(torch.zeros(3, 1, 2, 1), torch.zeros(3, 1, 2, 1))
    layer.update(torch.ones(3, 1, 1, 1), torch.ones(3, 1, 1, 1))
    layer.batch_repeat_interleave(2)
    keys, _ = layer.update(torch.arange(6.0).view(6, 1, 1, 1), torch.arange(6.0).view(6, 1, 1, 1))
    assert keys[:, 0, :, 0].tolist() == [[0, 0, 1, n] for n in range(6)]
    layer.batch_select_indices(torch.tensor([4, 4, 1]))
    keys, _ = layer.update(torch.arange(3.0).view(3, 1, 1, 1), torch.arange(3.0).view(3, 1, 1, 1))
    assert keys[:, 0, :, 0].tolist() == [[0, 0, 1, 4, 0], [0, 0, 1, 4, 1], [0, 0, 1, 1, 2]]
