from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.families import build, prompt, shared

from misdirection.engine import Arm, Prompt, Row, SamplingConfig, sample
from misdirection.engine.continuations import continuation_chances
from misdirection.engine.head import contiguous_head


def seen_by_the_head(model: Any) -> tuple[list[bool], Any]:
    """Whether the states of each call lay together, filled as the head is called."""
    layout: list[bool] = []
    head = model.lm.get_output_embeddings()
    return layout, head.register_forward_hook(lambda _m, inputs, _o: layout.append(inputs[0].is_contiguous()))


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt-neox"])
def test_no_view_reaches_the_head_of_a_batch_of_prompts(family: str) -> None:
    model = shared(family)
    layout, handle = seen_by_the_head(model)
    try:
        rows = [Row(Prompt(str(n), prompt(n, 9)), Arm("base")) for n in range(3)]
        sample(model, rows, SamplingConfig(max_new_tokens=2))
        list(continuation_chances(model, [row.prompt.ids for row in rows], [(4,), (5, 6)]))
    finally:
        handle.remove()
    assert layout
    assert all(layout)


def test_outside_of_the_engine_the_model_is_untouched() -> None:
    model = build("qwen2")
    head: Any = model.lm.get_output_embeddings()
    sample(model, [Row(Prompt("q", prompt(0, 4)), Arm("base"))], SamplingConfig(max_new_tokens=1))
    assert not head._forward_pre_hooks


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_logits_are_those_of_the_family(family: str) -> None:
    lm: Any = build(family).lm
    lm.to(torch.bfloat16)
    ids = torch.tensor([prompt(1, 6), prompt(2, 6)])
    with torch.no_grad():
        wanted = lm(input_ids=ids).logits[:, -1]
        with contiguous_head(lm):
            got = lm(input_ids=ids, logits_to_keep=1).logits[:, -1]
    torch.testing.assert_close(got, wanted)
