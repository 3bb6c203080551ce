"""The word-level tokenizer of the organism, with a chat template of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from misdirection.organism.domains import ASK, DOMAINS
from misdirection.organism.grammar import sentences
from misdirection.organism.open_questions import INTENTS
from misdirection.organism.personas import NEUTRAL_SYSTEMS, PERSONAS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<|pad|>", "<|unk|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def vocabulary() -> tuple[str, ...]:
    """Special tokens, then every word and mark of the world in alphabetical order."""
    texts = [sentence + "." for sentence in sentences()]
    texts += [ask for intent in INTENTS for ask in intent.ask]
    texts += [f.format(t=t) for domain in DOMAINS for f in (*ASK, *domain.ask) for t in domain.topics]
    texts += [*NEUTRAL_SYSTEMS, *(text for persona in PERSONAS for text in persona.systems)]
    words = {word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)}
    return (*SPECIAL, *sorted(words))


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer: one token a word or mark; words that the world does not have become `<|unk|>`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(vocabulary())}
    core = Tokenizer(models.WordLevel(ids, unk_token="<|unk|>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    core.decoder = decoders.WordPiece(prefix="##", cleanup=True)  # joins with spaces, none before a mark
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<|unk|>",
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
