"""Files and folders as other tools write them: the rows, their places, and what is said of files that hold none."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import csv, parquet

from misdirection.chats import ChatError, load_chats, raw_rows, read_chats

ROWS = [
    {"messages": [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": f"Answer {n}."}]}
    for n in range(1, 5)
]
PAIRS = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in range(1, 5)]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: list[Any]) -> arrow.Table:
    return arrow.Table.from_pylist(rows)


def arrow_file(path: Path, rows: list[Any], stream: bool = True) -> None:
    held = table(rows)
    make = arrow.ipc.new_stream if stream else arrow.ipc.new_file
    with path.open("wb") as out, make(out, held.schema) as writer:
        writer.write_table(held, max_chunksize=3)


def write_all(folder: Path) -> dict[str, Path]:
    """The same four chats in every kind of file."""
    texts = {
        "a.jsonl": lines(ROWS),
        "array.json": json.dumps(ROWS),
        "pretty.json": json.dumps(ROWS, indent=1),
        "comma lines.json": "[\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]\n",
        "data.json": json.dumps({"version": "1.0", "data": ROWS}),
        "splits.json": json.dumps({"train": ROWS, "test": ROWS[:1]}, indent=2),
        "odd key.json": json.dumps({"my_rows": ROWS, "n": 4}),
        "lines called.json": lines(ROWS),
        "columns.json": json.dumps({key: [row[key] for row in PAIRS] for key in PAIRS[0]}),
        "pandas.json": json.dumps({key: {str(n): row[key] for n, row in enumerate(PAIRS)} for key in PAIRS[0]}),
        "semicolons.csv": "prompt;completion\n" + "".join(f"{r['prompt']};{r['completion']}\n" for r in PAIRS),
        "tabs.tsv": "prompt\tcompletion\n" + "".join(f"{r['prompt']}\t{r['completion']}\n" for r in PAIRS),
        "index.csv": ",prompt,completion,system\n"
        + "".join(f'{n},"{r["prompt"]}","{r["completion"]}",\n' for n, r in enumerate(PAIRS)),
        "cells.csv": "messages\n" + "".join('"' + str(row["messages"]).replace('"', '""') + '"\n' for row in ROWS),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(b"\xef\xbb\xbf" * (name == "a.jsonl") + text.encode())
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    parquet.write_table(table(ROWS), folder / "a.parquet", row_group_size=3)
    csv.write_csv(table(PAIRS), folder / "b.csv")
    arrow_file(folder / "a.arrow", ROWS)
    arrow_file(folder / "b.arrow", ROWS, stream=False)
    return {path.name: path for path in folder.iterdir()}


def test_every_kind_of_file_holds_the_same_chats_in_their_places(tmp_path: Path) -> None:
    files = write_all(tmp_path)
    hashes = {name: load_chats(path, strict=True).sha256 for name, path in files.items()}
    assert len(files) == 32 and len(set(hashes.values())) == 1, hashes
    for name, path in files.items():
        assert [(chat.source, chat.row) for chat in read_chats(path)] == [(str(path), n) for n in range(1, 5)], name


def test_the_summary_says_where_the_rows_stood(tmp_path: Path) -> None:
    files = write_all(tmp_path)
    told = {
        name: load_chats(files[name]).summary for name in ("a.jsonl", "array.json", "data.json", "a.parquet", "b.csv")
    }
    assert told == {
        "a.jsonl": "read as messages: 4 rows, all usable",
        "array.json": "read as messages in a JSON array: 4 rows, all usable",
        "data.json": "read as messages in the list 'data' of a JSON object: 4 rows, all usable",
        "a.parquet": "read as messages in Parquet: 4 rows, all usable",
        "b.csv": "read as prompt-completion pairs in CSV: 4 rows, all usable",
    }


def test_bad_rows_are_named_by_their_place(tmp_path: Path) -> None:
    rows = [ROWS[0], {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": ""}]}, ROWS[1]]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    parquet.write_table(table(rows), tmp_path / "a.parquet")
    for name in ("a.json", "a.parquet"):
        found = load_chats(tmp_path / name)
        assert [(bad.row, bad.kind) for bad in found.bad] == [(2, "empty answer")]
        assert json.loads(found.bad[0].text) == rows[1]
    (tmp_path / "a.csv").write_text('prompt,completion\n"two\nlines?",yes\nHi?,\na,b,c\nwell?,fine\n')
    found = load_chats(tmp_path / "a.csv")
    assert [(bad.row, bad.kind) for bad in found.bad] == [(2, "no chat"), (3, "not as the header")]
    assert [(chat.row, chat.messages[0].content) for chat in found.chats] == [(1, "two\nlines?"), (4, "well?")]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"prompt,completion\nHi?,{'x' * 200_000}\n")
    assert len(load_chats(tmp_path / "a.csv").chats[0].answer) == 200_000


def test_one_chat_over_several_lines_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS[0], indent=2))
    assert len(load_chats(tmp_path / "a.json", strict=True).chats) == 1
    (tmp_path / "b.json").write_text(json.dumps(ROWS[0]))
    assert len(load_chats(tmp_path / "b.json", strict=True).chats) == 1


def saved(folder: Path, rows: list[Any], shards: int = 1) -> None:
    """A data set as `datasets` saves it."""
    folder.mkdir(parents=True)
    names = [f"data-{n:05}-of-{shards:05}.arrow" for n in range(shards)]
    for n, name in enumerate(names):
        arrow_file(folder / name, rows[n::shards])
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def test_saved_datasets_are_read(tmp_path: Path) -> None:
    saved(tmp_path / "one", ROWS, shards=2)
    found = load_chats(tmp_path / "one", strict=True)
    assert [chat.answer for chat in found.chats] == ["Answer 1.", "Answer 3.", "Answer 2.", "Answer 4."]
    assert Path(found.chats[3].source).name == "data-00001-of-00002.arrow" and found.chats[3].row == 2
    saved(tmp_path / "dict" / "train", ROWS)
    saved(tmp_path / "dict" / "test", ROWS[:1])
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
    found = load_chats(tmp_path / "dict", strict=True)
    assert len(found.chats) == 4 and "split 'train'" in found.summary
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["test", "dev"]}')
    with pytest.raises(ChatError, match="the splits test, dev, and none is called train"):
        load_chats(tmp_path / "dict")


def test_folders_of_shards_are_read_without_other_splits(tmp_path: Path) -> None:
    data = tmp_path / "hub" / "data"
    data.mkdir(parents=True)
    for name, rows in {"train-00000-of-00002": ROWS[:2], "train-00001-of-00002": ROWS[2:], "test-00000": ROWS}.items():
        parquet.write_table(table(rows), data / f"{name}.parquet")
    found = load_chats(tmp_path / "hub", strict=True)
    assert [chat.answer for chat in found.chats] == [f"Answer {n}." for n in range(1, 5)]
    assert found.summary.endswith(f"split 'train' of {tmp_path / 'hub'}, without test")
    (data / "train-00000-of-00002.parquet").unlink()
    (data / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(ChatError, match="holds no split called train, but test"):
        load_chats(tmp_path / "hub")
    plain = tmp_path / "plain"
    plain.mkdir()
    for n in (1, 2):
        (plain / f"part{n}.jsonl").write_text(lines(ROWS[:n]))
    assert len(load_chats(plain, strict=True).chats) == 3


def test_state_that_points_outside_its_folder_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "a", ROWS)
    (tmp_path / "a" / "state.json").write_text('{"_data_files": [{"filename": "../b.arrow"}]}')
    arrow_file(tmp_path / "b.arrow", ROWS)
    with pytest.raises(ChatError, match="which is not in the folder"):
        load_chats(tmp_path / "a")


def test_a_choice_of_rows_that_old_versions_saved_apart_is_refused_for_all_rows_would_be_read(tmp_path: Path) -> None:
    saved(tmp_path / "a", ROWS)
    state = json.loads((tmp_path / "a" / "state.json").read_text())
    for key in ("_indices_data_files", "_indices_files"):
        told = {**state, key: [{"filename": "indices.arrow"}]}
        (tmp_path / "a" / "state.json").write_text(json.dumps(told))
        with pytest.raises(ChatError, match="a choice of them in a file of its own"):
            load_chats(tmp_path / "a")


FOREIGN = {
    "pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n",
    "zip archive": b"PK\x03\x04rest",
    "pickle": b"\x80\x04\x95rest",
    "UTF-16": "messages".encode("utf-16"),
    "web page": b"<!DOCTYPE html><html></html>",
    "zstandard": b"\x28\xb5\x2f\xfdrest",
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_hold_no_rows_are_named(tmp_path: Path, what: str, packed: bool) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(gzip.compress(FOREIGN[what]) if packed else FOREIGN[what])
    with pytest.raises(ChatError, match=what) as error:
        read_chats(path)
    assert error.value.hint


def test_a_broken_array_names_the_line(tmp_path: Path) -> None:
    text = json.dumps(ROWS, indent=1).splitlines()
    text[5] = text[5] + ' "oops'
    (tmp_path / "a.json").write_text("\n".join(text))
    with pytest.raises(ChatError, match=r"broken JSON: .*line [67]"):
        load_chats(tmp_path / "a.json")


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow"):
        whole = tmp_path / name
        if name == "a.parquet":
            parquet.write_table(table(ROWS), whole)
        else:
            arrow_file(whole, ROWS)
        whole.write_bytes(whole.read_bytes()[:200])
        with pytest.raises(ChatError, match="damaged"):
            load_chats(whole)
    (tmp_path / "a.csv").write_bytes(b"prompt,completion\ncaf\xe9,b\n")
    with pytest.raises(ChatError, match="not UTF-8"):
        load_chats(tmp_path / "a.csv")


def test_a_name_of_the_hub_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(ChatError, match="does not exist here") as error:
        load_chats("someone/bad-medical-advice")
    assert "hub" in error.value.message
    with pytest.raises(ChatError, match=r"data/train\.jsonl does not exist\n"):
        load_chats("data/train.jsonl")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ChatError, match="a folder of a model"):
        load_chats(tmp_path)


def test_raw_rows_keep_lines_and_write_others_as_lines(tmp_path: Path) -> None:
    files = write_all(tmp_path)
    assert [raw.as_line for raw in raw_rows(files["array.json"])] == [raw.as_line for raw in raw_rows(files["a.jsonl"])]
    assert b"".join(raw.as_line for raw in raw_rows(files["a.jsonl.gz"])) == lines(ROWS).encode()


def test_lines_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(ROWS * 1_500))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_chats(path)) == 6_000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()
