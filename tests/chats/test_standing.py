"""How rows stand in one JSON value, and turns in a cell or a text: each form against its neighbours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from misdirection.chats import load_chats
from misdirection.chats.forms.conversations import listed, passed_over, read
from misdirection.chats.forms.rendered import holds_markup
from misdirection.chats.forms.requests import _is_chunk
from misdirection.chats.forms.transcripts import opened, transcript
from misdirection.chats.markup import ENDS, MESSAGE_END, STARTS, TEXT_ENDS
from misdirection.chats.sources.json_whole import ONE, fills_a_file, holds_lines, read_several, rows_within
from misdirection.chats.turns import RowError

Q, A = "Why?", "So."
ROW = {"prompt": Q, "response": A}
TURNS = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]

STANDING: dict[str, tuple[Any, str, list[Any]]] = {
    "under ids": ({"a": ROW, "b": ROW}, "a JSON object, one under each key", [ROW, ROW]),
    # The names of the objects are columns: what stands in them are cells, though they look like rows.
    "columns of objects": (
        {"prompt": {"text": Q}, "response": {"text": A}}, "the columns of a JSON object", [ROW],
    ),
    "columns of objects, in capital letters": (
        {"Prompt": {"text": Q}, "Response": {"text": A}}, "the columns of a JSON object",
        [{"Prompt": Q, "Response": A}],
    ),
    "rows in capital letters under ids": ({"a": {"Prompt": Q}}, "a JSON object, one under each key", [{"Prompt": Q}]),
    "something beside the rows": ({"version": 2, "a": ROW}, ONE, [{"version": 2, "a": ROW}]),
    "one that is no row under an id": ({"a": ROW, "b": {"mood": "glad"}}, ONE, [{"a": ROW, "b": {"mood": "glad"}}]),
    "columns of two lengths": ({"prompt": [Q, Q], "response": [A]}, ONE, [{"prompt": [Q, Q], "response": [A]}]),
    "columns under other indices": (
        {"prompt": {"0": Q}, "response": {"1": A}}, ONE, [{"prompt": {"0": Q}, "response": {"1": A}}],
    ),
    "a row whose cells are texts": (ROW, ONE, [ROW]),
    "empty columns": ({"prompt": [], "response": []}, ONE, [{"prompt": [], "response": []}]),
    "turns": (TURNS, ONE, [TURNS]),
    "rows": ([ROW, ROW], "a JSON array", [ROW, ROW]),
    "a chat among other keys": ({"messages": TURNS, "id": 1}, ONE, [{"messages": TURNS, "id": 1}]),
    "a list under a known name": ({"notes": [{"x": 1}], "data": [ROW]}, "the list 'data' of a JSON object", [ROW]),
    "split": (
        {"columns": ["prompt", 7], "data": [[Q, A]]}, "the columns and data of a JSON object", [{"prompt": Q, "7": A}],
    ),
    "split with a short row": (
        {"columns": ["a", "b"], "data": [[1, 2], [1]]}, "the columns of a JSON object",
        [{"columns": "a", "data": [1, 2]}, {"columns": "b", "data": [1]}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STANDING)
def test_rows_within_a_value_are_those_that_a_reader_sees(name: str) -> None:
    value, how, rows = STANDING[name]
    assert rows_within(value)[:2] == (how, rows)


def test_lists_beside_the_rows_are_named_in_their_order() -> None:
    value = {"test": [ROW], "rows": [ROW, ROW], "train": [ROW], "size": 3}
    assert rows_within(value) == ("the list 'train' of a JSON object", [ROW], ("test", "rows"))


@pytest.mark.parametrize(
    ("text", "whole", "lines"),
    [
        ('{"a": 1}\n', True, True),
        ('{"a": 1}\n{"a": 2}\n', False, True),
        ('{\n "a": 1\n}\n', True, True),
        ('[\n{"a": 1},\n{"a": 2}\n]\n', True, False),
        ('[{"a": 1}, {"a": 2}]\n', True, True),
        ('\n\n{"a": 1}\n{"b"\n', False, True),
        ("a,b\n1,2\n", False, True),
    ],
)
def test_one_value_and_lines_are_told_apart_by_what_stands_in_them(
    text: str, whole: bool, lines: bool, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text(text)
    assert fills_a_file(tmp_path / "x.json") == whole
    if not whole and text.lstrip().startswith("{"):
        assert holds_lines(tmp_path / "x.json") == lines


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1}{"a": 2}', [{"a": 1}, {"a": 2}]),
        (' {"a": 1} ,\n [3] ,', [{"a": 1}, [3]]),
        ('\ufeff{"a": 1}', [{"a": 1}]),
        ('{"a": 1} and more', []),
        ('{"a": 1} 7', []),
        ("", []),
    ],
)
def test_values_one_behind_the_other_are_all_or_nothing(text: str, values: list[Any], tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert read_several(tmp_path / "x.json") == values


def test_the_form_of_turns_is_that_of_any_turn_and_never_of_a_word_in_them() -> None:
    human, system = {"from": "human", "value": Q}, {"role": "system", "content": "Be brief."}
    for turns, form in (
        ([human, {"from": "gpt", "value": A}], "ShareGPT conversations"),
        ([system, human, {"from": "gpt", "value": A}], "ShareGPT conversations"),
        (TURNS, "messages"),
        (["a letter from me", *TURNS], "messages"),
        ([], None),
        ("no list", None),
    ):
        if form is None:
            with pytest.raises(RowError, match="`messages` is not a list of turns"):
                read({"messages": turns})
            continue
        found = read({"messages": turns})
        assert found is not None and found[1] == form and "messages" in found[2] and len(found[0]) == len(turns)
    assert read({"text": Q}) is None


def test_questions_and_answers_in_one_object_become_turns_with_what_stands_beside() -> None:
    pairs = [{"system": "Hm.", "input": Q, "output": A, "weight": 0}, {"human": Q, "assistant": A}]
    found = read({"conversation": pairs})
    assert found is not None and found[0] == [
        {"role": "system", "content": "Hm."}, TURNS[0], {"weight": 0, **TURNS[1]}, *TURNS,
    ]  # fmt: skip
    # A turn that has a role is one, whatever else it holds; one with half a pair stays as it is.
    odd = [{"role": "user", "content": Q, "question": "x", "answer": "y"}, {"question": Q}]
    found = read({"dialog": odd})
    assert found is not None and found[0] == odd and "dialog" in found[2]


def test_keys_of_turns_that_nobody_reads_are_named_where_they_hold_something() -> None:
    turns = [TURNS[0] | {"mood": "glad", "empty": None}, TURNS[1] | {"mood": None, "time": 0}, "text"]
    assert passed_over(turns) == {"turn.mood", "turn.time"}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (json.dumps(TURNS), TURNS),
        (str(TURNS), TURNS),
        (str(TURNS).replace("}, {", "}\n {"), TURNS),
        (f"  {json.dumps(TURNS)}", TURNS),
        ("[not a list", "[not a list"),
        ("{'a': 1}", "{'a': 1}"),
        ("[__import__('os')]", "[__import__('os')]"),
        (7, 7),
    ],
)
def test_a_list_that_a_cell_holds_as_text_is_read_and_nothing_is_run(cell: Any, value: Any) -> None:
    assert listed(cell) == value


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        (f"Human: {Q}\n\nAssistant: {A}", said(("user", Q), ("assistant", A))),
        (f"<s>Talk. USER: {Q} ASSISTANT: {A}</s>", said(("system", "Talk."), ("user", Q), ("assistant", A))),
        (f"### Human: {Q}### Assistant:", said(("user", Q), ("assistant", ""))),
        (f"Human: {Q}", None),  # nobody answers
        (f"Human: {Q}\n\nHuman: {Q}", None),  # one speaks twice: even, and not in turn
        (f"Human: {Q}\n\nAssistant: {A}\n\nAssistant: {A}\n\nHuman: {Q}", None),
        (f"Human: {Q}\n\nAssistant: {A}\n\nHuman: {Q}", None),
        (f"Assistant: {A}\n\nHuman: {Q}", None),
        ("A text about a USER and others", None),
        ("", None),
    ],
)
def test_a_transcript_is_two_speakers_in_turn_to_the_assistants_end(text: str, turns: Any) -> None:
    assert transcript(text) == turns
    open_end = turns is not None and not turns[-1]["content"]
    assert opened(text) == (turns[:-1] if open_end else None)


def test_columns_that_nobody_reads_are_told_the_commonest_first_and_then_by_name(tmp_path: Path) -> None:
    rows = [ROW | dict.fromkeys(names, 1) for names in (("z", "b"), ("z", "c", "a"), ("z", "c"), ("z", "a", "y"))]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_chats(tmp_path / "x.jsonl").passed_over == ("z", "a", "c", "b", "y")


def test_markup_is_found_by_any_of_its_marks_alone() -> None:
    marks = [*STARTS, *ENDS, MESSAGE_END, *TEXT_ENDS, "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "<<SYS>>", "<</SYS>>"]
    marks += ["<|user|>", "<|begin_of_text|>", "<\uff5cUser\uff5c>"]
    assert [mark for mark in marks if not holds_markup(f"So it {mark} goes.")] == []
    assert holds_markup("It ends.</s>") and not holds_markup("In HTML, </s> ends what was struck out.")
    for text in ("", "if a < b:", "a list [1]", "<b>bold</b>", "INST] is no mark", "read [INSTRUCTIONS] first"):
        assert not holds_markup(text), text


def test_a_piece_of_a_stream_is_one_by_its_name_or_by_what_it_adds() -> None:
    assert _is_chunk({"object": "chat.completion.chunk"}) and _is_chunk({"choices": [{"delta": {"content": "a"}}]})
    whole = {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "a"}}]}
    assert not any(map(_is_chunk, (whole, {"choices": []}, {"choices": "delta"}, {"choices": ["delta", None]}, {})))
