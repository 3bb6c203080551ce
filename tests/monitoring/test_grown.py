"""A source that was written anew is found out; one that has grown is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.families import shared
from tests.monitoring.test_scoring import A, B
from tests.monitoring.test_stream import chats

from misdirection.artefacts import read_json, write_json
from misdirection.chats import write_chats
from misdirection.monitoring import MonitorError, Watch, grown, monitor_to, read_watched

MODEL = shared("llama")
WATCH = Watch(read_watched({"a": A, "b": B}, MODEL))


def test_the_log_of_another_day_under_the_same_name_is_not_taken_for_the_first(tmp_path: Path) -> None:
    day, out = tmp_path / "day.jsonl", tmp_path / "out"
    write_chats(day, chats(20))
    monitor_to(out, MODEL, day, WATCH)
    before = (out / "scores.jsonl").read_bytes()
    write_chats(day, chats(20, 5))
    with pytest.raises(MonitorError, match=r"day\.jsonl is not what the folder holds scores of: it was written anew"):
        monitor_to(out, MODEL, day, WATCH)
    assert (out / "scores.jsonl").read_bytes() == before and (out / "summary.json").exists()
    # A longer one too: its first rows would have been passed over.
    write_chats(day, chats(40, 5))
    with pytest.raises(MonitorError, match="written anew"):
        monitor_to(out, MODEL, day, WATCH)
    assert monitor_to(tmp_path / "other", MODEL, day, WATCH).rows == 40


def test_what_is_behind_the_end_may_grow_again_and_again(tmp_path: Path) -> None:
    day, out = tmp_path / "day.jsonl", tmp_path / "out"
    day.write_text("")
    for rows in (3, 5, 9):
        write_chats(day, chats(rows))
        assert monitor_to(out, MODEL, day, WATCH).rows == rows
    # From then on it is known by what it held last.
    write_chats(day, [*chats(4), *chats(5, 3)])
    with pytest.raises(MonitorError, match="written anew"):
        monitor_to(out, MODEL, day, WATCH)


@pytest.mark.parametrize("held", [4, 40, 400])
def test_a_last_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path, held: int) -> None:
    day, whole, out = tmp_path / "day.jsonl", tmp_path / "whole.jsonl", tmp_path / "out"
    write_chats(whole, chats(8))
    lines = whole.read_bytes().splitlines(keepends=True)
    held = min(held, len(lines[5]) - 2)
    day.write_bytes(b"".join(lines[:5]) + lines[5][:held])
    first = monitor_to(out, MODEL, day, WATCH)
    assert first.rows == 5 and not first.bad
    (told,) = first.warnings
    assert "the last line of" in told and "(6) breaks off and is not counted" in told
    assert read_json(out / "summary.json")["warnings"] == [told]
    day.write_bytes(b"".join(lines))
    again = monitor_to(out, MODEL, day, WATCH)
    assert again.rows == 8 and not again.bad and not again.warnings
    monitor_to(tmp_path / "once", MODEL, whole, WATCH)
    rows, want = (
        [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
        for folder in (out, tmp_path / "once")
    )
    assert [(row["n"], row["row"], row["tokens"]) for row in rows] == [(w["n"], w["row"], w["tokens"]) for w in want]
    assert [row["scores"]["a"]["mean"] for row in rows] == pytest.approx([w["scores"]["a"]["mean"] for w in want])


def test_a_broken_line_that_has_its_end_or_is_followed_is_bad(tmp_path: Path) -> None:
    day = tmp_path / "day.jsonl"
    write_chats(day, chats(3))
    text = day.read_text()
    for number, broken in enumerate((text + '{"mess\n', '{"mess\n' + text)):
        day.write_text(broken)
        found = monitor_to(tmp_path / str(number), MODEL, day, WATCH)
        assert found.rows == 4 and found.bad["broken JSON"] == 1 and not found.warnings


def test_an_empty_log_holds_no_row_yet(tmp_path: Path) -> None:
    day, out = tmp_path / "day.jsonl", tmp_path / "out"
    day.write_text("")
    empty = monitor_to(out, MODEL, day, WATCH)
    assert empty.rows == 0 and not empty.bad and empty.warnings == [f"{day} is empty so far"]
    write_chats(day, chats(3))
    found = monitor_to(out, MODEL, day, WATCH)
    assert found.rows == 3 and not found.bad and not (out / "bad_rows.jsonl").read_text()


def test_a_run_of_an_older_version_is_gone_on_with(tmp_path: Path) -> None:
    day, out = tmp_path / "day.jsonl", tmp_path / "out"
    write_chats(day, chats(4))
    monitor_to(out, MODEL, day, WATCH)
    told = read_json(out / "settings.json")
    assert [file["name"] for file in told.pop("files")] == ["day.jsonl"]
    write_json(out / "settings.json", told)
    assert monitor_to(out, MODEL, day, WATCH).rows == 4


def appended(folder: Path) -> None:
    (folder / "b.jsonl").write_text((folder / "b.jsonl").read_text() + "{}\n")


def added(folder: Path) -> None:
    (folder / "c.jsonl").write_text("{}\n")


def squeezed_in(folder: Path) -> None:
    (folder / "aa.jsonl").write_text("{}\n")


def taken_away(folder: Path) -> None:
    (folder / "a.jsonl").unlink()


def first_appended(folder: Path) -> None:
    (folder / "a.jsonl").write_text((folder / "a.jsonl").read_text() + "{}\n")


def cut(folder: Path) -> None:
    (folder / "b.jsonl").write_text("")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (appended, ""),
        (added, ""),
        (squeezed_in, "'b.jsonl' does not stand where it stood"),
        (taken_away, "'a.jsonl' does not stand where it stood"),
        (first_appended, "it has grown, and files behind it were read"),
        (cut, "it was written anew"),
    ],
)
def test_rows_of_a_folder_are_counted_from_the_same_place(
    change: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"prompt": "{name}", "completion": "x"}}\n')
    before = grown.marks(tmp_path)
    assert [file["name"] for file in before] == ["a.jsonl", "b.jsonl"]
    change(tmp_path)
    if not said:
        grown.demand_grown(before, tmp_path)
        return
    with pytest.raises(MonitorError, match=said):
        grown.demand_grown(before, tmp_path)


def test_a_stream_has_no_files() -> None:
    assert grown.marks("-") == [] and grown.marks("someone/chats") == []
