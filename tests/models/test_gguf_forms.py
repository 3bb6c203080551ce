"""GGUF files that hold something else than a model that writes text, or a part of one, are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from tests.models.test_forms import LFS, PAGE
from tests.models.test_gguf import TOKENS, written

from misdirection.models import ModelError, load_model


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISDIRECTION_CACHE", str(tmp_path / "cache"))


def vocabulary(file: Path) -> Path:
    writer = gguf.GGUFWriter(file, "qwen2")
    writer.add_type("model")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return file


def part(file: Path, number: int, of: int) -> Path:
    """One of several parts: their count stands in the file and in its name."""
    writer = gguf.GGUFWriter(file, "qwen2")
    writer.add_uint16("split.no", number)
    writer.add_uint16("split.count", of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return file


def parts(folder: Path, *numbers: int) -> list[Path]:
    return [part(folder / f"big-{number:05d}-of-00003.gguf", number - 1, 3) for number in numbers]


def cut(file: Path) -> Path:
    written(file).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def holding(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


FORMS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "mmproj": (lambda f: written(f / "x.gguf", kind="mmproj", architecture="clip"), ("reads images", "own file")),
    "mmproj by its kind": (lambda f: written(f / "x.gguf", kind="mmproj"), ("reads images",)),
    "mmproj of before kinds": (lambda f: written(f / "x.gguf", architecture="clip"), ("reads images",)),
    "vocab-only": (lambda f: vocabulary(f / "x.gguf"), ("vocab-only", "weights")),
    "embeddings of texts": (lambda f: written(f / "x.gguf", architecture="nomic-bert"), ("embeddings of texts",)),
    "adapter": (lambda f: written(f / "x.gguf", kind="adapter"), ("GGUF LoRA", "folder")),
    "first of three": (lambda f: parts(f, 1, 2, 3)[0], ("of 3 parts", "--merge", "big-00001-of-00003.gguf")),
    "third of three": (lambda f: parts(f, 1, 2, 3)[2], ("one of 3 parts", "--merge", "big-00001-of-00003.gguf")),
    "one is missing": (lambda f: parts(f, 1, 3)[0], ("one of 3 parts", "big-00002-of-00003.gguf is missing")),
    "two are missing": (lambda f: parts(f, 2)[0], ("big-00001-of-00003.gguf, big-00003-of-00003.gguf are missing",)),
    "a part renamed": (lambda f: parts(f, 1)[0].rename(f / "x.gguf"), ("one of 3 parts", "names that they had")),
    "cut": (lambda f: cut(f / "x.gguf"), ("cut off", "again")),
    "0 bytes": (lambda f: holding(f / "x.gguf", ""), ("empty (0 bytes)", "again")),
    "pointer": (lambda f: holding(f / "x.gguf", LFS), ("git-lfs pointer", "git lfs pull")),
    "page": (lambda f: holding(f / "x.gguf", PAGE), ("web page", "hf download")),
    "something": (lambda f: holding(f / "x.gguf", "GGUFoo" * 100), ("no GGUF file", "again")),
    "tensors missing": (lambda f: written(f / "x.gguf", without="blk.1."), ("came from none", "model.layers.1.")),
}  # fmt: skip


@pytest.mark.parametrize("what", FORMS)
def test_a_gguf_file_that_is_no_whole_model_is_named(tmp_path: Path, what: str) -> None:
    make, said = FORMS[what]
    with pytest.raises(ModelError) as error:
        load_model(make(tmp_path))
    told = str(error.value)
    assert error.value.hint and len(told) < 700, told
    for piece in said:
        assert piece in told, told
