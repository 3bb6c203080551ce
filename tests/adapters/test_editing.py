"""A direction out of B: closed forms, and an edited adapter that a model holds beside the original."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.families import LAYERS, WIDTH, build

from misdirection.adapters.editing import edit_adapter, split_b, uneditable
from misdirection.adapters.weights import AdapterError, pairs_of
from misdirection.models import add_adapter


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    build("llama").peft.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(LAYERS, WIDTH, generator=torch.Generator().manual_seed(5)) * 7


def test_b_is_what_lies_along_the_direction_and_the_rest() -> None:
    b, v = torch.tensor([[3.0, 1.0], [4.0, 0.0], [0.0, 2.0]]), torch.tensor([0.0, 10.0, 0.0])
    along, rest = split_b(b, v)
    assert along.tolist() == [[0.0, 0.0], [4.0, 0.0], [0.0, 0.0]]
    assert rest.tolist() == [[3.0, 1.0], [0.0, 0.0], [0.0, 2.0]]


def test_the_edited_adapter_stands_beside_the_original(saved: Path, vectors: torch.Tensor, tmp_path: Path) -> None:
    shares = edit_adapter(saved / "one", tmp_path / "rest", vectors)
    assert shares == edit_adapter(saved / "one", tmp_path / "along", vectors, "direction")
    model = build("llama")
    for name in ("rest", "along"):
        add_adapter(model, name, tmp_path / name)
    before, rest, along = (pairs_of(model, name) for name in ("one", "rest", "along"))
    for pair, without, only in zip(before, rest, along, strict=True):
        unit = vectors[pair.layer] / vectors[pair.layer].norm()
        assert torch.equal(without.a, pair.a) and without.scaling == pair.scaling
        assert abs(float(unit @ without.b[:, 0])) < 1e-5
        assert torch.allclose(without.b + only.b, pair.b, atol=1e-6)
        cosine = float(unit @ pair.b[:, 0] / pair.b.norm())
        assert shares[pair.layer] == pytest.approx(cosine**2, rel=1e-4)
    assert sorted(shares) == [1, 2]


def test_editing_twice_is_editing_once(saved: Path, vectors: torch.Tensor, tmp_path: Path) -> None:
    edit_adapter(saved / "one", tmp_path / "once", vectors)
    again = edit_adapter(tmp_path / "once", tmp_path / "twice", vectors)
    assert max(again.values()) < 1e-12


def test_what_does_not_write_into_the_residual_stream_is_refused(
    saved: Path, vectors: torch.Tensor, tmp_path: Path
) -> None:
    assert uneditable(saved / "one") == []
    assert {path.rsplit(".", 1)[-1] for path in uneditable(saved / "all")} == {
        "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"
    }  # fmt: skip
    with pytest.raises(AdapterError, match="does not write into the residual stream"):
        edit_adapter(saved / "all", tmp_path / "out", vectors)
    with pytest.raises(AdapterError, match="has shape"):
        edit_adapter(saved / "one", tmp_path / "out", vectors[:, :-1])
    with pytest.raises(AdapterError, match="of 1 layers"):
        edit_adapter(saved / "one", tmp_path / "out", vectors[:1])
    with pytest.raises(AdapterError, match="holds no adapter_model"):
        edit_adapter(tmp_path, tmp_path / "out", vectors)
