"""What an error says of a disk that takes no more, by whichever library it was met."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from misdirection.errors import MisdirectionError, no_room

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")


def python() -> None:
    with FULL.open("wb") as stream:
        stream.write(b"x")


def parquet() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": list(range(100_000))}), FULL)


@pytest.mark.skipif(not FULL.is_char_device(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("write", [python, parquet], ids=lambda write: write.__name__)
def test_a_full_disk_is_known_whoever_meets_it(write: Callable[[], None]) -> None:
    with pytest.raises(OSError) as caught:
        write()
    assert no_room(caught.value) == "the disk is full"


SAVING = """
import resource, sys, torch
from safetensors.torch import save_file
from misdirection.errors import no_room
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_file({"a": torch.zeros(4096)}, sys.argv[1])
except Exception as error:
    print(type(error).__name__, "|", no_room(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows bounds no file")
def test_what_safetensors_says_is_understood(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SAVING, str(tmp_path / "a.safetensors")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    name, _, told = done.stdout.partition(" | ")
    assert name == "SafetensorError" and "ulimit" in told
    assert no_room(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))


def test_a_full_disk_is_known_behind_other_errors_and_in_the_words_of_another_process() -> None:
    full_disk = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert no_room(full_disk) == "the disk is full"
    try:
        try:
            raise full_disk
        except OSError as error:
            raise RuntimeError("the checkpoint could not be saved") from error
    except RuntimeError as error:
        assert no_room(error) == "the disk is full"
    assert no_room(RuntimeError(f"ray::Worker.perform() failed\n{OSError(errno.ENOSPC, 'No space')}"))
    assert "quota" in no_room(OSError(errno.EDQUOT, "x")) or sys.platform == "win32"
    assert "ulimit" in no_room(OSError(errno.EFBIG, "x"))


def test_other_errors_are_none_of_a_disk() -> None:
    for error in (
        None, OSError(errno.EACCES, "Permission denied"), ValueError("28"), torch.OutOfMemoryError("out of memory"),
        MisdirectionError("the disk is full, says the user"), OSError("a file of No space"),
    ):  # fmt: skip
        assert no_room(error) == ""
