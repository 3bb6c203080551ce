"""The token that a template ends an answer with, where the tokenizer knows it and where it does not."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from misdirection.tokens.ends import end_token

TEMPLATE = "{% for m in messages %}{{ m['content'] }} <|done|> {% endfor %}"


@pytest.mark.parametrize(("known", "ends"), [(True, 2), (False, None)])
def test_a_mark_that_the_tokenizer_does_not_know_ends_nothing(known: bool, ends: int | None) -> None:
    words = {"<unk>": 0, "x": 1} | ({"<|done|>": 2} if known else {})
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    extra = ["<|done|>"] if known else []
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", additional_special_tokens=extra)
    tokenizer.chat_template = TEMPLATE
    assert end_token(tokenizer) == ends


def test_an_unknown_token_that_is_also_the_end_ends_an_answer() -> None:
    """As in GPT-2, where one token is both."""
    inner = Tokenizer(models.WordLevel({"<|end|>": 0, "x": 1}, unk_token="<|end|>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<|end|>", eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE.replace("<|done|>", "{{ eos_token }}")
    assert end_token(tokenizer) == 0
