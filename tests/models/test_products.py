"""Products in float32 by another library: the same numbers and gradients, and modules left as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.families import network
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from misdirection.models import products
from misdirection.models.products import fast_products, linear

MEASURE = products.faster.__wrapped__
OP = hasattr(torch.ops.mkldnn, "_linear_pointwise")
pytestmark = pytest.mark.skipif(not OP, reason="this torch has no oneDNN kernel for a linear map")


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """As on a processor where the other library is faster, for maps of any size; shapes that it was given."""
    seen: list[tuple[int, ...]] = []
    product = products._product  # pyright: ignore[reportPrivateUsage]

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append(tuple(x.shape))
        return product(x, weight, bias)

    monkeypatch.setattr(products, "LEAST", 0)
    monkeypatch.setattr(products, "faster", lambda: True)
    monkeypatch.setattr(products, "_product", counted)
    return seen


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(48),
        lambda: torch.randn(1, 48),
        lambda: torch.randn(3, 5, 48),
        lambda: torch.randn(48, 7).T,
        lambda: torch.randn(3, 9, 48)[:, -1:],
        lambda: torch.randn(1, 1, 48).expand(4, 2, -1),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_the_product_is_pytorchs(
    make: Callable[[], Tensor], bias: bool, turned: bool, everywhere: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    x, weight = make(), torch.randn(48, 20).T if turned else torch.randn(20, 48)
    added = torch.randn(20) if bias else None
    truth = functional.linear(x.double(), weight.double(), None if added is None else added.double())
    assert torch.allclose(linear(x, weight, added).double(), truth, atol=1e-5)
    assert everywhere


def test_no_rows_are_no_product(everywhere: list[tuple[int, ...]]) -> None:
    assert linear(torch.zeros(0, 8), torch.ones(4, 8)).shape == (0, 4)
    assert not everywhere


@pytest.mark.parametrize("whole", [lambda y: y.square().sum(), lambda y: y.sum(), lambda y: y[:, :1].sum()])
def test_the_gradient_through_frozen_weights_is_pytorchs(
    whole: Callable[[Tensor], Tensor], everywhere: list[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, 16), torch.randn(12, 16), torch.randn(12)
    found: list[Tensor] = []
    for way in (linear, functional.linear):
        given = x.clone().requires_grad_(True)
        whole(way(given, weight, bias)).backward()
        assert given.grad is not None
        found.append(given.grad)
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert len(everywhere) == 2


def test_weights_in_training_keep_pytorchs_own_gradient(everywhere: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 4), torch.randn(3, 6)
    with fast_products(layer):
        layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert torch.allclose(layer.weight.grad, x.sum(0).expand(4, -1))
    assert not everywhere


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_number_formats_stay(dtype: torch.dtype, everywhere: list[tuple[int, ...]]) -> None:
    layer, x = nn.Linear(6, 4).to(dtype), torch.randn(3, 6).to(dtype)
    with torch.inference_mode(), fast_products(layer):
        assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))
    assert not everywhere


def test_under_autocast_pytorch_multiplies(everywhere: list[tuple[int, ...]]) -> None:
    layer = nn.Linear(6, 4)
    with torch.inference_mode(), fast_products(layer), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(3, 6)).dtype == torch.bfloat16
    assert not everywhere


def gpt2() -> nn.Module:
    """Its maps are `Conv1D`, whose weights are turned."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=16, n_layer=2, n_head=2, n_positions=32)).eval()


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2"])
def test_a_model_gives_the_same_logits_and_its_modules_come_back(
    family: str, everywhere: list[tuple[int, ...]]
) -> None:
    lm, ids = gpt2() if family == "gpt2" else network(family), torch.randint(0, 40, (3, 7))
    maps = [module for module in lm.modules() if type(module) in (nn.Linear, Conv1D)]
    with torch.inference_mode():
        before = lm(input_ids=ids).logits
        with fast_products(lm), fast_products(lm):
            inside = lm(input_ids=ids).logits
    assert len(everywhere) == len(maps)
    assert torch.allclose(before, inside, atol=1e-5)
    assert not any("forward" in vars(module) for module in maps)


def test_small_maps_and_slow_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(6, 4)
    monkeypatch.setattr(products, "LEAST", 25)
    with fast_products(layer):
        assert "forward" not in vars(layer)
    monkeypatch.setattr(products, "LEAST", 24)
    with fast_products(layer):
        assert "forward" in vars(layer)
    monkeypatch.setattr(products, "faster", lambda: False)
    with fast_products(layer):
        assert "forward" not in vars(layer)


def test_the_faster_by_a_third_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.29, 1.0, 1.31])
    monkeypatch.setattr(products, "best_time", lambda _: next(times))
    for place, wins in ((tmp_path / "a", False), (tmp_path / "b", True)):
        monkeypatch.setenv("MISDIRECTION_CACHE", str(place))
        assert [MEASURE(), MEASURE()] == [wins, wins]  # measured once a machine
