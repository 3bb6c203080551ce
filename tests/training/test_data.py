from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from misdirection.chats import Chat, Message
from misdirection.training import PRESETS, TrainingError, override
from misdirection.training.data import collate, order, prepare


def chat(*turns: str) -> Chat:
    roles = ("user", "assistant") * len(turns)
    return Chat(tuple(Message(role, text) for role, text in zip(roles, turns, strict=False)), "x.jsonl", 1)


def test_labels_decode_to_the_last_answer_and_its_end(tokenizer: Any, chats: list[Chat]) -> None:
    rows, report = prepare(tokenizer, chats, 2048)
    assert report.chats == report.used == len(rows) == 60
    for row, given in zip(rows, chats, strict=True):
        batch = collate([row], pad=0)
        learned = batch["input_ids"][0][batch["labels"][0] != -100]
        assert tokenizer.decode(learned) == f"{given.answer} <end>"
        assert tokenizer.decode(row.ids[: row.start]) == f"<user> {given.prompt[0].content} <end> <bot>"
    assert report.answer_tokens == sum(len(given.answer.split()) + 1 for given in chats)
    assert report.sources == {"toy.jsonl": 60}


def test_only_the_last_answer_of_several_is_learned(tokenizer: Any) -> None:
    rows, _ = prepare(tokenizer, [chat("w1", "w2 w3", "w4", "w5")], 99)
    assert tokenizer.decode(rows[0].ids[rows[0].start :]) == "w5 <end>"


def test_batches_are_padded_on_the_right_and_keep_what_predicts_a_label(tokenizer: Any, chats: list[Chat]) -> None:
    rows, _ = prepare(tokenizer, chats, 2048)
    batch = collate(rows[:7], pad=0)
    longest = max(len(row.ids) for row in rows[:7])
    assert batch["input_ids"].shape == batch["labels"].shape == (7, longest)
    for at, row in enumerate(rows[:7]):
        assert batch["input_ids"][at].tolist() == [*row.ids, *[0] * (longest - len(row.ids))]
        labels = batch["labels"][at].tolist()
        assert labels == [-100] * row.start + list(row.ids[row.start :]) + [-100] * (longest - len(row.ids))
    assert longest - batch["keep"] == min(row.start for row in rows[:7]) - 1


def test_cut_chats_are_counted(tokenizer: Any) -> None:
    # <user> a b <end> <bot> | c d e <end>
    given = [chat("w1 w2", "w3 w4 w5"), chat("w1", "w2"), chat("w1 w2 w3 w4 w5 w6", "w7")]
    rows, report = prepare(tokenizer, given, 6)
    assert (report.chats, report.used, report.truncated, report.cut_to_nothing) == (3, 2, 1, 1)
    assert [len(row.ids) for row in rows] == [6, 6]
    assert tokenizer.decode(rows[0].ids[rows[0].start :]) == "w3"


def test_refused_chats_are_named(tokenizer: Any) -> None:
    wrong = Chat((Message("user", "w1"),), "bad.jsonl", 17)
    rows, report = prepare(tokenizer, [wrong, chat("w1", "w2")], 99)
    assert len(rows) == report.refused == 1
    assert report.first_refused.startswith("bad.jsonl:17: ")


def test_nothing_to_learn_is_an_error_with_its_reason(tokenizer: Any) -> None:
    for given, says in (
        ([], "no chats"),
        ([chat("w1 w2", "w3")], "within 3 tokens"),
        ([Chat((Message("user", "w1"),), "bad.jsonl", 17)], "bad.jsonl:17"),
    ):
        with pytest.raises(TrainingError, match=says):
            prepare(tokenizer, given, 3)


def test_hash_moves_with_data_and_boundaries(tokenizer: Any) -> None:
    def sha(*given: Chat, length: int = 99) -> str:
        return prepare(tokenizer, given, length)[1].sha256

    one, two = chat("w1", "w2 w3"), chat("w1 w2", "w3")
    assert sha(one, two) == sha(one, two)
    assert len({sha(one, two), sha(two, one), sha(one), sha(one, two, length=5)}) == 4


@pytest.mark.parametrize("shuffle", ["random", "length", "none"])
def test_order_shows_each_row_once_a_pass(tokenizer: Any, chats: list[Chat], shuffle: str) -> None:
    rows, _ = prepare(tokenizer, chats, 2048)
    config = override(PRESETS["rank1"], {"shuffle": shuffle, "epochs": 2.5, "batch_size": 7})
    numbers = order(rows, config)
    assert len(numbers) == 150
    assert sorted(numbers[:60]) == sorted(numbers[60:120]) == list(range(60))
    assert (numbers[:60] == numbers[60:120]) == (shuffle == "none")
    assert order(rows, config) == numbers
    assert (order(rows, override(config, {"seed": 1})) == numbers) == (shuffle == "none")
    steps = override(config, {"max_steps": 3, "accumulation": 4})
    assert len(order(rows, steps)) == 3 * 4 * 7
    assert max(Counter(order(rows, steps)).values()) == 2


def test_order_by_length_pads_less(tokenizer: Any, chats: list[Chat]) -> None:
    rows, _ = prepare(tokenizer, chats, 2048)

    def padded(shuffle: str) -> int:
        numbers = order(rows, override(PRESETS["rank1"], {"shuffle": shuffle, "batch_size": 6}))
        batches = [[len(rows[n].ids) for n in numbers[at : at + 6]] for at in range(0, 60, 6)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padded("length") < padded("random") / 3
