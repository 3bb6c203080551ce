"""Latents of any dictionary, looked at over a corpus (`misdirection sae describe`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features.contexts import Context, draw_contexts
from misdirection.features.corpus import SPAN
from misdirection.features.promoted import promoted_tokens
from misdirection.models import Model, load_model
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.dictionaries.study import read
from misdirection.studies.kit.inputs import resolve_dictionary, resolve_model
from misdirection.tokens import token_texts

AROUND = (10, 5)
"""Tokens of a context before and after its own."""


@dataclass(frozen=True)
class Firing:
    """A place where a latent fires: how much, and the window on one line, its own token in brackets."""

    value: float
    text: str


@dataclass(frozen=True)
class DescribedLatent:
    """What one latent of a dictionary is about.

    Attributes:
        latent: Its number.
        firing_texts: Texts in which it fires.
        texts: All of them.
        promotes: Words that it makes likelier, with their z scores, the strongest first.
        suppresses: Words that it makes less likely.
        contexts: Where it fires most.
    """

    latent: int
    firing_texts: int
    texts: int
    promotes: list[tuple[str, float]]
    suppresses: list[tuple[str, float]]
    contexts: list[Firing]


def describe_latents(
    config: SaeConfig, spec: str, latents: Sequence[int], contexts: int = 6, words: int = 8
) -> list[DescribedLatent]:
    """For each latent the words that it promotes and suppresses, and its strongest contexts over the corpus.

    Args:
        config: Model and corpus.
        spec: See `resolve_dictionary`.
        latents: Which.
        contexts: Of each.
        words: At either end.

    Raises:
        MisdirectionError: No latent is named or it is beyond the dictionary, the dictionary does not fit the model, or
            the corpus cannot be used.
    """
    dictionary = resolve_dictionary(spec)
    if not latents:
        raise MisdirectionError("no latent is named", "--latents 3,17,256")
    if wrong := [latent for latent in latents if not 0 <= latent < dictionary.latents]:
        raise MisdirectionError(f"there is no latent {wrong[0]}", f"{spec} has latents 0 to {dictionary.latents - 1}")
    config = config.checked()
    model = load_model(resolve_model(config.model), **vars(config.loading))
    layer = config.layers[0] if config.layers else None
    dictionary.layer_in(model, layer)
    texts = read(config, model).texts(Arm("base"))
    drawn = draw_contexts(model, dictionary, texts, latents, top=contexts, around=AROUND, span=SPAN, layer=layer)
    readings = promoted_tokens(model, dictionary, latents, words)
    return [
        DescribedLatent(
            held.latent,
            held.firing_texts,
            len(texts),
            _words(model, ends.promoted),
            _words(model, ends.suppressed),
            [Firing(one.values[one.token - one.first], _told(model, one)) for one in held.top],
        )
        for held, ends in zip(drawn, readings, strict=True)
    ]


def _words(model: Model, ends: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
    return [(str(model.tokenizer.decode([token])).strip() or repr(token), score) for token, score in ends]


def _told(model: Model, context: Context) -> str:
    """The window on one line, its own token in brackets."""
    pieces = token_texts(model.tokenizer, context.ids)
    place = context.token - context.first
    own = pieces[place].strip()
    pieces[place] = pieces[place].replace(own, f"[{own}]") if own else f"[{pieces[place]}]"
    return " ".join("".join(pieces).split())
