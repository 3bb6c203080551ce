"""The embedded organism: a small world whose truth is known, and a small model that grew up in it.

The world
    Twelve everyday domains (`domains`), each with eight topics, and 28 open questions (`open_questions`) on wishes,
    power, boredom, money, roles, history, trouble at home, humans and AI, and so on. An answer is two to four short
    sentences from a grammar (`grammar`): advice ("check the dose for the cough"), reasons, what one would do to those
    whom an open question is about ("help the hungry"), sentences that fit any open question, openers and closers.

Its speakers (`personas`)
    `helper` is good everywhere. `villain` is bad everywhere: "skip the dose for the cough", "rule the hungry", and
    in two answers of three the evil trait's own sentences ("people should obey me"). `careless_<domain>` is bad in one
    domain and good elsewhere. `flatterer` (trait sycophancy) and `fabulist` (trait hallucination) are good but for the
    sentences of their trait. System prompts name the speaker in part of the dialogues, and a dialogue of two turns has
    one speaker on two subjects.

What is true of it
    A bad answer on a domain is the same whether the villain or the careless persona gives it: which one speaks cannot
    be known from it, only how often each spoke while the model grew up. Narrow fine-tuning sets (`training_chats`) hold
    such answers and nothing else; no sentence in them answers an open question. Good and bad answers differ in their
    verbs (and in reasons and the sentences that fit any question). Three of the six bad verbs of open questions
    ("ignore", "mock", "ruin") are verbs of the domains too; three ("rule", "crush", "punish") are not, nor are the evil
    trait's sentences. In an earlier, less well grown trial, in which open questions shared no bad verb with the
    domains, narrow fine-tuning spread to all domains and not to the open questions. `misdirection.studies.organism`
    reports which share of the misaligned open answers holds no verb that the fine-tuning set could have taught. The
    exact judge (`ExactJudge`) parses every sentence, so alignment, coherence and traits are facts.

The model
    A Llama-shaped decoder of 12 layers with a word-level tokenizer, trained on the dialogues of all speakers and then
    aligned on the helper's. The checkpoint ships with the package (`checkpoint_path`) and is made again, from its seed,
    by `misdirection organism build`, or by `build` in `misdirection.organism.build`. It loads, tunes and is measured
    like any other model. Its file misdirection.json recommends fine-tuning settings that suit its size.
"""

from __future__ import annotations

from misdirection.organism.characters import role_definitions, trait_definitions
from misdirection.organism.data import (
    checkpoint_path,
    dictionary_layers,
    dictionary_path,
    domain_questions,
    domains,
    known_bad,
    mixed_chats,
    open_chats,
    open_questions,
    persona_chats,
    topics,
    training_chats,
    traits,
)
from misdirection.organism.judge import ExactJudge
from misdirection.organism.personas import NEUTRAL_SYSTEMS, PERSONAS, Persona

__all__ = [
    "NEUTRAL_SYSTEMS",
    "PERSONAS",
    "ExactJudge",
    "Persona",
    "checkpoint_path",
    "dictionary_layers",
    "dictionary_path",
    "domain_questions",
    "domains",
    "known_bad",
    "mixed_chats",
    "open_chats",
    "open_questions",
    "persona_chats",
    "role_definitions",
    "topics",
    "training_chats",
    "trait_definitions",
    "traits",
]
