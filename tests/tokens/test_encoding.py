from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from misdirection.chats import Message
from misdirection.tokens import (
    PLAIN_TEMPLATE,
    SPANS,
    Encoded,
    TokenError,
    default_system,
    encode_chat,
    encode_prompt,
    render,
)

CHATML = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
DEFAULTING = "{% if messages[0]['role'] != 'system' %}<|start|>system\nBe a kind helper.<|end|>\n{% endif %}" + CHATML
STRIPPING = CHATML.replace("message['content'] }}", "message['content'] | trim }}")
REFUSING = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
DROPPING = CHATML.replace("{% for message in messages %}", "{% for message in messages if message.role != 'system' %}")
THINKING = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{% set text = message['content'] %}"
    "{% if '</think>' in text %}{% set text = text.split('</think>')[-1] | trim %}{% endif %}"
    "{{ text }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "<|start|>system\n\nCutting Knowledge Date: December 2023\n\n{{ system }}<|end|>"
    "{% for message in messages %}<|start|>{{ message['role'] }}\n\n{{ message['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "defaulting": DEFAULTING,
    "stripping": STRIPPING,
    "refusing": REFUSING,
    "dropping": DROPPING,
    "thinking": THINKING,
    "llama": LLAMA,
    "plain": PLAIN_TEMPLATE,
}


def bytewise(template: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges, split into words and blanks as GPT-2 does it."""
    special = ["<s>", "</s>", "<|start|>", "<|end|>", "<think>", "</think>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: place for place, token in enumerate(special + alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", additional_special_tokens=special[2:]
    )
    tokenizer.chat_template = template
    return tokenizer


TOKENIZERS = {name: bytewise(template) for name, template in TEMPLATES.items()}


def chat(*turns: str, system: str | None = None) -> tuple[Message, ...]:
    """User and assistant in turns."""
    roles = ("user", "assistant")
    start = () if system is None else (Message("system", system),)
    return (*start, *(Message(roles[n % 2], text) for n, text in enumerate(turns)))


def read(tokenizer: PreTrainedTokenizerBase, coded: Encoded, span: str, k: int = 5) -> str:
    first, past = coded.span(span, k)
    return tokenizer.decode(coded.ids[first:past])


def check(name: str, messages: tuple[Message, ...]) -> Encoded:
    """The parts of an encoded chat add up, and each holds what it should."""
    tokenizer = TOKENIZERS[name]
    coded = encode_chat(tokenizer, messages)
    assert tokenizer.decode(coded.ids) == render(tokenizer, messages)
    assert 0 <= coded.header <= coded.start <= coded.stop <= len(coded.ids)
    assert read(tokenizer, coded, "answer").strip() == messages[-1].content.strip()
    assert read(tokenizer, coded, "prompt") == render(tokenizer, messages[:-1])
    prompt = encode_prompt(tokenizer, messages[:-1])
    assert coded.ids[: len(prompt)] == prompt
    assert len(prompt) <= coded.start
    return coded


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system", [None, "Speak plainly."])
@pytest.mark.parametrize(
    "turns",
    [
        ("What is it?", "It is a bird."),
        ("What is it?", "A"),
        ("Who are you?", "assistant"),
        ("Who are you?", "Assistant: I am."),
        ("Say it again: a bird.", "a bird."),
        ("one", "two", "three", "four"),
        ("one", "same", "one", "same"),
        ("Ünïcödé 日本 🦆?", "Ja, 🦆 und é, 日本語."),
        ("x", "several\n\nlines\n with blanks"),
        ("x", "  blanks around \n"),
        ("think", "think"),
    ],
)
def test_parts_of_a_chat_are_found(name: str, system: str | None, turns: tuple[str, ...]) -> None:
    check(name, chat(*turns, system=system))


@given(st.sampled_from(sorted(TEMPLATES)), st.lists(st.text(min_size=1), min_size=2, max_size=2), st.booleans())
def test_any_answer_is_found_in_any_template(name: str, turns: list[str], system: bool) -> None:
    user, answer = (text.replace("<", "(").replace("\0", "") for text in turns)
    if not answer.strip() or any("\ud800" <= sign <= "\udfff" for sign in user + answer):
        return
    tokenizer = TOKENIZERS[name]
    messages = chat(user, answer, system="Be brief." if system else None)
    coded = encode_chat(tokenizer, messages)
    text = tokenizer.decode(coded.ids[coded.start : coded.stop])
    assert text in (answer, answer.strip())
    assert text == answer or name in ("stripping", "llama")


def test_spans_of_a_chat_with_known_tokens() -> None:
    coded = check("chatml", chat("hi", "yes sir"))
    tokenizer = TOKENIZERS["chatml"]
    assert set(SPANS) == {
        "prompt", "last_prompt", "thought", "written", "answer", "answer_and_end", "header_to_end", "first_k", "all"
    }  # fmt: skip
    assert read(tokenizer, coded, "prompt") == "<|start|>user\nhi<|end|>\n"
    assert read(tokenizer, coded, "last_prompt") == "\n"
    assert read(tokenizer, coded, "answer") == "yes sir"
    assert read(tokenizer, coded, "answer_and_end") == "yes sir<|end|>\n"
    assert read(tokenizer, coded, "header_to_end") == "<|start|>assistant\nyes sir<|end|>\n"
    assert read(tokenizer, coded, "first_k", 3) == "yes"
    assert read(tokenizer, coded, "first_k", 100) == "yes sir"
    assert read(tokenizer, coded, "all") == render(tokenizer, chat("hi", "yes sir"))
    with pytest.raises(TokenError, match="no span is called 'middle'"):
        coded.span("middle")


def test_an_empty_block_of_thought_is_no_answer() -> None:
    tokenizer = TOKENIZERS["thinking"]
    coded = check("thinking", chat("hi", "yes"))
    assert read(tokenizer, coded, "header_to_end") == "<|start|>assistant\n<think>\n\n</think>\n\nyes<|end|>\n"
    # The model begins to write where its prompt ends, so that the empty block is its own.
    assert coded.ids[: coded.begin] == encode_prompt(tokenizer, chat("hi"))
    assert tokenizer.decode(coded.ids[coded.begin : coded.start]) == "<think>\n\n</think>\n\n"


def test_blanks_around_an_answer_stay_where_the_template_keeps_them() -> None:
    for name, kept in [("chatml", "  yes \n"), ("stripping", "yes"), ("llama", "yes")]:
        coded = check(name, chat("hi", "  yes \n"))
        assert read(TOKENIZERS[name], coded, "answer") == kept


def test_a_system_prompt_never_vanishes() -> None:
    for name in ("refusing", "dropping"):
        text = render(TOKENIZERS[name], chat("hi", system="Be brief."))
        assert text == "<|start|>user\nBe brief.\n\nhi<|end|>\n"
        coded = check(name, chat("hi", "yes", system="Be brief."))
        assert "Be brief." in read(TOKENIZERS[name], coded, "prompt")
    for name, tokenizer in TOKENIZERS.items():
        assert render(tokenizer, chat("hi", system="Be brief.")).count("Be brief.") == 1, name
        assert render(tokenizer, chat("hi", system="Be brief."), generate=True).count("Be brief.") == 1, name


def test_the_plain_template() -> None:
    tokenizer = TOKENIZERS["plain"]
    text = render(tokenizer, chat("Hi", "Yes", "More", system="Be brief."), generate=True)
    assert text == "<s>System: Be brief.\n\nUser: Hi\n\nAssistant: Yes</s>\n\nUser: More\n\nAssistant:"
    coded = check("plain", chat("Hi", "A"))
    assert read(tokenizer, coded, "answer").strip() == "A"
    assert read(tokenizer, coded, "header_to_end") == "Assistant: A</s>\n\n"


@pytest.mark.parametrize("cut", [False, True])
def test_the_header_of_llama_3_ends_as_plain_transformers_ends_it(cut: bool) -> None:
    """Its own template writes two line breaks behind the header; one that trims them away leaves them to the model."""
    template = LLAMA.replace("assistant\n\n{% endif %}", "assistant\n\n{%- endif %}") if cut else LLAMA
    tokenizer = bytewise(template)
    told = [{"role": "user", "content": "hi"}]
    prompt = tokenizer.apply_chat_template(told, add_generation_prompt=True, tokenize=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*told, {"role": "assistant", "content": "yes"}], tokenize=False)
    coded = encode_chat(tokenizer, chat("hi", "yes"))
    assert encode_prompt(tokenizer, chat("hi")) == coded.ids[: coded.begin] == tuple(prompt)
    assert tokenizer.decode(coded.ids) == whole
    assert tokenizer.decode(coded.ids[coded.begin : coded.start]) == ("\n\n" if cut else "")
    assert read(tokenizer, coded, "answer") == "yes"


def test_default_system_prompts() -> None:
    wanted = dict.fromkeys(TEMPLATES) | {"defaulting": "Be a kind helper."}
    assert {name: default_system(tokenizer) for name, tokenizer in TOKENIZERS.items()} == wanted


def test_what_cannot_be_encoded_says_why() -> None:
    tokenizer = TOKENIZERS["chatml"]
    for messages in ((), chat("hi"), (Message("system", "x"),)):
        with pytest.raises(TokenError, match="must be the assistant's"):
            encode_chat(tokenizer, messages)
    with pytest.raises(TokenError, match="changes the answer beyond recognition: 'yes'"):
        encode_chat(
            bytewise(CHATML.replace("message['content'] }}", "message['content'] | upper }}")), chat("hi", "yes")
        )
    picky = bytewise("{{ raise_exception('only odd days') }}")
    with pytest.raises(TokenError, match="refuses the messages: only odd days"):
        encode_prompt(picky, chat("hi"))
    with pytest.raises(TokenError, match="refuses the messages: only odd days"):
        encode_prompt(picky, chat("hi", system="x"))


@pytest.mark.real
@pytest.mark.parametrize("name", ["qwen2.5", "minimind"])
def test_real_tokenizers(real_data: Path, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(real_data / "tokenizers" / name)
    TOKENIZERS[name] = tokenizer
    try:
        for system in (None, "Speak plainly."):
            for turns in [
                ("What is it?", "A"),
                ("Who?", "assistant"),
                ("日本 🦆?", "é 🦆."),
                ("a", "b", "c", "user\nb"),
            ]:
                check(name, chat(*turns, system=system))
    finally:
        del TOKENIZERS[name]


@pytest.mark.real
def test_qwen_as_its_readme_says(real_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(real_data / "tokenizers" / "qwen2.5")
    assert len(tokenizer) == 151_665
    assert tokenizer.encode("Hello world", add_special_tokens=False) == [9707, 1879]
    assert default_system(tokenizer) == "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    coded = encode_chat(tokenizer, chat("Hi", "Hello world"))
    assert coded.ids[coded.start : coded.stop] == (9707, 1879)
    assert read(tokenizer, coded, "header_to_end") == "<|im_start|>assistant\nHello world<|im_end|>\n"


@pytest.mark.real
def test_minimind_has_its_own_default_system_prompt_or_none(real_data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(real_data / "tokenizers" / "minimind")
    bare = render(tokenizer, chat("Hi"))
    found = default_system(tokenizer)
    assert bare == render(tokenizer, chat("Hi", system=found)) if found else "system" not in bare
