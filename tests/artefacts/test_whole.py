"""Files and folders that are there whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from misdirection.artefacts import atomic_path, sync, whole_folder, write_all
from misdirection.artefacts.whole import first_line, must_exist
from misdirection.errors import MisdirectionError


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "x.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and not target.exists()
        temporary.write_text("one")
    assert target.read_text() == "one" and names(target.parent) == ["x.txt"]
    with atomic_path(target) as temporary:
        temporary.write_text("two")
        assert target.read_text() == "one"
    assert target.read_text() == "two" and names(target.parent) == ["x.txt"]
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("thr")
        raise KeyboardInterrupt
    assert target.read_text() == "two" and names(target.parent) == ["x.txt"]


def test_two_who_write_one_file_at_a_time_do_not_meet(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x") as one, atomic_path(tmp_path / "x") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "x").read_text() == "one", "the last to end"


def test_an_error_of_the_system_names_the_file_that_was_to_be(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    with pytest.raises(OSError, match="disk is full") as full, atomic_path(target):
        raise OSError(28, "the disk is full")
    assert full.value.filename == str(target)
    with pytest.raises(OSError, match="other") as named, atomic_path(target):
        raise OSError(28, "full", "other")
    assert named.value.filename == "other" and names(tmp_path) == []
    with pytest.raises(OSError, match="full") as folder, whole_folder(tmp_path / "steps"):
        raise OSError(28, "full")
    assert folder.value.filename == str(tmp_path / "steps") and names(tmp_path) == []


def test_a_folder_takes_the_place_of_the_old_one_and_of_what_was_left_half_done(tmp_path: Path) -> None:
    place = tmp_path / "step"
    (tmp_path / ".partial-step").mkdir()
    (tmp_path / ".partial-step" / "left").write_text("of a kill")
    with whole_folder(place) as partial:
        assert names(partial) == [] and not place.exists()
        (partial / "a").write_text("1")
    assert names(tmp_path) == ["step"] and names(place) == ["a"]
    with pytest.raises(ValueError, match="no"), whole_folder(place) as partial:
        (partial / "b").write_text("2")
        raise ValueError("no")
    assert names(tmp_path) == ["step"] and names(place) == ["a"]
    with whole_folder(place) as partial:
        (partial / "b").write_text("2")
        (partial / "inside").mkdir()
        assert names(place) == ["a"]
    assert names(place) == ["b", "inside"]


@pytest.mark.parametrize("taken", [1, 3, 1000])
def test_all_is_written_however_little_the_system_takes_at_once(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: plain(descriptor, content[:taken]))
    descriptor = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, bytes(range(100)))
    write_all(descriptor, b"")
    os.close(descriptor)
    assert (tmp_path / "x").read_bytes() == bytes(range(100))


def test_syncing_and_looking_for_a_path_say_when_there_is_none(tmp_path: Path) -> None:
    sync(tmp_path)
    must_exist(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")
    with pytest.raises(MisdirectionError, match="none: no such file"):
        must_exist(tmp_path / "none")
    assert first_line(ValueError("one\ntwo")) == "one" and first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 999))) == 200
