"""The stream of activations against the model's own hidden states."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.families import prompt, shared

from misdirection.engine import Arm, Text
from misdirection.features import DictionaryError
from misdirection.features import activations as stream
from misdirection.features.activations import activation_batches, windows

LAYER = 2


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return [Text(prompt(n, 5 + n % 9), {"states": (1, 5 + n % 9)}, Arm("base"), 1) for n in range(30)]


@pytest.fixture(scope="module")
def states(texts) -> torch.Tensor:
    model = shared("llama")
    held = []
    with torch.no_grad(), model.peft.disable_adapter():
        for text in texts:
            out = model.lm(torch.tensor([text.ids]), output_hidden_states=True)
            held.append(out.hidden_states[LAYER + 1][0, 1:])
    return torch.cat(held)


def rows_in(found: torch.Tensor, states: torch.Tensor) -> list[int]:
    """Which state each row is; each is one, and no two rows are the same one."""
    distance = torch.cdist(found, states, compute_mode="donot_use_mm_for_euclid_dist")
    assert float(distance.amin(1).max()) < 1e-3
    places = distance.argmin(1).tolist()
    assert len(set(places)) == len(places)
    return places


@pytest.mark.parametrize("room", [70, 10_000])
def test_an_epoch_holds_each_state_at_most_once_and_loses_less_than_a_batch_a_window(texts, states, room):
    lengths = [len(text.ids) - 1 for text in texts]
    batch = 16
    epochs = [windows(lengths, room, 3, epoch) for epoch in range(2)]
    counts = [sum(sum(lengths[i] for i in window) // batch for window in epoch) for epoch in epochs]
    made = activation_batches(shared("llama"), texts, LAYER, "states", batch=batch, room=room, seed=3)
    first, second = (torch.cat(list(itertools.islice(made, batches))) for batches in counts)
    assert first.shape == (counts[0] * batch, states.shape[1]) and not first.is_inference()
    one, two = rows_in(first, states), rows_in(second, states)
    assert len(one) > len(states) - batch * len(epochs[0])
    assert one != two and one != sorted(one)


@pytest.mark.parametrize("room", [70, 10_000])
def test_it_starts_again_anywhere_and_reads_only_the_window_it_is_in(texts, room, monkeypatch):
    def make(skip: int, seed: int = 3):
        return activation_batches(shared("llama"), texts, LAYER, "states", batch=16, room=room, seed=seed, skip=skip)

    whole = list(itertools.islice(make(0), 40))
    read = []
    inner = stream._read
    monkeypatch.setattr(stream, "_read", lambda *a: (read.append(len(a[1])), inner(*a)))
    for skip in (1, 7, 33):
        read.clear()
        again = next(make(skip))
        assert len(read) == 1 and (read[0] < len(texts) or room > 70)
        torch.testing.assert_close(again, whole[skip], rtol=0, atol=0)
    assert not torch.equal(next(make(0, seed=4)), whole[0])


def test_windows_hold_every_text_once_and_no_more_than_the_room():
    lengths = [3, 50, 7, 9, 120, 4, 33, 8, 1, 60]
    for seed, epoch in itertools.product(range(3), range(3)):
        found = windows(lengths, 90, seed, epoch)
        assert sorted(index for window in found for index in window) == list(range(len(lengths)))
        assert all(sum(lengths[i] for i in window) <= 90 or len(window) == 1 for window in found)
    assert windows(lengths, 90, 0, 0) != windows(lengths, 90, 0, 1)


def test_a_corpus_smaller_than_a_batch_is_refused(texts):
    with pytest.raises(DictionaryError, match="a batch 4,096"):
        next(activation_batches(shared("llama"), texts, LAYER, "states", batch=4096, room=9000))
