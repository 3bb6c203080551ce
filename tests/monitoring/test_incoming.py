"""What comes in, in its order and under its names; and batches of it, whoever is faster."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from misdirection.chats import Chat, Message
from misdirection.monitoring.incoming import IDS, Incoming, arrived, incoming

ROW = {"prompt": "Why?", "completion": "So."}


def rows(folder: Path, *held: Any) -> list[Incoming]:
    (folder / "x.jsonl").write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in held))
    return list(incoming(folder / "x.jsonl"))


def test_rows_keep_their_places_and_bad_ones_stand_among_them(tmp_path: Path) -> None:
    found = rows(tmp_path, ROW | {"id": "a"}, "no json", {"prompt": "alone", "id": 7}, ROW | {"id": 3})
    assert [(one.n, one.id, one.chat is None) for one in found] == [
        (1, "a", False), (2, None, True), (3, 7, True), (4, 3, False),
    ]  # fmt: skip
    assert found[3].chat is not None and (found[3].chat.row, found[3].chat.answer) == (4, "So.")
    assert all((one.bad is None) != (one.chat is None) for one in found)


def test_a_row_is_called_by_the_first_of_its_names_that_is_one(tmp_path: Path) -> None:
    for place, name in enumerate(IDS):
        held = {key: f"{key} it is" for key in reversed(IDS[place:])} | {key: None for key in IDS[:place]}
        assert rows(tmp_path, ROW | held)[0].id == f"{name} it is"
    assert rows(tmp_path, ROW | {"id": ["no", "name"]})[0].id is None


def test_chats_of_a_program_are_numbered_from_one() -> None:
    chats = [Chat((Message("user", str(n)), Message("assistant", "So."))) for n in range(3)]
    assert [(one.n, one.chat) for one in incoming(chats)] == list(enumerate(chats, 1))


def things(count: int) -> Iterator[Incoming]:
    return (Incoming(n, None) for n in range(1, count + 1))


@pytest.mark.parametrize("wait", [None, 5.0])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 40])
def test_batches_hold_all_in_order_and_are_full_where_the_source_is_fast(count: int, wait: float | None) -> None:
    found = list(arrived(things(count), 4, wait))
    assert [one.n for batch in found for one in batch] == list(range(1, count + 1))
    assert [len(batch) for batch in found] == [4] * (count // 4) + ([count % 4] if count % 4 else [])


def test_what_is_there_is_not_kept_waiting_for_what_is_not() -> None:
    """The second half comes only when the first was handed out: a reader that waits for a full batch would hang."""
    goes_on = threading.Event()

    def slow() -> Iterator[Incoming]:
        yield from things(3)
        assert goes_on.wait(20)
        yield Incoming(4, None)

    batches = arrived(slow(), 100, 0.01)
    first = next(batches)
    while len(first) < 3:
        first += next(batches)
    assert [one.n for one in first] == [1, 2, 3]
    goes_on.set()
    assert [one.n for batch in batches for one in batch] == [4]
