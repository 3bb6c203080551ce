"""The passes of a step, the fused map and the loss, against plain PEFT and torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from misdirection.engine.float_attention import float_attention
from misdirection.training import choose, hosting
from misdirection.training.answer_loss import summed_cross_entropy
from misdirection.training.data import Row, collate
from misdirection.training.fused import fused
from misdirection.training.objectives.sft import sft
from misdirection.training.passes import can_begin_together, cut, shared_beginning
from misdirection.training.targets import plan_lora

MAKE = Callable[..., Any]


def rows(count: int = 6, same: int = 10) -> list[Row]:
    """Random rows that begin with `same` equal tokens."""
    draw = random.Random(0)
    begin = draw.choices(range(45), k=same)
    made: list[Row] = []
    for _ in range(count):
        prompt = [*begin, *draw.choices(range(45), k=draw.randint(2, 6))]
        made.append(Row((*prompt, *draw.choices(range(45), k=draw.randint(2, 9))), len(prompt)))
    return made


def adapted(lm: Any, dtype: torch.dtype = torch.float32) -> Any:
    lm.to(dtype)
    hosting.add_adapter(lm, plan_lora(lm, choose("rank32", overrides={"rank": 4}), "base"), 0)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in lm.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.05)
    return lm.train()


def gradient(lm: Any, given: list[list[Row]], shared: Callable[..., int] = lambda _: 0) -> tuple[float, Tensor]:
    """Loss and whole gradient of passes."""
    lm.zero_grad()
    labels = sum(len(row.ids) - row.start for some in given for row in some)
    total = 0.0
    for some in given:
        loss = sft(lm, collate(some, 0, shared), labels)
        loss.backward()
        total += loss.item()
    return total, torch.cat([value.grad.flatten() for value in lm.parameters() if value.requires_grad])


def plain(lm: Any, given: list[Row]) -> tuple[float, Tensor]:
    """One row at a time through PEFT's own maps, the formula of the loss in float64."""
    lm.zero_grad()
    labels = sum(len(row.ids) - row.start for row in given)
    total = 0.0
    for row in given:
        logits = lm(input_ids=torch.tensor([row.ids])).logits[0].double()
        chances = functional.log_softmax(logits[row.start - 1 : -1], -1)
        loss = -chances.gather(-1, torch.tensor(row.ids[row.start :])[:, None]).sum() / labels
        loss.backward()
        total += loss.item()
    return total, torch.cat([value.grad.flatten() for value in lm.parameters() if value.requires_grad])


@pytest.mark.parametrize("family", ["qwen2", "llama", "neox", "neo", "gpt2", "gpt_oss"])
def test_the_gradient_of_fused_shared_passes_is_plain_pefts(make_lm: MAKE, family: str) -> None:
    lm, given = adapted(make_lm(family, 4)), rows()
    loss, wanted = plain(lm, given)
    begins = can_begin_together(lm)
    assert begins == (family in ("qwen2", "llama", "neox"))
    with fused(lm, hosting.ADAPTER):
        found = [
            gradient(lm, [given]),
            gradient(lm, [given[:1], given[1:4], given[4:]]),
            gradient(lm, [given], shared_beginning if begins else lambda _: 0),
        ]
    for value, grad in found:
        assert value == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(grad, wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()) + 1e-7)


def test_in_bfloat16_the_gradient_is_as_near_as_plain_pefts(make_lm: MAKE) -> None:
    """The truth is the same model in float32; the adapters' own numbers stay float32."""
    lm, given = adapted(make_lm("qwen2", 4), torch.bfloat16), rows()
    _, theirs = plain(lm, given)
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    with fused(lm, hosting.ADAPTER), float_attention(lm):
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not before
        _, ours = gradient(lm, [given], shared_beginning)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
    assert ours.dtype == torch.float32
    _, truth = plain(lm.float(), given)
    error = [float((side - truth).norm() / truth.norm()) for side in (ours, theirs)]
    assert error[0] < 1.5 * error[1] < 0.3


def test_outside_of_training_the_maps_are_pefts_own(make_lm: MAKE) -> None:
    lm = adapted(make_lm("qwen2", 2))
    ids = torch.tensor([[5, 6, 7]])
    wanted = lm.eval()(input_ids=ids).logits
    with fused(lm, hosting.ADAPTER):
        assert torch.equal(lm(input_ids=ids).logits, wanted)
        with hosting.untuned(lm.train()):
            assert torch.equal(lm(input_ids=ids).logits, make_lm("qwen2", 2)(input_ids=ids).logits)
    assert not any("forward" in vars(module) for module in lm.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_and_its_gradient_are_those_of_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ours = (torch.randn(2000, 500) * 4).to(dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    before, targets = ours.detach().clone(), torch.randint(0, 500, (2000,))
    one = summed_cross_entropy(ours, targets) / 7
    two = functional.cross_entropy(theirs.float(), targets, reduction="sum") / 7
    one.backward()
    two.backward()
    assert one.item() == pytest.approx(two.item(), rel=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0.02 if dtype == torch.bfloat16 else 1e-4, atol=1e-6)
    assert torch.equal(ours.detach(), before)


def test_passes_hold_every_row_once_within_their_bounds_at_the_least_cost() -> None:
    draw = random.Random(1)
    given = [Row(tuple(range(draw.randint(5, 60))), 3) for _ in range(7)]
    found = cut(given, 120, 10, "cpu")
    assert sorted(len(row.ids) for some in found for row in some) == sorted(len(row.ids) for row in given)
    assert all(max(len(row.ids) for row in some) * len(some) <= 120 for some in found)
    order = sorted((len(row.ids) for row in given), reverse=True)

    def cost(ends: tuple[int, ...]) -> int:
        parts = [order[a:b] for a, b in zip((0, *ends), (*ends, len(order)), strict=True)]
        whole = [part[0] * len(part) for part in parts]
        return 10**9 if max(whole) > 120 else sum(whole) + 48 * len(parts)

    least = min(cost(ends) for n in range(len(order)) for ends in combinations(range(1, len(order)), n))
    assert sum(max(len(row.ids) for row in some) * len(some) + 48 for some in found) == least
    assert len(cut(given, 10**6, 2**26, "cpu")) == 7, "the logits of a pass are bounded"
    assert len(cut(given, 10**6, 1, "cuda")) == 1


def test_labels_of_chats_elsewhere_are_bounded_too() -> None:
    rows = [Row(tuple(range(20)), 10, beside=(Row(tuple(range(40)), 8),)) for _ in range(8)]
    vocabulary = 2**26 // 300
    found = cut(rows, 10_000, vocabulary, "cpu")
    # 10 labels of its own and 4 x 32 beside: two such rows fit, three do not.
    assert [len(some) for some in found] == [2, 2, 2, 2]


def test_what_rows_begin_with_leaves_a_token_to_predict_from() -> None:
    same = tuple(range(20))
    assert shared_beginning([Row(same, 12), Row(same, 15)]) == 11
    assert shared_beginning([Row(same, 12)]) == 0
    assert shared_beginning([Row(same, 12), Row((*same[:5], 9, 9, 9), 6)]) == 0
