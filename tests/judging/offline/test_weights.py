from __future__ import annotations

import json
from pathlib import Path

import torch

from misdirection.judging.offline import judge
from misdirection.judging.offline.weights import packed, unpacked

FOLDER = Path(judge.__file__).parent / "weights"


def test_all_that_ships_is_small() -> None:
    sizes = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert set(sizes) == {
        "minilm.safetensors",
        "judge.safetensors",
        "topics.safetensors",
        "vocabulary.txt",
        "facts.json",
    }
    assert sum(sizes.values()) < 25_000_000


def test_no_sentence_ships() -> None:
    """The vocabulary holds single pieces; the facts hold numbers and the names of settings."""
    assert all(len(piece.split()) == 1 for piece in (FOLDER / "vocabulary.txt").read_text().splitlines())
    facts = json.loads((FOLDER / "facts.json").read_text())
    assert "buck" not in json.dumps(facts)


def test_eight_bits_keep_a_matrix_to_half_a_step() -> None:
    matrix = torch.randn(64, 48, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 2, 64)[:, None]
    held = packed({"a": matrix, "b": matrix[0]})
    back = unpacked(held)
    assert held["a"].dtype == torch.int8 and set(back) == {"a", "b"}
    assert torch.equal(back["b"], matrix[0])
    assert ((back["a"] - matrix).abs() <= held["a.scale"][:, None] / 2 * 1.001).all()
