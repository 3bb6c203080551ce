"""What latents are looked for in: the study's training chats, and the texts named beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from misdirection.chats import Chat
from misdirection.engine import Arm, Text
from misdirection.features.contexts import FIRST
from misdirection.features.corpus import chat_texts
from misdirection.models import Model
from misdirection.studies.features.paired_chats import generates
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.config import ORGANISM, named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.variants import BASE_VARIANT

SPAN = "all"

READ = 300
"""Chats read of each source."""


@dataclass(frozen=True)
class CorpusSource:
    """Chats of one kind, with their speaker where it is known."""

    name: str
    chats: tuple[Chat, ...]
    persona: str = ""


@dataclass(frozen=True)
class ReadCorpus:
    """What is read: texts, and the source of each.

    Attributes:
        sources: In order.
        texts: All of them, under the base model; the span is `SPAN`.
        of: Place in `sources` of each text's.
    """

    sources: tuple[CorpusSource, ...]
    texts: list[Text]
    of: list[int]

    @property
    def tokens(self) -> int:
        """Tokens that are read."""
        return sum(past - first for first, past in (text.spans[SPAN] for text in self.texts))

    def source(self, text: int) -> str:
        """Name of a text's source."""
        return self.sources[self.of[text]].name


def read_corpus(model: Model, sources: Sequence[CorpusSource]) -> ReadCorpus:
    """All chats as token ids, their first token left out of the span."""
    chats = [chat for source in sources for chat in source.chats]
    texts = [
        replace(text, spans={SPAN: (min(FIRST, len(text.ids)), len(text.ids))})
        for text in chat_texts(chats, model.tokenizer, Arm(BASE_VARIANT), span=SPAN)
    ]
    return ReadCorpus(tuple(sources), texts, [place for place, source in enumerate(sources) for _ in source.chats])


def find_sources(config: FeaturesConfig, more: Mapping[str, Sequence[Chat]]) -> list[CorpusSource]:
    """The chats of --data and --good, further ones by name, and those of --corpus.

    Raises:
        MisdirectionError: A file is missing or holds no usable row.
    """
    sources: list[CorpusSource] = []
    for option, quality in (("data", "bad"), ("good", "good")):
        for name, spec in named(getattr(config, option), option).items():
            if not generates(spec):
                chats = resolve_chats((spec,), rows=READ, seed=config.seed).chats[:READ]
                sources.append(CorpusSource(f"{name}, {quality}", tuple(chats), _speaker(spec)))
    sources += [CorpusSource(name, tuple(chats[:READ])) for name, chats in more.items()]
    for name, spec in named(config.corpus, "corpus").items():
        chats = resolve_chats((spec,), rows=READ, seed=config.seed).chats
        sources.append(
            CorpusSource(name, tuple(chats if spec.startswith(f"{ORGANISM}:") else chats[:READ]), _speaker(spec))
        )
    return [source for source in sources if source.chats]


def _speaker(spec: str) -> str:
    """Who speaks in the organism's own data."""
    source, _, rest = spec.partition(":")
    quality, _, domain = rest.partition("-")
    if source != ORGANISM:
        return ""
    if quality in ("bad", "good"):
        return "helper" if quality == "good" else f"careless_{domain}"
    from misdirection.organism import PERSONAS

    return quality if quality in (persona.name for persona in PERSONAS) else ""
