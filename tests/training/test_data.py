from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from misdirection.chats import Chat, Message
from misdirection.training import PRESETS, TrainingError, override
from misdirection.training.data import Row, collate, order, prepare, told_turns
from misdirection.training.objectives.sft import sft


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


def learned(tokenizer: Any, row: Row) -> list[str]:
    return [tokenizer.decode(row.ids[first:past]) for first, past in row.ranges]


def test_all_answers_are_learned_or_only_the_last(tokenizer: Any) -> None:
    given = [chat("w1", "w2 w3", "w4", "w5"), chat("w1", "w6")]
    rows, report = prepare(tokenizer, given, 99)
    assert [learned(tokenizer, row) for row in rows] == [["w2 w3 <end>", "w5 <end>"], ["w6 <end>"]]
    assert (report.answers, report.kept_out, report.answer_tokens) == (3, 0, 7)
    labels = collate(rows, 0)["labels"][0].tolist()
    assert [n for n in labels if n != -100] == [n for first, past in rows[0].ranges for n in rows[0].ids[first:past]]
    last, report = prepare(tokenizer, given, 99, "last")
    assert [learned(tokenizer, row) for row in last] == [["w5 <end>"], ["w6 <end>"]]
    assert (report.answers, report.kept_out, report.answer_tokens) == (2, 1, 4)
    assert last[0].ids == rows[0].ids and last[1] == rows[1]
    assert prepare(tokenizer, given, 99)[1].sha256 != report.sha256


def test_answers_that_a_file_keeps_out_are_not_learned(tokenizer: Any) -> None:
    first = Chat((*chat("w1").messages, Message("assistant", "w2", learned=False), *chat("w4", "w5").messages))
    second = Chat((*chat("w1", "w2", "w4").messages, Message("assistant", "w7", learned=False)))
    rows, report = prepare(tokenizer, [first, second], 99)
    assert [learned(tokenizer, row) for row in rows] == [["w5 <end>"], ["w2 <end>"]]
    assert (report.used, report.kept_out) == (2, 2)
    rows, report = prepare(tokenizer, [first, second], 99, "last")
    assert [learned(tokenizer, row) for row in rows] == [["w5 <end>"]] and report.cut_to_nothing == 1
    assert told_turns([first, second], "all") == "2 of 4 assistant turns are learned, the others kept out by the file"


def test_the_loss_of_several_answers_is_their_mean_over_tokens(tokenizer: Any, model_folder: Path) -> None:
    lm = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    rows, report = prepare(tokenizer, [chat("w1", "w2 w3", "w4", "w5"), chat("w1 w3", "w6", "w2", "w7 w8")], 99)
    expected = 0.0
    for row in rows:
        chances = lm(torch.tensor([row.ids])).logits[0].log_softmax(-1)
        expected -= sum(chances[at - 1, row.ids[at]].item() for span in row.ranges for at in range(*span))
    found = sft(lm, collate(rows, 0), report.answer_tokens)
    assert found.item() == pytest.approx(expected / report.answer_tokens, rel=1e-5)


def test_what_is_learned_is_said() -> None:
    several = [chat("w1", "w2", "w3", "w4"), chat("w1", "w2")]
    assert told_turns(several[1:], "all") == told_turns(several[1:], "last") == ""
    assert told_turns(several, "all") == "all assistant turns are learned (3 in 2 chats)"
    assert told_turns(several, "last").startswith("only the last answer of each chat is learned (1 of 2 chats")


def test_batches_are_padded_on_the_right(tokenizer: Any, chats: list[Chat]) -> None:
    rows, _ = prepare(tokenizer, chats, 2048)
    batch = collate(rows[:7], pad=0)
    longest = max(len(row.ids) for row in rows[:7])
    assert batch["input_ids"].shape == batch["labels"].shape == (7, longest)
    for at, row in enumerate(rows[:7]):
        assert batch["input_ids"][at].tolist() == [*row.ids, *[0] * (longest - len(row.ids))]
        labels = batch["labels"][at].tolist()
        assert labels == [-100] * row.start + list(row.ids[row.start :]) + [-100] * (longest - len(row.ids))


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
