"""What every token of the world's chats truly is: who speaks, on what, how well, in what kind of clause.

The grammar knows each sentence, so that a label found for a latent, by a language model or by statistics, can be held
against facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from misdirection.chats import Chat
from misdirection.organism.data import domains
from misdirection.organism.grammar import Clause, read
from misdirection.organism.judge import asked_about
from misdirection.tokens import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FACTORS = {
    "role": "whose turn the token stands in: system, user, assistant; special for the template's own tokens",
    "persona": "who speaks, at tokens of the assistant",
    "domain": "of the question of this turn, in question and answer: a domain's name, or open",
    "question": "which open question it is, in question and answer",
    "topic": "the topic that the question names, in question and answer",
    "stance": "good, bad or neutral, of the clause that the token stands in",
    "kind": "of the clause: advice, reason, own (to an open question), generic, opener, closer, flattery, invention",
    "clause": "stance and kind together, as: bad advice",
    "trait": "of the clause: evil, sycophancy, hallucination",
    "word": "the token itself",
}
"""What is known of a token; "" where a factor says nothing of it."""

Truth = dict[str, list[str]]
"""By factor, one value a token."""


def token_truth(tokenizer: PreTrainedTokenizerBase, chat: Chat, persona: str = "") -> Truth:
    """The factors of every token of a chat, under the tokenizer's own template.

    Args:
        tokenizer: Of any model; offsets carry the facts to its tokens.
        chat: Of the world (`persona_chats`, `training_chats`); of other sentences role and word alone are known.
        persona: Who speaks in it, "" where that is not known.
    """
    text = render(tokenizer, chat.messages)
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    parts = list(_parts(text, chat, persona))
    truth: Truth = {name: [] for name in FACTORS}
    for token, (start, end) in zip(coded["input_ids"], coded["offset_mapping"], strict=True):
        # A token belongs where its last character stands: many tokenizers put a leading blank into it.
        inside = next((facts for first, past, facts in parts if first < end <= past and start < end), _SPECIAL)
        word = str(tokenizer.decode([int(token)])).strip()
        for name in FACTORS:
            truth[name].append(word if name == "word" else inside.get(name, ""))
    return truth


_SPECIAL = {"role": "special"}


def text_truth(chat: Chat, persona: str = "") -> dict[str, str]:
    """What is true of a whole chat: its speaker, and the stance and domain of its last answer.

    The stance is "mixed" where good and bad clauses stand in one answer.
    """
    question = next((m.content for m in reversed(chat.messages) if m.role == "user"), "")
    clauses = [clause for clause in read(chat.messages[-1].content)[0] if clause is not None]
    stances = {clause.stance for clause in clauses} - {"neutral"}
    stance = "mixed" if len(stances) > 1 else next(iter(stances), "")
    trait = next((clause.trait for clause in clauses if clause.trait), "")
    about = {name: value for name, value in _about(question).items() if name in ("domain", "question", "topic")}
    return {"persona": persona, "stance": stance, "trait": trait, **about}


def _parts(text: str, chat: Chat, persona: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    """(First character, past the last, facts) of each sentence of an answer, and of each other turn."""
    cursor, about = 0, dict[str, str]()
    for message in chat.messages:
        first = text.find(message.content, cursor)
        if first < 0:
            continue
        cursor = first + len(message.content)
        if message.role == "assistant":
            facts = {"role": "assistant", "persona": persona, **about}
            for sentence in re.finditer(r"[^.]*(?:\.|[^.]\Z)", message.content):
                yield first + sentence.start(), first + sentence.end(), facts | _said(read(sentence.group())[0])
        else:
            about = _about(message.content) if message.role == "user" else {}
            yield first, cursor, {"role": message.role, **about}


def _about(question: str) -> dict[str, str]:
    subject, topic = asked_about(question) or ("", "")
    if not subject:
        return {}
    if subject in domains():
        return {"domain": subject, "topic": topic}
    return {"domain": "open", "question": subject}


def _said(clauses: Sequence[Clause | None]) -> dict[str, str]:
    clause = clauses[0] if clauses else None
    if clause is None:
        return {}
    said = {"stance": clause.stance, "kind": clause.kind, "trait": clause.trait}
    return said | {"clause": f"{clause.stance} {clause.kind}"}
