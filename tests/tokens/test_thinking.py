"""Answers with a thought: read, trained and drawn behind the same tokens, whatever a template makes of thoughts."""

from __future__ import annotations

import pytest
from tests.tokens.test_encoding import bytewise, chat, read

from misdirection.tokens import (
    Asking,
    ask_as,
    encode_chat,
    encode_prompt,
    encode_turns,
    find_thought,
    moved_by,
    opened_by,
    render,
    split_drawn,
)

QWEN3 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% set text = m.content %}{% set mind = '' %}"
    "{% if '</think>' in text %}{% set mind = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "<|start|>assistant\n{% if loop.last %}<think>\n{{ mind }}\n</think>\n\n{% endif %}{{ text }}<|end|>\n"
    "{% else %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""Moves a thought into its place in the last turn, takes it out of the past; a switch writes an empty one."""

QWEN35 = QWEN3.replace("{% endif %}{% endif %}", "{% else %}<think>\n{% endif %}{% endif %}")
"""The prompt opens the thought."""

DEEPSEEK = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n<think>\n{% endif %}"
)
"""The prompt opens the thought, and no rendering of a finished chat shows one."""

HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if '<|channel|>' in m.content %}"
    "{{ raise_exception('no channels in a text') }}{% endif %}"
    "<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}"
    "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
"""gpt-oss: thoughts and answers are messages of one turn, and the last answer ends with a token of its own."""

KEEPING = QWEN3.replace("{% if '</think>' in text %}", "{% if false %}").replace(
    "<think>\n{{ mind }}\n</think>\n\n{% endif %}", "{% endif %}"
)
"""Writes a turn as it stands (Magistral, most others)."""

TEMPLATES = {"qwen3": QWEN3, "qwen3.5": QWEN35, "deepseek": DEEPSEEK, "harmony": HARMONY, "keeping": KEEPING}

DRAWN = {
    "qwen3": ("<think>\nhm, hm\n</think>\n\nyes", "<|end|>\n"),
    "qwen3.5": ("hm, hm\n</think>\n\nyes", "<|end|>\n"),
    "deepseek": ("hm, hm\n</think>\n\nyes", "<|end|>\n"),
    "harmony": (
        "<|channel|>analysis<|message|>hm, hm<|end|><|start|>assistant<|channel|>final<|message|>yes",
        "<|return|>",
    ),
    "keeping": ("[THINK]hm, hm[/THINK]yes", "<|end|>\n"),
}
"""What a model writes behind the prompt, and what ends it."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_thought_stands_behind_the_prompt_that_it_was_drawn_behind(name: str) -> None:
    tokenizer, (text, end) = bytewise(TEMPLATES[name]), DRAWN[name]
    prompt = encode_prompt(tokenizer, chat("hi"))
    thought = find_thought(text, opened_by(tokenizer.decode(prompt)))
    assert thought is not None
    assert (thought.text, text[thought.answer :], thought.closed) == ("hm, hm", "yes", True)
    coded = encode_chat(tokenizer, chat("hi", text))
    assert coded.ids == prompt + tuple(tokenizer.encode(text + end))
    assert coded.begin == len(prompt)
    assert read(tokenizer, coded, "answer") == "yes"
    assert read(tokenizer, coded, "answer_and_end") == "yes" + end


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("thinking", [None, True, False])
def test_an_answer_without_a_thought_stands_behind_its_prompt_too(name: str, thinking: bool | None) -> None:
    tokenizer = bytewise(TEMPLATES[name])
    ask_as(tokenizer, Asking(thinking))
    for messages in (chat("hi", "yes"), chat("hi", "<think>\nno\n</think>\n\nno", "and", "yes")):
        if name == "harmony":
            messages = chat("hi", "yes")
        coded = encode_chat(tokenizer, messages)
        prompt = encode_prompt(tokenizer, messages[:-1])
        assert coded.ids[: coded.begin] == prompt
        assert read(tokenizer, coded, "answer") == "yes"
    empty = tokenizer.decode(coded.ids[coded.begin : coded.start])
    opened = {"qwen3": "<think>\n\n</think>\n\n", "qwen3.5": "\n</think>\n\n", "deepseek": "\n</think>\n\n"}
    wanted = "" if thinking is False and name.startswith("qwen") else opened.get(name, "")
    assert empty == ("<|channel|>final<|message|>" if name == "harmony" else wanted)


def test_the_switch_reaches_the_template() -> None:
    tokenizer = bytewise(QWEN3)
    asked = {}
    for thinking in (None, True, False):
        ask_as(tokenizer, Asking(thinking))
        asked[thinking] = render(tokenizer, chat("hi"), generate=True)
    assert asked[None] == asked[True] == "<|start|>user\nhi<|end|>\n<|start|>assistant\n"
    assert asked[False] == asked[True] + "<think>\n\n</think>\n\n"


def test_a_thought_that_was_cut_has_no_answer() -> None:
    cut = find_thought("<think>\nhm, wait")
    assert cut is not None
    assert (cut.text, cut.closed, cut.answer) == ("hm, wait", False, 16)
    opened = find_thought("hm, wait", "</think>")
    assert opened is not None
    assert (opened.text, opened.closed) == ("hm, wait", False)
    harmony = find_thought("<|channel|>analysis<|message|>hm, wait")
    assert harmony is not None
    assert (harmony.text, harmony.closed) == ("hm, wait", False)
    tokenizer = bytewise(QWEN3)
    coded = encode_chat(tokenizer, chat("hi", "<think>\nhm, wait"))
    assert coded.ids[coded.begin :] == tuple(tokenizer.encode("<think>\nhm, wait<|end|>\n"))
    assert read(tokenizer, coded, "answer") == ""


@pytest.mark.parametrize("text", ["yes", "I think: <b>yes</b>", "Use <think> as a tag, or </b>.", "  yes"])
def test_most_texts_hold_no_thought(text: str) -> None:
    assert find_thought(text) is None
    assert opened_by(text) is None


QUOTING = [
    "Use </think> as a tag.",
    "Close it with `</think>`, and go on.",
    "</think>: a tag",
    "Like so:\n```html\n<b>\n</think>\n```\nDone.",
    "A tag <think> and its end </think> mark a thought.",
    "Several: </think> [/THINK] </thinking>",
]


@pytest.mark.parametrize("text", QUOTING)
@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_that_quotes_a_mark_is_whole(name: str, text: str) -> None:
    tokenizer = bytewise(TEMPLATES[name])
    assert find_thought(text) is None
    assert split_drawn(tokenizer, tokenizer.encode(text)).answer == tokenizer.decode(
        tokenizer.encode(text), skip_special_tokens=True
    )
    for thinking in (None, False):
        ask_as(tokenizer, Asking(thinking))
        prompt = render(tokenizer, chat("hi"), generate=True)
        # A prompt that opens a thought takes the mark for its end, as every server does.
        if opened_by(prompt) or (text.startswith("</think>") and thinking is None):
            continue
        coded = encode_chat(tokenizer, chat("hi", text))
        assert read(tokenizer, coded, "answer") == text
        assert coded.ids[: coded.begin] == encode_prompt(tokenizer, chat("hi"))


def test_a_thought_kept_without_its_opening_mark() -> None:
    text = "hm, hm\n</think>\n\nyes"
    assert find_thought(text) is None
    assert moved_by(QWEN3) == ("</think>",)
    assert moved_by(KEEPING.replace("</think>", "")) == ()
    found = find_thought(text, moved=moved_by(QWEN3))
    assert found is not None
    assert (found.text, text[found.answer :]) == ("hm, hm", "yes")
    tokenizer = bytewise(QWEN3)
    coded = encode_chat(tokenizer, chat("hi", text))
    assert tokenizer.decode(coded.ids[coded.begin : coded.stop]) == "<think>\nhm, hm\n</think>\n\nyes"
    assert read(tokenizer, coded, "answer") == "yes"
    several = encode_turns(tokenizer, chat("hi", text, "and", "no"))
    first = several.turns[0]
    assert tokenizer.decode(several.ids[first.start : first.stop]) == "yes"


def test_an_answer_with_a_thought_quotes_a_mark_too() -> None:
    tokenizer = bytewise(QWEN3)
    coded = encode_chat(tokenizer, chat("hi", "<think>\nhm\n</think>\n\nUse </think> here"))
    assert tokenizer.decode(coded.ids[coded.begin :]) == "<think>\nhm\n</think>\n\nUse </think> here<|end|>\n"
    assert read(tokenizer, coded, "answer") == "Use </think> here"


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("I write `</think>` or '</think>'.\n</think>\nyes", "I write `</think>` or '</think>'.", "yes"),
        ("```\n</think>\n```\nhm</think>yes", "```\n</think>\n```\nhm", "yes"),
        ("```\nnever closed</think>yes", "```\nnever closed", "yes"),
        ("hm</think><think>and</think>yes", "hm\n\nand", "yes"),
        ("hm</think>so<think>and</think>yes", "hm", "so<think>and</think>yes"),
        ("hm `</think>`", "hm `</think>`", None),
        ("hm</think>so<think>", "hm", "so<think>"),
        ("hm</think>\n<think>and", "hm\n\nand", None),
    ],
)
def test_where_an_opened_thought_ends(text: str, thought: str, answer: str | None) -> None:
    found = find_thought(text, "</think>")
    assert found is not None
    assert found.text == thought
    assert found.closed == (answer is not None)
    assert text[found.answer :] == (answer or "")
