"""A tiny model as a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.families import network, words


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama and its tokenizer as a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    network("llama").save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny-llama"))
