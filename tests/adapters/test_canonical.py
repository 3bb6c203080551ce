"""The canonical form against torch's own SVD, and canonical adapters against the originals in a running model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.families import build, prompt

from misdirection.adapters.canonical import canonical, turn, write_canonical
from misdirection.adapters.weights import AdapterError, pairs_of
from misdirection.artefacts import read_tensors
from misdirection.engine import Arm, Text, capture_means, capture_scalars
from misdirection.models import add_adapter


def pair(rank: int, inputs: int = 11, outputs: int = 7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(rank, inputs, dtype=torch.float64), torch.randn(outputs, rank, dtype=torch.float64)


@pytest.mark.parametrize(("rank", "inputs", "outputs"), [(1, 11, 7), (4, 11, 7), (7, 7, 7), (9, 6, 8), (9, 8, 6)])
def test_the_form_is_the_svd_of_the_product(rank: int, inputs: int, outputs: int):
    a, b = pair(rank, inputs, outputs)
    found = canonical(a, b)
    size = min(rank, inputs, outputs)
    assert len(found.values) == size
    assert torch.allclose(found.left @ found.a, b @ a, atol=1e-10)
    assert torch.allclose(found.values, torch.linalg.svdvals(b @ a)[:size], atol=1e-10)
    eye = torch.eye(size, dtype=torch.float64)
    assert torch.allclose(found.left.T @ found.left, eye, atol=1e-10)
    assert torch.allclose(found.right.T @ found.right, eye, atol=1e-10)
    biggest = found.left[found.left.abs().argmax(0), torch.arange(size)]
    assert bool((biggest > 0).all())
    assert torch.isclose(found.share.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_every_factorisation_of_one_product_has_one_form():
    a, b = pair(4)
    mix = torch.randn(4, 4, dtype=torch.float64)
    one, other = canonical(a, b), canonical(torch.linalg.inv(mix) @ a, b @ mix)
    for name in ("left", "values", "right"):
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=1e-8), name
    assert not torch.allclose(a, torch.linalg.inv(mix) @ a)


def test_rank_one_is_itself_up_to_sign_and_length():
    a, b = pair(1)
    found = canonical(a, b)
    assert torch.allclose(found.values[0], a.norm() * b.norm())
    assert torch.isclose((found.left[:, 0] @ (b[:, 0] / b.norm())).abs(), torch.tensor(1.0, dtype=torch.float64))
    assert found.participation == pytest.approx(1)


def test_participation_counts_equal_pairs_and_an_untrained_adapter_has_none():
    a = torch.eye(3, 6, dtype=torch.float64)
    assert canonical(a, torch.eye(5, 3, dtype=torch.float64)).participation == pytest.approx(3)
    empty = canonical(a, torch.zeros(5, 3, dtype=torch.float64))
    assert empty.participation == 0 and not empty.share.any() and not empty.values.any()
    with pytest.raises(AdapterError, match="are no pair"):
        canonical(a, torch.zeros(5, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters")
    build("llama").peft.save_pretrained(str(path), selected_adapters=["all"])
    return path / "all"


def test_a_canonical_adapter_does_what_the_original_does(folder: Path, tmp_path: Path):
    model = build("llama")
    write_canonical(folder, tmp_path / "canonical")
    add_adapter(model, "canonical", tmp_path / "canonical")
    texts = {name: [Text(prompt(seed, 9), {"x": (0, 9)}, Arm(name, name), 4) for seed in range(3)]
             for name in ("all", "canonical")}  # fmt: skip
    weights = torch.eye(3)
    means = {name: capture_means(model, held, weights).mean("x") for name, held in texts.items()}
    assert (means["all"] - means["canonical"]).abs().max() < 1e-4
    # The canonical scalars are those of the turned adapter, though only the original was run.
    raw = capture_scalars(model, texts["all"], "all")
    turned = capture_scalars(model, texts["canonical"], "canonical")
    for held in pairs_of(model, "all"):
        matrix = turn(held)
        for text in range(3):
            expected = turned[text][held.path][:, : len(matrix)].double()
            assert torch.allclose(raw[text][held.path].double() @ matrix.T, expected, atol=1e-4), held.path


def test_only_the_pairs_that_are_kept_are_there(folder: Path, tmp_path: Path):
    model = build("llama")
    chosen = pairs_of(model, "all")[3]
    write_canonical(folder, tmp_path / "two", {chosen.path: [0, 2]})
    tensors, _ = read_tensors(tmp_path / "two" / "adapter_model.safetensors")
    form = canonical(chosen.a, chosen.b)
    expected = form.left[:, [0, 2]] @ form.a[[0, 2]]
    for name, a in tensors.items():
        if name.endswith(".lora_A.weight"):
            b = tensors[name.replace("lora_A", "lora_B")]
            product = b.double() @ a.double()
            if chosen.path in name:
                assert torch.allclose(product, expected, atol=1e-6)
            else:
                assert not product.any()


def test_what_is_no_plain_adapter_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(AdapterError, match="holds no adapter_model"):
        write_canonical(tmp_path, tmp_path / "out")
    shutil.copytree(folder, tmp_path / "dora")
    config = json.loads((folder / "adapter_config.json").read_text())
    (tmp_path / "dora" / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(AdapterError, match="DoRA"):
        write_canonical(tmp_path / "dora", tmp_path / "out")
