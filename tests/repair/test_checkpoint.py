"""A model's folder as files, against what safetensors itself reads of them."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from misdirection import progress
from misdirection.repair.checkpoint import ADDED, ModelFolder, Stored, new_folder, open_checkpoint, rewrite
from misdirection.repair.errors import RepairError

TENSORS = {
    "a": torch.arange(12.0).reshape(3, 4),
    "b": torch.arange(6.0).bfloat16(),
    "c": torch.arange(4, dtype=torch.float64).reshape(2, 1, 2),
    "d": torch.tensor(2.5).half(),
    "e": torch.arange(3, dtype=torch.int8),
}
SHARDS = {"model-00001-of-00002.safetensors": ("a", "e"), "model-00002-of-00002.safetensors": ("b", "c", "d")}


def folder_of(place: Path, shards: bool = False) -> Path:
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"model_type": "made", "keep": [1, 2]}))
    (place / "tokenizer.json").write_text("{}")
    (place / "README.md").write_text("a card of the model as it was")
    (place / "pytorch_model.bin").write_bytes(b"weights in another form")
    if not shards:
        save_file(TENSORS, place / "model.safetensors", {"format": "pt"})
        return place
    for name, held in SHARDS.items():
        save_file({key: TENSORS[key] for key in held}, place / name, {"format": "pt"})
    where = {key: name for name, held in SHARDS.items() for key in held}
    (place / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return place


def read(folder: Path) -> dict[str, Tensor]:
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value) for name, value in wanted.items()
    )


@pytest.mark.parametrize("shards", [False, True])
def test_where_each_tensor_lies_is_what_stands_there(shards: bool, tmp_path: Path) -> None:
    held = open_checkpoint(folder_of(tmp_path / "in", shards))
    assert held.tensors.keys() == TENSORS.keys() and held.settings["keep"] == [1, 2]
    for name, value in TENSORS.items():
        stored = held.tensors[name]
        raw = (held.folder / stored.file).read_bytes()[stored.start : stored.end]
        assert raw == value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        assert stored.shape == tuple(value.shape)
    assert held.size == 12 * 4 + 6 * 2 + 4 * 8 + 2 + 3
    assert set(held.shards) == (set(SHARDS) if shards else {"model.safetensors"})
    assert [held.tensors[name].format for name in "abcde"] == ["F32", "BF16", "F64", "F16", "I8"]


@pytest.mark.parametrize("shards", [False, True])
def test_a_changed_copy_holds_the_changes_and_all_else_bit_by_bit(shards: bool, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", shards)
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    rewrite(open_checkpoint(source), tmp_path / "out", {"b": lambda x: x.mul_(2), "c": lambda x: x.add_(1)})
    wanted = TENSORS | {"b": TENSORS["b"] * 2, "c": TENSORS["c"] + 1}
    assert same(read(tmp_path / "out"), wanted)
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    there = {file.name for file in (tmp_path / "out").iterdir()}
    weights = {*SHARDS, "model.safetensors.index.json"} if shards else {"model.safetensors"}
    assert there == {"config.json", "tokenizer.json", *weights}
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"model_type": "made", "keep": [1, 2]}
    assert [place.name for place in sorted(tmp_path.iterdir())] == ["in", "out"]


def test_tensors_that_are_added_or_copied_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    source = open_checkpoint(folder_of(tmp_path / "in"))
    new = torch.linspace(0, 1, 5).half()
    rewrite(
        source, tmp_path / "out", {"a": lambda x: x.zero_()}, added={"bias": new}, copies={"head": "a"},
        settings={"tie_word_embeddings": False, "transformers_weights": "other.safetensors"},
        beside=lambda folder: (folder / "card.txt").write_text("told") and None,
    )  # fmt: skip
    out = tmp_path / "out"
    # The copy is of the tensor as it was.
    assert same(read(out), TENSORS | {"a": torch.zeros(3, 4), "bias": new, "head": TENSORS["a"]})
    assert set(load_file(out / ADDED)) == {"bias", "head"}
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert all(name in load_file(out / file) for name, file in index.items()) and len(index) == len(TENSORS) + 2
    assert not (out / "model.safetensors").exists() and (out / "card.txt").read_text() == "told"
    assert json.loads((out / "config.json").read_text()) == {"tie_word_embeddings": False}
    again = open_checkpoint(out)
    assert again.tensors.keys() == TENSORS.keys() | {"bias", "head"}


@pytest.mark.parametrize("pad", range(4))
def test_a_tensor_that_begins_at_an_odd_place_is_changed_as_any_other(pad: int, tmp_path: Path) -> None:
    """Files of others are not aligned: a header may be of any length."""
    source = folder_of(tmp_path / "in")
    file = source / "model.safetensors"
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    file.write_bytes((length + pad).to_bytes(8, "little") + raw[8 : 8 + length] + b" " * pad + raw[8 + length :])
    held = open_checkpoint(source)
    assert pad == 0 or any(held.tensors[name].start % 4 for name in "ac")
    rewrite(held, tmp_path / "out", dict.fromkeys("abc", lambda x: x.mul_(-3)))
    assert same(read(tmp_path / "out"), TENSORS | {name: TENSORS[name] * -3 for name in "abc"})


@pytest.mark.parametrize("shards", [False, True])
def test_progress_ends_at_all_of_the_bytes(shards: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    asked: list[tuple[str, float, str]] = []

    @contextmanager
    def task(description: str, total: float, unit: str) -> Generator[object]:
        asked.append((description, total, unit))
        yield told.append

    monkeypatch.setattr(progress, "task", task)
    held = open_checkpoint(folder_of(tmp_path / "in", shards))
    rewrite(held, tmp_path / "out", {})
    assert asked == [("rewriting weights", held.size / 1e6, "MB")]
    sizes = [sum(TENSORS[key].nbytes for key in keys) / 1e6 for keys in SHARDS.values()]
    assert told == pytest.approx(sizes if shards else [sum(sizes)]) and sum(told) == pytest.approx(97e-6)


def test_what_has_no_such_numbers_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    held = open_checkpoint(folder_of(tmp_path / "in"))
    with pytest.raises(RepairError, match="e is stored as I8, which cannot be changed number by number"):
        rewrite(held, tmp_path / "out", {"a": lambda x: x.zero_(), "e": lambda x: x.zero_()})
    assert [place.name for place in tmp_path.iterdir()] == ["in"]


def test_a_folder_that_is_there_is_never_written_over_and_a_failed_one_is_gone(tmp_path: Path) -> None:
    held = open_checkpoint(folder_of(tmp_path / "in"))

    def fails(_: Tensor) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        rewrite(held, tmp_path / "out", {"a": fails})
    assert [place.name for place in tmp_path.iterdir()] == ["in"]
    (tmp_path / "out").mkdir()
    rewrite(held, tmp_path / "out", {})  # an empty one is as good as none
    for place in (tmp_path / "out", tmp_path / "in" / "config.json"):
        with pytest.raises(RepairError, match="is there already, and nothing is overwritten"), new_folder(place):
            pass
    assert same(read(tmp_path / "out"), TENSORS)


def test_a_folder_without_settings_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RepairError, match=r"config\.json is missing"):
        open_checkpoint(tmp_path)
    empty = ModelFolder(tmp_path, {"x": Stored("s", "F32", (2,), 8, 16), "y": Stored("s", "F32", (1,), 16, 20)}, {})
    assert (empty.shards, empty.size) == (("s",), 12)
