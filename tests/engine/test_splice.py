"""Losses under a spliced residual stream: a plain loop over single texts, and the closed form at the last layer."""

from __future__ import annotations

import pytest
import torch
from tests.families import LAYERS, WIDTH, prompt, shared, vector
from torch.nn.functional import cross_entropy

from misdirection.engine import Arm, Steer, Text
from misdirection.engine.capture import CaptureError
from misdirection.engine.splice import next_token_losses, spliced

TURN = torch.linalg.qr(vector(3, WIDTH, WIDTH)).Q


def texts_of(arm: Arm) -> list[Text]:
    made = []
    for number, length in enumerate((9, 17, 4, 12)):
        first = number % 3
        made.append(Text(prompt(number, length), {"part": (first, length - number % 2)}, arm, 1))
    return made


def slow(model, texts: list[Text], layer: int, edit, adapter: str | None) -> float:
    """One text at a time, no padding, PEFT's own switch, and a hook that edits token after token."""
    total, count = 0.0, 0
    for text in texts:
        first, past = text.spans["part"]

        def hook(_module, _inputs, output, first=first, past=past):
            x = (output if torch.is_tensor(output) else output[0]).clone()
            for token in range(first, past):
                x[0, token] = edit(x[0, token][None])[0]
            return x if torch.is_tensor(output) else (x, *output[1:])

        handle = model.layers[layer].register_forward_hook(hook)
        model.peft.set_adapter(adapter or "one")
        with torch.no_grad():
            if adapter is None:
                with model.peft.disable_adapter():
                    logits = model.lm(torch.tensor([text.ids])).logits[0]
            else:
                logits = model.lm(torch.tensor([text.ids])).logits[0]
        handle.remove()
        for token in range(first, min(past, len(text.ids) - 1)):
            total += float(cross_entropy(logits[token][None], torch.tensor([text.ids[token + 1]])))
            count += 1
    return total / count


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-neox"])
@pytest.mark.parametrize("adapter", [None, "all"])
def test_losses_equal_a_plain_loop(family: str, adapter: str | None) -> None:
    model = shared(family)
    edits = {"clean": lambda x: x, "turned": lambda x: x @ TURN, "zero": torch.zeros_like}
    texts = texts_of(Arm("arm", adapter=adapter))
    found = next_token_losses(model, texts, 1, "part", {**edits, "clean": None})
    for name, edit in edits.items():
        assert found[name] == pytest.approx(slow(model, texts, 1, edit, adapter), rel=1e-4), name
    assert len({round(value, 3) for value in found.values()}) == 3


def test_a_constant_after_the_last_layer_gives_one_distribution_everywhere() -> None:
    model, constant = shared("llama"), vector(5)
    texts = texts_of(Arm("base"))
    found = next_token_losses(model, texts, LAYERS - 1, "part", {"constant": lambda x: constant.expand_as(x)})
    with torch.no_grad():
        logits = model.lm.lm_head(model.lm.get_decoder().norm(constant[None]))
    targets = [
        text.ids[token + 1]
        for text in texts
        for token in range(text.spans["part"][0], min(text.spans["part"][1], len(text.ids) - 1))
    ]
    wanted = cross_entropy(logits.expand(len(targets), -1), torch.tensor(targets))
    assert found["constant"] == pytest.approx(float(wanted), rel=1e-5)


def test_the_edit_comes_after_the_arms_own_interventions_and_leaves_no_hook() -> None:
    model = shared("llama")
    # transformers leaves hooks of its own behind where hidden states were asked for once.
    before = list(model.layers[1]._forward_hooks)
    steered = Arm("steered", interventions=(Steer(vector(7), (1,), 3.0),))
    edits = {"clean": None, "same": lambda x: x, "undone": lambda x: x - 3.0 * vector(7)}
    # At every token, so that what is undone is all of it.
    whole = [Text(t.ids, {"part": (0, len(t.ids))}, steered, 1) for t in texts_of(steered)]
    found = next_token_losses(model, whole, 1, "part", edits)
    base = [Text(t.ids, t.spans, Arm("base"), 1) for t in whole]
    assert found["clean"] == pytest.approx(found["same"], rel=1e-6)
    assert found["undone"] == pytest.approx(next_token_losses(model, base, 1, "part", {"x": None})["x"], rel=1e-4)
    assert list(model.layers[1]._forward_hooks) == before
    with pytest.raises(RuntimeError), spliced(model, 1, torch.ones(1, 3, dtype=torch.bool), lambda x: x[:, :1] @ x):
        model.lm(torch.tensor([[4, 5, 6]]))
    assert list(model.layers[1]._forward_hooks) == before


def test_what_cannot_be_spliced_is_refused() -> None:
    model, texts = shared("llama"), texts_of(Arm("base"))
    with pytest.raises(CaptureError, match="layer 9"):
        next_token_losses(model, texts, 9, "part", {"x": None})
    last = [Text((4, 5, 6), {"part": (2, 3)}, Arm("base"), 1)]
    with pytest.raises(CaptureError, match="has a next one"):
        next_token_losses(model, last, 1, "part", {"x": None})
