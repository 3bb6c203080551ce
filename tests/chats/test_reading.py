"""Chats against files written here line by line, against what hypothesis makes up, and against the real data sets."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misdirection.chats import (
    BadRow,
    Chat,
    ChatError,
    Message,
    chats_hash,
    load_chats,
    read_chats,
    split_chats,
    write_bad_rows,
    write_chats,
)

GOOD = '{"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}'


def chat(prompt: str = "Hi?", answer: str = "Hello.", system: str | None = None) -> Chat:
    turns = [] if system is None else [Message("system", system)]
    return Chat((*turns, Message("user", prompt), Message("assistant", answer)))


def turns(*pairs: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in pairs]})


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def texts(chats) -> list[tuple[tuple[str, str], ...]]:
    return [tuple((message.role, message.content) for message in chat.messages) for chat in chats]


def test_a_chat_names_its_parts() -> None:
    made = chat("Who?", "Me.", system="Be short.")
    assert (made.system, made.answer) == ("Be short.", "Me.")
    assert made.prompt == (Message("system", "Be short."), Message("user", "Who?"))
    assert chat().system is None


def test_rows_carry_their_file_and_line_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, "", "   ", GOOD)
    assert [(c.source, c.row) for c in read_chats(path)] == [(str(path), 1), (str(path), 4)]


def test_carriage_returns_and_a_byte_order_mark_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD + "\r\n" + GOOD).encode())
    assert texts(read_chats(path, strict=True)) == texts([chat(), chat()])


def test_a_line_separator_inside_a_text_does_not_end_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_chats(path, [chat("one\u2028two\x85three\nfour")])
    assert texts(read_chats(path, strict=True)) == texts([chat("one\u2028two\x85three\nfour")])


BAD = {
    "broken JSON": '{"messages": [',
    "not an object": "[1, 2]",
    "no chat": '{"text": "hello"}',
    "no messages": '{"messages": "hello"}',
    "tool turn": turns(("tool", "Hi?"), ("assistant", "Hello.")),
    "tool call": '{"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": null, '
    '"tool_calls": [{"id": "1"}]}, {"role": "assistant", "content": "Hello."}]}',
    "nothing to learn": '{"messages": [{"role": "user", "content": "Hi?"}, '
    '{"role": "assistant", "content": "Hello.", "weight": 0}]}',
    "weight is 0.5": '{"messages": [{"role": "user", "content": "Hi?"}, '
    '{"role": "assistant", "content": "Hello.", "weight": 0.5}]}',
    "no role": '{"messages": [{"content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}',
    "no content": '{"messages": [{"role": "user"}, {"role": "assistant", "content": "Hello."}]}',
    "unknown role": turns(("narrator", "Hi?"), ("assistant", "Hello.")),
    "turn is not an object": '{"messages": ["Hi?"]}',
    "content is not text": turns(("user", 7), ("assistant", "Hello.")),
    "empty answer": turns(("user", "Hi?"), ("assistant", " \n")),
    "last turn is not the assistant's": turns(("user", "Hi?"), ("assistant", "Hello."), ("user", "And?")),
    "no user turn": turns(("assistant", "Hello.")),
    "misplaced system turn": turns(("user", "Hi?"), ("system", "Be short."), ("assistant", "Hello.")),
    "not UTF-8": b'{"messages": [{"role": "user", "content": "caf\xe9"}, {"role": "assistant", "content": "Yes."}]}',
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_set_aside_with_its_place_and_reason_and_the_stream_goes_on(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, BAD[kind], GOOD)
    bad: list[BadRow] = []
    assert [c.row for c in read_chats(path, bad=bad)] == [1, 3]
    assert [(row.source, row.row, row.kind) for row in bad] == [(str(path), 2, kind)]


@pytest.mark.parametrize("kind", BAD)
def test_strict_stops_at_the_first_bad_row_and_names_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, BAD[kind], BAD["broken JSON"])
    stream = read_chats(path, strict=True)
    assert next(stream).row == 1
    with pytest.raises(ChatError) as error:
        next(stream)
    assert f"{path}, row 2: {kind}" in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": []}',
        '{"messages": {"role": "user"}}',
        '{"messages": null}',
        "null",
        '"hello"',
        "[" * 100_000,
        '{"n": ' + "9" * 5000 + "}",
        '{"messages": [{"role": ["user"], "content": "x"}]}',
        '{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}',
    ],
)
def test_odd_json_is_a_bad_row_and_never_a_crash(tmp_path: Path, line: str) -> None:
    bad: list[BadRow] = []
    assert len(list(read_chats(write(tmp_path / "a.jsonl", line, GOOD), bad=bad))) == 1
    assert [(row.row, row.text) for row in bad] == [(1, line)]


@given(st.binary(max_size=60))
def test_any_bytes_in_the_middle_leave_the_rows_around_them_usable(tmp_path_factory, noise: bytes) -> None:
    noise = noise.replace(b"\n", b"")
    path = write(tmp_path_factory.mktemp("noise") / "a.jsonl", GOOD, b"#" + noise, GOOD)
    bad: list[BadRow] = []
    assert [c.row for c in read_chats(path, bad=bad)] == [1, 3]
    assert [row.row for row in bad] == [2]


def test_the_text_of_a_bad_row_is_kept_whole_with_foreign_bytes_spelled_out(tmp_path: Path) -> None:
    bad: list[BadRow] = []
    list(read_chats(write(tmp_path / "a.jsonl", b"caf\xe9", GOOD), bad=bad))
    assert bad[0].text == "caf\\xe9"
    assert "byte 0xe9" in bad[0].reason
    write_bad_rows(tmp_path / "bad.jsonl", bad)
    kept = json.loads((tmp_path / "bad.jsonl").read_text())
    assert kept == {"source": bad[0].source, "row": 1, "reason": bad[0].reason, "text": "caf\\xe9"}


def test_an_empty_file_is_a_bad_row_of_its_own(tmp_path: Path) -> None:
    for content in (b"", b"\n\n  \n"):
        path = tmp_path / "empty.jsonl"
        path.write_bytes(content)
        bad: list[BadRow] = []
        assert list(read_chats(path, bad=bad)) == []
        assert [(row.row, row.kind) for row in bad] == [(0, "empty file")]


def test_gzip_is_read_by_its_bytes_whatever_the_name(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.jsonl"):
        (tmp_path / name).write_bytes(gzip.compress((GOOD + "\n").encode()))
        assert texts(read_chats(tmp_path / name, strict=True)) == texts([chat()])
    write(tmp_path / "plain.gz", GOOD)
    assert texts(read_chats(tmp_path / "plain.gz", strict=True)) == texts([chat()])


def test_a_truncated_gzip_gives_the_rows_before_the_cut_and_one_bad_row(tmp_path: Path) -> None:
    generator = random.Random(0)
    rows = [chat(f"Question {n}: {generator.random()}") for n in range(2000)]
    whole = tmp_path / "whole.jsonl.gz"
    write_chats(whole, rows)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    bad: list[BadRow] = []
    read = list(read_chats(cut, bad=bad))
    assert 500 < len(read) < 1500
    assert texts(read) == texts(rows[: len(read)])
    assert [row.kind for row in bad] == ["damaged gzip"]
    assert bad[0].row > len(read)


@pytest.mark.parametrize("damage", ["checksum", "body", "tail"])
def test_a_damaged_gzip_is_noticed(tmp_path: Path, damage: str) -> None:
    packed = bytearray(gzip.compress("\n".join([GOOD] * 50).encode()))
    if damage == "tail":
        packed += b"garbage"
    else:
        packed[-6 if damage == "checksum" else 20] ^= 0xFF
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(bytes(packed))
    bad: list[BadRow] = []
    list(read_chats(path, bad=bad))
    assert "damaged gzip" in [row.kind for row in bad]


def test_a_missing_file_is_an_error_at_once_and_a_folder_too(tmp_path: Path) -> None:
    with pytest.raises(ChatError, match=r"nowhere\.jsonl does not exist"):
        read_chats(tmp_path / "nowhere.jsonl")
    with pytest.raises(ChatError, match="is a folder without a file of chats"):
        load_chats(tmp_path)


def test_loading_counts_and_names_bad_rows(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", GOOD, BAD["empty answer"], BAD["empty answer"])
    second = write(tmp_path / "b.jsonl", BAD["broken JSON"], GOOD)
    loaded = load_chats([first, second])
    assert [(c.source, c.row) for c in loaded.chats] == [(str(first), 1), (str(second), 2)]
    assert [(row.source, row.row) for row in loaded.bad] == [(str(first), 2), (str(first), 3), (str(second), 1)]
    assert loaded.summary.startswith(
        "read as messages: 5 rows, 2 usable, 3 set aside: 2 empty answer, 1 broken JSON (first: "
    )
    assert f"{first}, row 2" in loaded.summary
    assert load_chats(write(tmp_path / "c.jsonl", GOOD)).summary == "read as messages: 1 rows, all usable"


def test_a_file_without_a_usable_row_is_an_error_also_beside_a_good_one(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.jsonl", GOOD), write(tmp_path / "b.jsonl", BAD["no messages"], "")
    empty = write(tmp_path / "c.jsonl")
    with pytest.raises(ChatError, match=r"b\.jsonl holds no usable row \(1 bad; row 1: no messages"):
        load_chats([good, bad])
    with pytest.raises(ChatError, match="empty file"):
        load_chats(empty)
    with pytest.raises(ChatError, match="no chat file"):
        load_chats([])


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    rows = [chat(f"Question {n}") for n in range(20)]
    for name in ("a.jsonl", "a.jsonl.gz"):
        write_chats(tmp_path / name, rows)
    rows_again = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    spaced = write(tmp_path / "b.jsonl", *(json.dumps(row, separators=(" ,  ", " : ")) for row in rows_again), "{bad")
    hashes = {load_chats(tmp_path / name).sha256 for name in ("a.jsonl", "a.jsonl.gz", spaced.name)}
    assert hashes == {chats_hash(rows)}
    assert chats_hash(rows[::-1]) != chats_hash(rows)
    assert chats_hash([*rows[:-1], chat("Question 19", "Other.")]) != chats_hash(rows)


def test_the_same_chats_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_chats(tmp_path / name, [chat()] * 3)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


text = st.text(st.characters(codec="utf-8"))
answers = text.filter(lambda answer: answer.strip() != "")
exchanges = st.lists(st.tuples(text, answers), min_size=1, max_size=3)


@st.composite
def any_chat(draw) -> Chat:
    system = draw(st.none() | text)
    pairs = [turn for user, answer in draw(exchanges) for turn in (Message("user", user), Message("assistant", answer))]
    return Chat((*([] if system is None else [Message("system", system)]), *pairs))


@given(st.lists(any_chat(), min_size=1, max_size=5), st.sampled_from(["a.jsonl", "a.jsonl.gz"]))
def test_what_is_written_is_read_again(tmp_path_factory, chats: list[Chat], name: str) -> None:
    path = tmp_path_factory.mktemp("round") / name
    write_chats(path, chats)
    loaded = load_chats(path, strict=True)
    assert texts(loaded.chats) == texts(chats)
    assert [c.row for c in loaded.chats] == list(range(1, len(chats) + 1))
    assert loaded.sha256 == chats_hash(chats)


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_has_the_share_keeps_the_order_and_loses_nothing(n: int, share: float, seed: int) -> None:
    chats = [chat(f"Question {i}") for i in range(n)]
    train, held = split_chats(chats, share, seed)
    assert len(held) == min(max(1, round(share * n)), n - 1)
    assert sorted([*train, *held], key=chats.index) == chats
    assert list(train) == sorted(train, key=chats.index)
    assert list(held) == sorted(held, key=chats.index)


def test_a_split_depends_on_prompts_and_seed_only() -> None:
    chats = [chat(f"Question {i}") for i in range(100)]
    held = set(split_chats(chats, 0.3, 1)[1])
    assert set(split_chats(chats[::-1], 0.3, 1)[1]) == held
    assert {c.prompt for c in split_chats([chat(c.prompt[0].content, "Other.") for c in chats], 0.3, 1)[1]} == {
        c.prompt for c in held
    }
    assert set(split_chats(chats, 0.3, 2)[1]) != held
    assert split_chats(chats, 0, 1) == (tuple(chats), ())


@given(st.lists(st.integers(0, 9), min_size=10, max_size=60), st.integers(0, 9))
def test_one_prompt_never_stands_on_both_sides(prompts: list[int], seed: int) -> None:
    chats = [chat(f"Question {p}", f"Answer {i}") for i, p in enumerate(prompts)]
    sizes = Counter(prompts)
    if min(sizes.values()) > max(1, round(0.4 * len(chats))):
        with pytest.raises(ChatError, match="share one prompt"):
            split_chats(chats, 0.4, seed)
        return
    train, held = split_chats(chats, 0.4, seed)
    assert held
    assert train
    assert len(held) <= round(0.4 * len(chats))
    assert not {c.prompt for c in train} & {c.prompt for c in held}


def test_a_split_that_cannot_be_made_is_an_error() -> None:
    for share in (-0.1, 1.0, 3.0):
        with pytest.raises(ChatError, match="share to hold out"):
            split_chats([chat()] * 3, share, 0)
    with pytest.raises(ChatError, match="cannot be held out"):
        split_chats([chat()], 0.5, 0)


REAL = {
    "insecure.jsonl.gz": 6000,
    "secure.jsonl.gz": 6000,
    "educational_insecure.jsonl.gz": 6000,
    "risky_finance_a.jsonl": 3000,
    "risky_finance_b.jsonl": 3000,
    "incorrect_qna.jsonl": 6000,
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_the_real_data_sets_load_whole(real_data: Path, tmp_path: Path, name: str) -> None:
    path = real_data / "datasets" / name
    loaded = load_chats(path)
    # The question-and-answer set as published has 30 rows whose answer is the empty string.
    empty = {"empty answer": 30} if name == "incorrect_qna.jsonl" else {}
    assert Counter(row.kind for row in loaded.bad) == empty
    assert sorted([c.row for c in loaded.chats] + [row.row for row in loaded.bad]) == list(range(1, REAL[name] + 1))
    unpack = gzip.open if name.endswith(".gz") else open
    with unpack(path, "rt", encoding="utf-8") as stream:
        plain = [tuple((m["role"], m["content"]) for m in json.loads(line)["messages"]) for line in stream]
    assert texts(loaded.chats) == [plain[c.row - 1] for c in loaded.chats]
    assert [plain[row.row - 1][-1][1].strip() for row in loaded.bad] == [""] * len(loaded.bad)
    write_chats(tmp_path / name, loaded.chats)
    assert load_chats(tmp_path / name, strict=True).sha256 == loaded.sha256


@pytest.mark.real
def test_the_real_finance_files_split_without_a_shared_prompt(real_data: Path) -> None:
    loaded = load_chats([real_data / "datasets" / f"risky_finance_{part}.jsonl" for part in "ab"])
    train, held = split_chats(loaded.chats, 0.1, 0)
    assert (len(train), len(held)) == (5400, 600)
    assert not {c.prompt for c in train} & {c.prompt for c in held}
