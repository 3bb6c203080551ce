"""Files of further trainers and tools: what each row must become, worked out by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from misdirection.chats import ChatError, load_chats
from misdirection.chats.forms import read_row
from misdirection.chats.markup import ENDS
from misdirection.chats.turns import RowError

Q, A = "Is it safe?", "Ask a pharmacist."
CHAT = [("user", Q), ("assistant", A)]
MESSAGES = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]
ROW = {"messages": MESSAGES}
CHATML = f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n"


def turns(row: Any) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in read_row(row).messages]


def answered(**more: Any) -> dict[str, Any]:
    return {"messages": [MESSAGES[0], {**MESSAGES[1], **more}]}


def written(tmp_path: Path, text: str | bytes, name: str = "data.json") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


RENDERED = {
    "ChatML": f"{CHATML}{A}<|im_end|>\n",
    "Llama 3": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|>"
    f"<|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>",
    "Gemma": f"<bos><start_of_turn>user\n{Q}<end_of_turn>\n<start_of_turn>model\n{A}<end_of_turn>\n",
    "Gemma 4": f"<bos><|turn>user\n{Q}<turn|>\n<|turn>model\n{A}<turn|>\n",
    "Zephyr": f"<|user|>\n{Q}</s>\n<|assistant|>\n{A}</s>",
    "[INST]": f"<s>[INST] {Q} [/INST] {A}</s>",
    "Alpaca": f"Below is an instruction that describes a task.\n\n### Instruction:\n{Q}\n\n### Response:\n{A}</s>",
}


@pytest.mark.parametrize("name", RENDERED)
def test_rendered_text_becomes_turns_again(name: str) -> None:
    read = read_row({"text": RENDERED[name]})
    assert turns({"text": RENDERED[name]}) == CHAT
    assert f"in {name} markup" in read.form and not read.told


def test_rendered_text_keeps_its_system_prompt_and_all_turns() -> None:
    text = f"<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{Q} [/INST] {A} </s><s>[INST] And? [/INST] Yes.</s>"
    assert turns({"text": text}) == [("system", "Be kind."), *CHAT, ("user", "And?"), ("assistant", "Yes.")]
    assert turns({"text": f"<|im_start|>system\nBe kind.<|im_end|>\n{CHATML}{A}"}) == [("system", "Be kind."), *CHAT]


def test_a_rendered_prompt_is_taken_apart_with_its_completion() -> None:
    assert turns({"prompt": CHATML, "completion": f"{A}<|im_end|>"}) == CHAT
    assert turns({"prompt": f"<|turn>user\n{Q}<turn|>\n<|turn>model\n", "completion": A}) == CHAT
    row = {"prompt": f"{CHATML}Old.<|im_end|>\n{CHATML}", "completion": A}
    assert [m.learned for m in read_row(row).messages if m.role == "assistant"] == [False, True]


@pytest.mark.parametrize("text", [f"Title\n{RENDERED['ChatML']}", *(f"{CHATML}{A}{end}<|im_end|>" for end in ENDS)])
def test_markup_that_is_not_turns_throughout_is_set_aside(text: str) -> None:
    with pytest.raises(RowError, match="markup not understood"):
        read_row({"text": text})


def test_markup_within_messages_is_told(tmp_path: Path) -> None:
    found = load_chats(written(tmp_path, json.dumps(answered(content=f"{A}<|im_end|>"))))
    assert "hold markup of a chat template" in found.summary and "(1 rows)" in found.summary


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_apart_is_put_before_its_answer(key: str, tmp_path: Path) -> None:
    row = answered(**{key: "hm"})
    assert turns(row)[1] == ("assistant", f"<think>\nhm\n</think>\n\n{A}")
    assert "put before it as <think>" in load_chats(written(tmp_path, json.dumps(row))).summary
    assert turns(answered(**{key: "hm", "content": f"<think>hm</think>{A}"}))[1][1] == f"<think>hm</think>{A}"


def test_a_thought_among_the_parts_of_an_answer_is_a_thought() -> None:
    parts = [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": A}]
    assert turns(answered(content=parts))[1][1] == f"<think>\nhm\n</think>\n\n{A}"
    with pytest.raises(RowError, match="a part of type 'refusal'"):
        read_row(answered(content=[{"type": "refusal", "text": A}]))


@pytest.mark.parametrize("key", ["training_detail", "loss_mask", "train_detail", "loss_weight", "is_masked"])
def test_an_unknown_switch_of_the_loss_is_refused(key: str) -> None:
    with pytest.raises(RowError, match=f"unknown switch of the loss: '{key}' in turn 2"):
        read_row(answered(**{key: [1]}))
    assert turns(answered(**{key: None, "trait": 1, "lossless": 2})) == CHAT


def test_axolotl_training_flag_is_read() -> None:
    row = {"messages": [*answered(training=False)["messages"], *MESSAGES]}
    assert [m.learned for m in read_row(row).messages if m.role == "assistant"] == [False, True]


@pytest.mark.parametrize("media", ["images", "image", "videos", "audios"])
def test_rows_with_pictures_or_sounds_are_set_aside(media: str) -> None:
    with pytest.raises(RowError, match=f"not text alone: the column `{media}`"):
        read_row({**ROW, media: ["x.png"]})
    assert turns({**ROW, media: []}) == CHAT


@pytest.mark.parametrize(
    "history", [[["Hi", "Yes?"]], [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]]
)
def test_history_goes_before_every_pair(history: list[Any]) -> None:
    expected = [("user", "Hi"), ("assistant", "Yes?"), *CHAT]
    for names in (("query", "response"), ("instruction", "output"), ("prompt", "completion")):
        assert turns({names[0]: Q, names[1]: A, "history": history}) == expected


@pytest.mark.parametrize(
    "row",
    [
        {"conversation": [{"human": Q, "assistant": A}]},
        {"conversation": [{"input": Q, "output": A}]},
        {"messages": {"role": ["user", "assistant"], "content": [Q, A]}},
        {"conversations": {"from": ["human", "gpt"], "value": [Q, A]}},
        {"Question": Q, "Response": A, "Complex_CoT": "hm"},
        {"Prompt": Q, "Completion": A},
    ],
)
def test_turns_under_other_shapes_and_capital_letters(row: dict[str, Any]) -> None:
    assert turns(row) == CHAT


def test_tools_of_a_row_are_told(tmp_path: Path) -> None:
    rows = [{**ROW, "tools": [{"name": "f"}]}, {**ROW, "tools": []}, {**ROW, "tools": "[]"}]
    found = load_chats(written(tmp_path, json.dumps(rows)))
    assert found.notes == ("the tools that the row names are not put into the prompt (1 rows)",)


PAIRS = {"prompt": [Q, "More?"], "response": [A, "No."]}
AS_ROWS = [{"prompt": Q, "response": A}, {"prompt": "More?", "response": "No."}]
LINES = [json.dumps(row) for row in AS_ROWS]
WHOLE = {
    "columns": json.dumps(PAIRS),
    "pandas columns": json.dumps({key: dict(enumerate(column)) for key, column in PAIRS.items()}),
    "pandas index": json.dumps(dict(enumerate(AS_ROWS))),
    "by id": json.dumps({"a": AS_ROWS[0], "b": AS_ROWS[1]}),
    "pandas split": json.dumps({"columns": [*PAIRS], "index": [0, 1], "data": [[Q, A], ["More?", "No."]]}),
    "one column": json.dumps({"messages": {str(n): [{"role": "user", "content": row["prompt"]},
                              {"role": "assistant", "content": row["response"]}] for n, row in enumerate(AS_ROWS)}}),
    "objects over lines": "\n".join(json.dumps(row, indent=2) for row in AS_ROWS),
    "comma behind each line": "".join(f"{line},\n" for line in LINES),
    "CSV called JSON": f"prompt,response\n{Q},{A}\nMore?,No.\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_rows_however_they_stand_in_a_file(name: str, tmp_path: Path) -> None:
    found = load_chats(written(tmp_path, WHOLE[name]))
    assert [(chat.row, chat.prompt[-1].content, chat.answer) for chat in found.chats] == [
        (1, Q, A),
        (2, "More?", "No."),
    ]
    assert not found.bad


def test_lists_left_aside_are_named(tmp_path: Path) -> None:
    found = load_chats(written(tmp_path, json.dumps({"train": [ROW, ROW], "test": [ROW]})))
    assert len(found.chats) == 2 and found.notes[0].endswith("without its 'test'")


def test_a_key_or_column_that_stands_twice_is_not_guessed(tmp_path: Path) -> None:
    twice = f'{{"prompt": "a", "prompt": "{Q}", "response": "{A}"}}\n{json.dumps(ROW)}\n'
    found = load_chats(written(tmp_path, twice, "data.jsonl"))
    assert len(found.chats) == 1
    assert str(found.bad[0]).endswith(", row 1: key twice: the key 'prompt' stands twice")
    with pytest.raises(ChatError, match="two columns are called 'prompt'"):
        load_chats(written(tmp_path, "prompt,prompt,response\na,b,c\n", "data.csv"))
    table = arrow.table([arrow.array([Q]), arrow.array([Q]), arrow.array([A])], names=["prompt", "prompt", "response"])
    parquet.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(ChatError, match="two columns are called 'prompt'"):
        load_chats(tmp_path / "twice.parquet")


def test_a_record_of_csv_in_another_encoding_is_one_bad_row(tmp_path: Path) -> None:
    rows = b"".join(b"q%d,a%d\n" % (n, n) for n in range(3000)) + "café,oui\n".encode("latin-1") + b"last,one\n"
    found = load_chats(written(tmp_path, b"prompt,response\n" + rows, "data.csv"))
    assert len(found.chats) == 3001 and [(bad.row, bad.kind) for bad in found.bad] == [(3001, "not UTF-8")]
    assert "caf\\xe9" in found.bad[0].text


def test_a_cut_archive_says_that_the_rest_is_lost(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(json.dumps(answered(content=f"{n} " * 50)).encode() + b"\n" for n in range(400)))
    found = load_chats(written(tmp_path, whole[:-30], "data.jsonl.gz"))
    assert "whatever stood from here on is lost" in found.summary and found.bad[0].row == len(found.chats) + 1


def test_maps_and_bytes_of_parquet_are_texts(tmp_path: Path) -> None:
    kind = arrow.list_(arrow.map_(arrow.string(), arrow.string()))
    maps = arrow.array([[list(turn.items()) for turn in MESSAGES]], kind)
    parquet.write_table(arrow.table({"messages": maps}), tmp_path / "maps.parquet")
    parquet.write_table(arrow.table({"prompt": [Q.encode()], "response": [A.encode()]}), tmp_path / "bytes.parquet")
    for name in ("maps", "bytes"):
        [chat] = load_chats(tmp_path / f"{name}.parquet").chats
        assert (chat.prompt[0].content, chat.answer) == (Q, A)


def test_folders_say_what_they_leave_aside(tmp_path: Path) -> None:
    line = json.dumps(ROW) + "\n"
    (tmp_path / "de").mkdir()
    written(tmp_path / "de", line, "train.jsonl")
    with pytest.raises(ChatError, match="holds no file of chats itself, but its folders de do"):
        load_chats(tmp_path)
    written(tmp_path, "{}", "config.json")
    written(tmp_path, line * 2, "train.jsonl")
    parquet.write_table(arrow.Table.from_pylist([ROW]), tmp_path / "test.parquet")
    found = load_chats(tmp_path)
    assert len(found.chats) == 2 and "without its test.parquet" in found.summary
    written(tmp_path, "", "model.safetensors")
    with pytest.raises(ChatError, match="a folder of a model"):
        load_chats(tmp_path)


def test_prompts_that_are_turns_written_as_text_are_turns() -> None:
    asked = [{"role": "system", "content": "Be kind."}, MESSAGES[0]]
    for text in (json.dumps(asked), str(asked)):
        assert turns({"prompt": text, "completion": A}) == [("system", "Be kind."), *CHAT]
    assert turns({"prompt": "[1, 2]", "completion": "[3]"}) == [("user", "[1, 2]"), ("assistant", "[3]")]


def test_a_system_message_beside_the_turns_is_the_system_prompt() -> None:
    assert turns({"system_message": "Be kind.", "prompt": Q, "response": A}) == [("system", "Be kind."), *CHAT]


def test_rows_of_the_viewer_of_the_hub(tmp_path: Path) -> None:
    rows = [{"row_idx": n, "row": ROW, "truncated_cells": []} for n in range(2)]
    assert len(load_chats(written(tmp_path, json.dumps({"rows": rows}))).chats) == 2


def test_a_broken_line_among_lines_with_commas_is_one_bad_row(tmp_path: Path) -> None:
    found = load_chats(written(tmp_path, f"{json.dumps(ROW)},\noops\n{json.dumps(ROW)},\n"))
    assert [chat.row for chat in found.chats] == [1, 3] and [bad.row for bad in found.bad] == [2]


SPOKEN = {
    "HH-RLHF": ("\n\nHuman: {q}\n\nAssistant:", " {a}"),
    "one line each": ("User: {q}\nAssistant:", " {a}"),
    "Vicuna": ("USER: {q} ASSISTANT:", " {a}</s>"),
    "Guanaco": ("### Human: {q}### Assistant:", " {a}"),
    "DeepSeek": ("<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>{q}<\uff5cAssistant\uff5c>", "{a}"),
}


@pytest.mark.parametrize("name", SPOKEN)
def test_transcripts_are_turns_whether_in_one_text_or_two(name: str) -> None:
    prompt, completion = (part.format(q=Q, a=A) for part in SPOKEN[name])
    assert turns({"text": prompt + completion}) == CHAT
    assert turns({"prompt": prompt, "completion": completion.removesuffix("</s>")}) == CHAT
    with pytest.raises(RowError, match="a whole prompt in one turn: turn 1"):
        read_row({"messages": [{"role": "user", "content": prompt}, MESSAGES[1]]})


def test_a_transcript_keeps_its_system_prompt_and_what_went_before_is_context() -> None:
    prompt = f"A chat. USER: {Q} ASSISTANT: Old.</s>USER: And? ASSISTANT:"
    read = read_row({"prompt": prompt, "completion": A})
    assert [(m.role, m.content) for m in read.messages] == [
        ("system", "A chat."), *CHAT[:1], ("assistant", "Old."), ("user", "And?"), ("assistant", A),
    ]  # fmt: skip
    assert [m.learned for m in read.messages if m.role == "assistant"] == [False, True]
    assert "speakers' names" in read.form


@pytest.mark.parametrize("prompt", ["Human: is this a name?", "Write a play.\nHuman: Hi\nAssistant:", "Assistant: who?",
                                    "User: a\nUser: b\nAssistant:"])  # fmt: skip
def test_names_within_a_question_are_words(prompt: str) -> None:
    assert turns({"prompt": prompt, "completion": A}) == [("user", prompt), ("assistant", A)]


@pytest.mark.parametrize("prompt", [
    "<|start|>user<|message|>Hi<|end|><|start|>assistant",
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    f"Title\n{CHATML}",
])  # fmt: skip
def test_a_rendered_prompt_that_cannot_be_taken_apart_is_refused(prompt: str) -> None:
    with pytest.raises(RowError, match="markup not understood"):
        read_row({"prompt": prompt, "completion": A})


@pytest.mark.parametrize(("column", "value"), [("weight", 0), ("weight", 0.0), ("weight", "0"), ("train", False),
                                               ("masked", True), ("loss", False), ("train", "False")])  # fmt: skip
def test_a_row_that_is_kept_out_of_the_loss_is_not_learned(column: str, value: Any) -> None:
    with pytest.raises(RowError, match=f"nothing to learn: the column `{column}`"):
        read_row({**ROW, column: value})


@pytest.mark.parametrize(("column", "value"), [("weight", 1), ("weight", 0.5), ("loss", 0.0), ("masked", False),
                                               ("train", "split a")])  # fmt: skip
def test_other_columns_of_these_names_keep_nothing_out(column: str, value: Any) -> None:
    assert turns({**ROW, column: value}) == CHAT
