"""An answer's tokens with a value each, and those of the answers beside it, for the page that colours them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from misdirection.app.answers import AnswerSet, beside
from misdirection.app.looking import Look, Seen, columns, layer_of, see, variant_of
from misdirection.app.material import direction_called
from misdirection.app.opening import OpenRun

if TYPE_CHECKING:
    from misdirection.models import Model
    from misdirection.studies.kit.variants import Variants

MIDDLE = "midway between aligned and misaligned answers"
ABREAST = 8
"""Answers to the same question that are coloured with one."""


@dataclass(frozen=True)
class Words:
    """An answer's tokens.

    Attributes:
        place: Of the answer in its set.
        words: Texts of the tokens, which join to the answer.
        values: One a token.
        thought: How many of them are a thought before the answer.
        read: The variant that read them.
    """

    place: int
    words: tuple[str, ...]
    values: tuple[float, ...]
    thought: int
    read: str


@dataclass(frozen=True)
class Coloured:
    """Answers on one scale.

    Attributes:
        what: What the values are, in words.
        answers: The one that was asked for first.
        zeros: Where the scale may have its middle, by name; the one to begin with first.
        columns: Names of the adapter's scalars that can be chosen; empty for what has none.
        layer: The direction's; None for what has none.
        notes: What a reader should know.
    """

    what: str
    answers: tuple[Words, ...]
    zeros: Mapping[str, float]
    columns: tuple[str, ...] = ()
    layer: int | None = None
    notes: tuple[str, ...] = ()


def colour(run: OpenRun, models: Variants, held: AnswerSet, place: int, look: Look) -> Coloured:
    """Values of the tokens of an answer and of those beside it; in the models' thread.

    Raises:
        MisdirectionError: See `looking.see`.
    """
    names = columns(models, look) if look.by == "scalar" else []
    layer = layer_of(run, look) if look.by == "direction" else None
    others = [one for one in beside(held, place) if one != place][: ABREAST - 1]
    places = [place, *others]
    asked = [(look.read or variant_of(run, held, held.answers[one]), held.answers[one]) for one in places]
    found, aside = see(run, models, look, asked)
    answers = tuple(in_words(models, one, places[one.place]) for one in found)
    what = in_title(run, look, names, layer)
    return Coloured(
        what, answers, _zeros(run, look, layer), tuple(names), layer, _notes(held, place, look, found, aside)
    )


def in_words(models: Variants, seen: Seen, place: int) -> Words:
    """An answer that was read, its tokens as texts."""
    model = models.model(seen.read)
    return Words(place, tuple(texts_of(model, seen.ids)), seen.values, seen.thought, seen.read)


def texts_of(model: Model, ids: Sequence[int]) -> list[str]:
    """Tokens as texts that join to what they say."""
    from misdirection.tokens import token_texts

    return token_texts(model.tokenizer, ids)


def in_title(run: OpenRun, look: Look, names: Sequence[str] = (), layer: int | None = None) -> str:
    """What the values are."""
    if look.by == "direction":
        at = layer_of(run, look) if layer is None else layer
        return f"component along '{look.of}' taken at length 1, after layer {at}"
    if look.by == "scalar":
        return f"A\u00b7x of {look.of}, {look.column or next(iter(names), '')}; its sign by itself means nothing"
    return f"activation of latent {look.latent} of {look.of}"


def _zeros(run: OpenRun, look: Look, layer: int | None) -> dict[str, float]:
    found = {"zero": 0.0}
    if layer is not None and not (held := direction_called(run, look.of)).vectors_only:
        ends = held.aligned_component()[layer], held.misaligned_component()[layer]
        found = {MIDDLE: float(sum(ends) / 2)} | found
    return found


def _notes(held: AnswerSet, place: int, look: Look, found: Sequence[Seen], aside: Mapping[str, int]) -> tuple[str, ...]:
    arm = held.answers[place].arm
    notes = [f"{count} of the answers cannot be read: {why}" for why, count in aside.items()]
    if found and look.by != "scalar" and not look.read and arm not in held.variants and arm != found[0].read:
        notes.append(f"the run does not say which model wrote {arm}: it is read in {found[0].read}")
    elif arm in held.changed:
        notes.append(
            f"what was done under this arm ({held.conditions[arm]}) is not done again while its tokens are read"
        )
    if held.answers[place].ids is None:
        notes.append("this answer came as text: its tokens are those that the tokenizer makes of it")
    return tuple(notes)
