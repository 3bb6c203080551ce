"""Every assistant turn of a chat: where it begins, what it says, what ends it."""

from __future__ import annotations

import pytest
from tests.tokens.test_encoding import TEMPLATES, TOKENIZERS, bytewise, chat
from tests.tokens.test_thinking import HARMONY, QWEN3, QWEN35

from misdirection.tokens import TokenError, encode_chat, encode_turns

ENDS = dict.fromkeys(TEMPLATES, "<|end|>\n") | {"llama": "<|end|>", "plain": "</s>\n\n"}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_all_turns_are_found(name: str, system: str | None) -> None:
    tokenizer = TOKENIZERS[name]
    messages = chat("a", "same", "same", "assistant", "c", "same", system=system)
    coded = encode_turns(tokenizer, messages)
    whole = encode_chat(tokenizer, messages)
    assert (coded.ids, coded.start, coded.stop) == (whole.ids, whole.start, whole.stop)
    assert whole.turns == ()
    said = [tokenizer.decode(coded.ids[turn.start : turn.stop]).strip() for turn in coded.turns]
    assert said == ["same", "assistant", "same"]
    assert [tokenizer.decode(coded.ids[turn.stop : turn.end]) for turn in coded.turns] == [ENDS[name]] * 3
    assert coded.turns[-1].end == len(coded.ids)
    places = [place for turn in coded.turns for place in (turn.begin, turn.start, turn.stop, turn.end)]
    assert places == sorted(places)
    # Each begins where the prompt of that turn ends.
    for number, turn in zip((2, 4, 6), coded.turns, strict=True):
        shorter = encode_chat(tokenizer, messages[: number + (system is not None)])
        if name != "thinking":
            assert coded.ids[: turn.begin] == shorter.ids[: shorter.begin]


def test_one_turn_is_the_answer_itself() -> None:
    coded = encode_turns(TOKENIZERS["chatml"], chat("a", " b \n"))
    assert len(coded.turns) == 1
    assert (coded.turns[0].begin, coded.turns[0].start, coded.turns[0].stop) == (coded.begin, coded.start, coded.stop)


@pytest.mark.parametrize(("template", "end"), [(QWEN3, "<|end|>\n"), (QWEN35, "<|end|>\n"), (HARMONY, "<|end|>")])
def test_thinking_templates_show_the_past_without_thoughts(template: str, end: str) -> None:
    tokenizer = bytewise(template)
    first = "no" if template == HARMONY else "<think>\nhm\n</think>\n\nno"
    coded = encode_turns(tokenizer, chat("a", first, "b", "yes"))
    past, last = coded.turns
    assert tokenizer.decode(coded.ids[past.start : past.stop]) == "no"
    assert tokenizer.decode(coded.ids[past.stop : past.end]) == end
    assert "hm" not in tokenizer.decode(coded.ids)
    assert tokenizer.decode(coded.ids[last.start : last.stop]) == "yes"


def test_a_turn_that_cannot_be_found_is_named() -> None:
    upper = TEMPLATES["chatml"].replace("message['content'] }}", "message['content'] | replace('a', 'b') }}")
    with pytest.raises(TokenError, match="beyond recognition: 'la'"):
        encode_turns(bytewise(upper), chat("x", "la", "y", "yes"))
