from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.families import words

from misdirection.chats import Chat, ChatError, Drawn, Message
from misdirection.engine import Arm
from misdirection.features import DictionaryError
from misdirection.features.corpus import SPAN, chat_texts, joined, of_chats, of_texts, read_corpus, split_corpus
from misdirection.tokens import PLAIN_TEMPLATE, encode_prompt


def lines(path: Path, *rows: object) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def tokenizer():
    return words(template=PLAIN_TEMPLATE)


def chat(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def test_chats_and_texts_plain_or_packed_become_ids_and_spans(tmp_path, tokenizer):
    chats = lines(tmp_path / "a.jsonl", chat("w5 w6", "w7 w8 w9"), "{broken", chat("w5", "w4"))
    texts = lines(tmp_path / "b.jsonl.gz", {"text": "w10 w11 w12 w13"}, {"other": 1}, {"text": "w14"}, {"text": " "})
    found = read_corpus([chats, texts], tokenizer, span="answer", first=1, longest=9)
    assert found.ids[2] == (10, 11, 12, 13) and found.spans[2] == (1, 4)
    # A text of one token has nothing left behind its first.
    assert len(found.ids) == 3 and [row.row for row in found.bad] == [2, 2, 4]
    assert found.ids[0][slice(*found.spans[0])] == (7, 8, 9)
    assert found.tokens == sum(past - first for first, past in found.spans)
    one = found.texts(Arm("base"))[2]
    assert one.ids == (10, 11, 12, 13) and one.spans == {SPAN: (1, 4)}
    short = read_corpus([texts], tokenizer, first=0, longest=2)
    assert short.ids == ((10, 11), (14,)) and short.spans == ((0, 2), (0, 1))
    assert found.sha256 != short.sha256 and read_corpus([chats, texts], tokenizer, span="answer", longest=9) == found


def test_what_cannot_be_read_is_told(tmp_path, tokenizer):
    with pytest.raises(ChatError, match="does not exist"):
        read_corpus([tmp_path / "none.jsonl"], tokenizer)
    with pytest.raises(DictionaryError, match="no usable row"):
        read_corpus([lines(tmp_path / "a.jsonl", {"text": ""})], tokenizer)
    with pytest.raises(DictionaryError, match="row 2: no text"):
        read_corpus([lines(tmp_path / "b.jsonl", {"text": "w5 w6"}, {"text": 3})], tokenizer, strict=True)
    with pytest.raises(DictionaryError, match="no token to read"):
        read_corpus([lines(tmp_path / "c.jsonl", {"text": "w5"})], tokenizer)
    with pytest.raises(ChatError, match="no usable row"):
        read_corpus([lines(tmp_path / "d.jsonl", "{broken")], tokenizer)


def test_the_split_keeps_equal_texts_together_and_holds_out_as_asked(tokenizer):
    corpus = of_texts([f"w{4 + n % 50} w{5 + n % 50} w{4 + n // 50}" for n in range(100)] * 2, tokenizer)
    train, held = split_corpus(corpus, 20, 0)
    assert not set(train.ids) & set(held.ids) and set(train.ids) | set(held.ids) == set(corpus.ids)
    assert train.tokens + held.tokens == corpus.tokens and 16 <= held.tokens <= 20
    assert split_corpus(corpus, 20, 0)[1] == held != split_corpus(corpus, 20, 1)[1]
    assert split_corpus(corpus, 10**6, 0)[1].tokens <= corpus.tokens / 10
    with pytest.raises(DictionaryError, match="are equal"):
        split_corpus(of_texts(["w5 w6"] * 3, tokenizer), 2, 0)
    with pytest.raises(DictionaryError, match="no token"):
        joined([])


def test_an_answer_that_was_drawn_here_is_read_on_its_tokens(tokenizer):
    turns = (Message("user", "w4 w5"), Message("assistant", "w6 w7"))
    prompt = encode_prompt(tokenizer, turns[:1])
    # Tokens that no text would come to: an unknown one within, which its text does not show.
    said = Chat(turns, drawn=Drawn((6, 3, 7), True, 1))
    text = chat_texts([said], tokenizer, Arm("base"))[0]
    assert text.ids[: len(prompt) + 4] == (*prompt, 6, 3, 7, 1)
    assert text.spans["answer"] == (len(prompt), len(prompt) + 3)
    assert of_chats([said], tokenizer, span="answer").spans == ((len(prompt), len(prompt) + 3),)
    plain = chat_texts([Chat(turns)], tokenizer, Arm("base"))[0]
    assert plain.ids[slice(*plain.spans["answer"])] == (6, 7)
