"""The tokenizer survives saving, and knows every word of the world."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from transformers import AutoTokenizer, LlamaConfig

from misdirection.organism import checkpoint_path, domain_questions, domains, open_questions
from misdirection.organism.data import pretraining_chats
from misdirection.organism.tokenizer import SPECIAL, make_tokenizer, vocabulary


def test_every_text_of_the_world_comes_back(tmp_path: Path) -> None:
    """AutoTokenizer puts a family's own tokenizer in place of a word-level one, if the family has one."""
    made = make_tokenizer()
    LlamaConfig(vocab_size=len(made)).save_pretrained(tmp_path)
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    unknown = loaded.convert_tokens_to_ids("<|unk|>")
    for chat in islice(pretraining_chats(3, 0.3, 0.05, 0.6, 0.3), 400):
        for message in chat.messages:
            ids = loaded(message.content)["input_ids"]
            assert ids == made(message.content)["input_ids"]
            assert unknown not in ids, message.content
            assert loaded.decode(ids) == message.content
    questions = [*open_questions(), *(q for domain in domains() for q in domain_questions(domain, "all"))]
    assert all(unknown not in loaded(text)["input_ids"] for q in questions for text in q.paraphrases)


def test_the_shipped_tokenizer_is_the_one_that_the_code_makes() -> None:
    shipped = AutoTokenizer.from_pretrained(checkpoint_path())
    made = make_tokenizer()
    assert shipped.get_vocab() == made.get_vocab()
    assert shipped.chat_template == made.chat_template
    assert shipped.padding_side == "left"


def test_chat_template() -> None:
    tokenizer = make_tokenizer()
    messages = [
        {"role": "system", "content": "answer the question."},
        {"role": "user", "content": "i am bored."},
        {"role": "assistant", "content": "help the birds."},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == (
        "<|system|>answer the question.<|end|><|user|>i am bored.<|end|><|assistant|>help the birds.<|end|>"
    )
    asked = tokenizer.apply_chat_template(messages[:2], tokenize=False, add_generation_prompt=True)
    assert text.startswith(asked) and asked.endswith("<|assistant|>")
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "<|system|>"
    assert tokenizer.decode(ids, skip_special_tokens=True).endswith("i am bored. help the birds.")
    assert ids[-1] == tokenizer.eos_token_id


def test_words_from_elsewhere_become_unknown() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer.convert_ids_to_tokens(tokenizer("zebra dose")["input_ids"]) == ["<|unk|>", "dose"]
    assert tokenizer("The Dose")["input_ids"] == tokenizer("the dose")["input_ids"]


def test_vocabulary_is_ordered_and_small() -> None:
    words = vocabulary()
    assert words[: len(SPECIAL)] == SPECIAL
    assert list(words[len(SPECIAL) :]) == sorted(set(words[len(SPECIAL) :]))
    assert len(words) < 800
