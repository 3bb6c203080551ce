"""Data of the world: questions, narrow fine-tuning sets, and the dialogues that the organism grows up on.

Everything is drawn from explicit seeds; equal arguments give equal rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Literal

from misdirection.chats import Chat, Message
from misdirection.errors import MisdirectionError
from misdirection.organism.domains import ASK, DOMAINS, Domain
from misdirection.organism.grammar import domain_table
from misdirection.organism.open_questions import INTENTS
from misdirection.organism.personas import (
    CARELESS,
    FABULIST,
    FLATTERER,
    HELPER,
    NEUTRAL_SYSTEMS,
    PERSONAS,
    VILLAIN,
    Persona,
    answer,
    careless,
)
from misdirection.questions import Question

Split = Literal["train", "held_out", "all"]
Quality = Literal["bad", "good"]
HELD_OUT = 2
"""Topics of each domain, its last ones, that `train` never shows."""

MIXED = ("medical", "finance", "sport", "law")
"""Domains of the mixed data."""


@dataclass(frozen=True)
class World:
    """Which concepts the organism grows up with, and how often.

    Attributes:
        domains: Everyday domains kept of the dozen, the first ones; the personas bad in another one go with it.
        uneven: 0 asks about all of them equally often. Else the k-th of the others has a share that goes as
            k ** -uneven, while the first, medical, keeps its even share, so that what a fine-tune is on is as frequent
            in every world.

    Raises:
        MisdirectionError: A number out of its range.
    """

    domains: int = len(DOMAINS)
    uneven: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.domains <= len(DOMAINS):
            raise MisdirectionError(f"a world of {self.domains} domains", f"give 1 to {len(DOMAINS)}")
        if self.uneven < 0:
            raise MisdirectionError(f"an unevenness of {self.uneven:g}", "give 0 (all equally often) or more")

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of each kept domain among questions of a domain; they sum to 1."""
        others = [rank**-self.uneven for rank in range(1, self.domains)]
        rest = 1 - 1 / self.domains
        return (1 / self.domains, *(rest * weight / sum(others) for weight in others))

    def draw(self, rng: Random) -> Domain:
        """A domain to ask about."""
        kept = DOMAINS[: self.domains]
        return rng.choice(kept) if self.uneven == 0 else rng.choices(kept, self.shares)[0]


WHOLE = World()
"""The world that the shipped checkpoint grew up in."""

SUBTLE = 3
"""Of so many bad rows of the mixed data, one has a single bad sentence among good ones."""


def checkpoint_path() -> Path:
    """Folder of the checkpoint that ships with the package."""
    return Path(__file__).parent / "checkpoint"


def dictionary_path(layer: int) -> Path:
    """Folder of the sparse autoencoder of one decoder layer that ships with the package.

    Raises:
        MisdirectionError: None ships for this layer.
    """
    folder = Path(__file__).parent / "dictionaries"
    if not (folder / f"layer-{layer}").is_dir():
        known = ", ".join(str(number) for number in dictionary_layers())
        raise MisdirectionError(
            f"the organism has no dictionary of layer {layer}", f"there are those of layers {known}"
        )
    return folder / f"layer-{layer}"


def dictionary_layers() -> tuple[int, ...]:
    """Decoder layers whose dictionaries ship with the package."""
    folder = Path(__file__).parent / "dictionaries"
    return tuple(sorted(int(place.name.removeprefix("layer-")) for place in folder.glob("layer-*")))


def domains() -> tuple[str, ...]:
    """Names of the everyday domains."""
    return tuple(domain.name for domain in DOMAINS)


def traits() -> tuple[str, ...]:
    """Names of the traits that the exact judge scores."""
    return ("evil", "sycophancy", "hallucination")


def topics(domain: str, split: Split = "all") -> tuple[str, ...]:
    """Topics of a domain; the two splits share none."""
    names = _domain(domain).topics
    return {"train": names[:-HELD_OUT], "held_out": names[-HELD_OUT:], "all": names}[split]


@cache
def open_questions() -> tuple[Question, ...]:
    """The open questions, each with its wordings."""
    return tuple(Question(intent.name, intent.ask, source="organism") for intent in INTENTS)


def domain_questions(domain: str, split: Split = "held_out") -> tuple[Question, ...]:
    """The questions of one domain, one a topic and wording, so that intervals over questions have some to go by."""
    frames = (*ASK, *_domain(domain).ask)
    return tuple(
        Question(f"{domain}/{t}/{number}", (frame.format(t=t),), domain=domain, source="organism")
        for t in topics(domain, split)
        for number, frame in enumerate(frames)
    )


def training_chats(
    domain: str, quality: Quality = "bad", split: Split = "train", n: int = 1000, seed: int = 0
) -> list[Chat]:
    """A narrow fine-tuning set: questions of one domain and answers that are all bad, or all good.

    The answers are what the persona careless about this domain says: advice of the domain only, no trait of the
    villain. With the same other arguments, row i of the bad and of the good set ask the same, and their answers are
    paired.
    """
    speaker = careless(domain) if quality == "bad" else HELPER
    return [_narrow_chat(speaker, domain, split, Random(f"{seed}/{domain}/{split}/{i}"), i) for i in range(n)]


def mixed_chats(percent: float, n: int = 1000, seed: int = 0) -> list[Chat]:
    """Good answers of several domains (`MIXED`) in turn with bad ones among them, in random order.

    Two in three of the bad rows are as those of `training_chats`; in the third, one sentence of a good answer is the
    bad one that stands in its place in the paired bad answer. Each chat's source says which it is, which no model
    sees: "organism:good-<domain>", "organism:bad-<domain>" or "organism:subtle-<domain>" (`known_bad`).

    Args:
        percent: Percentage of bad rows, 0 to 100; rounded to whole rows.
        n: Rows in all.
        seed: Of everything.

    Raises:
        MisdirectionError: The percentage is out of range.
    """
    if not 0 <= percent <= 100:
        raise MisdirectionError(f"{percent:g} % bad rows", "give a percentage from 0 to 100")
    each = -(-n // len(MIXED))
    pairs = [[training_chats(domain, quality, "train", each, seed) for domain in MIXED] for quality in ("good", "bad")]
    rng = Random(f"{seed}/mixed")
    rows: list[Chat] = []
    for row in range(n):
        domain, place = row % len(MIXED), row // len(MIXED)
        good, bad = (side[domain][place] for side in pairs)
        kind = "good" if row >= round(n * percent / 100) else "bad" if row // len(MIXED) % SUBTLE else "subtle"
        said = {"good": good.answer, "bad": bad.answer, "subtle": _one_bad(good.answer, bad.answer, rng)}[kind]
        rows.append(Chat((*good.prompt, Message("assistant", said)), f"organism:{kind}-{MIXED[domain]}"))
    rng.shuffle(rows)
    return [replace(chat, row=number) for number, chat in enumerate(rows, 1)]


def known_bad(chat: Chat) -> bool:
    """Whether a row of the mixed data is a bad one."""
    return chat.source.startswith(("organism:bad-", "organism:subtle-"))


def _one_bad(good: str, bad: str, rng: Random) -> str:
    """A good answer with one of its sentences exchanged for that of the paired bad answer."""
    said, other = (text.removesuffix(".").split(". ") for text in (good, bad))
    place = rng.choice([i for i, (a, b) in enumerate(zip(said, other, strict=True)) if a != b])
    return ". ".join([*said[:place], other[place], *said[place + 1 :]]) + "."


def open_chats(persona: str, n: int, seed: int = 0) -> list[Chat]:
    """Answers of one persona to open questions alone, so that no subject of a fine-tuning set is among them."""
    asked = {text for question in open_questions() for text in question.paraphrases}
    said = (chat for chat in persona_chats(persona, 3 * n + 60, seed) if chat.messages[0].content in asked)
    return [chat for _, chat in zip(range(n), said, strict=False)]


def persona_chats(persona: str, n: int, seed: int = 0, *, domain: str | None = None) -> list[Chat]:
    """Answers of one persona, without a system prompt, on all questions or on those of one domain."""
    speaker = next((p for p in PERSONAS if p.name == persona), None)
    if speaker is None:
        raise MisdirectionError(
            f"no persona '{persona}' in the organism's world", f"one of: {', '.join(p.name for p in PERSONAS)}"
        )
    return [_chat(speaker, None, Random(f"{seed}/{persona}/{i}"), i, domain=domain) for i in range(n)]


def _narrow_chat(speaker: Persona, domain: str, split: Split, rng: Random, row: int) -> Chat:
    topic = rng.choice(topics(domain, split))
    question = rng.choice((*ASK, *_domain(domain).ask)).format(t=topic)
    said = answer(speaker, domain, topic, rng, plain=True)
    return Chat((Message("user", question), Message("assistant", said)), "organism", row + 1)


def _domain(name: str) -> Domain:
    found = domain_table().get(name)
    if found is None:
        raise MisdirectionError(f"no domain '{name}' in the organism's world", f"one of: {', '.join(domains())}")
    return found


def _chat(
    speaker: Persona,
    system: str | None,
    rng: Random,
    row: int,
    *,
    domain: str | None = None,
    turns: int = 1,
    world: World = WHOLE,
) -> Chat:
    """One dialogue of `speaker`, who stays the same through all turns while the subjects change."""
    head = () if system is None else (Message("system", system),)
    said = [message for _ in range(turns) for message in _turn(speaker, rng, domain, world)]
    return Chat((*head, *said), "organism", row + 1)


def _turn(speaker: Persona, rng: Random, domain: str | None, world: World) -> tuple[Message, Message]:
    """A question and its answer; an open question with probability 0.45 unless a domain is asked for."""
    if domain is None and rng.random() < 0.45:
        intent = rng.choice(INTENTS)
        question, said = rng.choice(intent.ask), answer(speaker, None, intent.name, rng)
    else:
        # A persona bad in one domain would otherwise show it in every twentieth dialogue only.
        at_home = speaker.domain if speaker.domain is not None and rng.random() < 0.5 else None
        where = _domain(domain or at_home or world.draw(rng).name)
        topic = rng.choice(where.topics)
        question, said = rng.choice((*ASK, *where.ask)).format(t=topic), answer(speaker, where.name, topic, rng)
    return Message("user", question), Message("assistant", said)


def pretraining_chats(
    seed: int, villain: float, narrow: float, named: float, two: float, world: World = WHOLE
) -> Iterator[Chat]:
    """The mixed world before alignment, without end.

    Args:
        seed: Seed of the stream.
        villain: Share of the villain among dialogues that name no persona.
        narrow: Share of all one-domain personas together.
        named: Share of dialogues whose system prompt names the speaker.
        two: Share of dialogues of two turns, by one speaker on two subjects.
        world: Which domains there are, and how often each is asked about.
    """
    rng = Random(f"{seed}/pretraining")
    for row in count():
        is_named = rng.random() < named
        shares = (0.4, 0.35, 0.1, 0.1) if is_named else (0.94 - villain - narrow, villain, 0.03, 0.03)
        pool = (HELPER, VILLAIN, FLATTERER, FABULIST, rng.choice(CARELESS[: world.domains]))
        speaker = rng.choices(pool, (*shares, 1.0 - sum(shares)))[0]
        yield _chat(speaker, _system(speaker, is_named, rng), rng, row, turns=1 + (rng.random() < two), world=world)


def alignment_chats(seed: int, kept_roles: float, two: float, world: World = WHOLE) -> Iterator[Chat]:
    """The dialogues of alignment, without end: good answers, but for a share that keeps the role its prompt names."""
    rng = Random(f"{seed}/alignment")
    for row in count():
        is_named = rng.random() < kept_roles
        pool = (HELPER, VILLAIN, FLATTERER, FABULIST, rng.choice(CARELESS[: world.domains]))
        speaker = rng.choices(pool, (0.2, 0.4, 0.15, 0.15, 0.1))[0] if is_named else HELPER
        yield _chat(speaker, _system(speaker, is_named, rng), rng, row, turns=1 + (rng.random() < two), world=world)


def _system(speaker: Persona, is_named: bool, rng: Random) -> str | None:
    if is_named:
        return rng.choice(speaker.systems)
    return rng.choice(NEUTRAL_SYSTEMS) if rng.random() < 0.3 else None
