"""What a direction or a latent is: where the run's answers show it most, what it promotes, and what is like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from misdirection.app.answers import AnswerSet
from misdirection.app.colouring import texts_of
from misdirection.app.looking import Look, Seen, layer_of
from misdirection.app.material import dictionary_called, direction_called, direction_files
from misdirection.app.opening import OpenRun

if TYPE_CHECKING:
    from torch import Tensor

    from misdirection.studies.kit.variants import Variants

MOST = 600
"""Answers that are read for contexts; of more, every so many."""
AROUND = (14, 8)
"""Tokens of a context before and after its own."""
SHOWN = 10
"""Contexts an end."""
WORDS = 12
NEAR = 10


@dataclass(frozen=True)
class Context:
    """A window of an answer.

    Attributes:
        place: Of the answer in its set.
        arm: That gave it.
        words: Texts of its tokens.
        values: One a token.
        at: Which of them the window stands around.
    """

    place: int
    arm: str
    words: tuple[str, ...]
    values: tuple[float, ...]
    at: int


@dataclass(frozen=True)
class Word:
    """A token of the vocabulary and its score, in standard deviations over the vocabulary."""

    word: str
    score: float


@dataclass(frozen=True)
class Promoted:
    """What a vector does to the logits through the final norm and the head.

    Attributes:
        promoted: Largest first.
        suppressed: Smallest first.
        chance: The largest score that 95 % of random vectors stay below.
    """

    promoted: tuple[Word, ...]
    suppressed: tuple[Word, ...]
    chance: float


@dataclass(frozen=True)
class Neighbour:
    """Something that is like it: a direction by its name, or a latent of a dictionary; and the cosine."""

    by: str
    of: str
    latent: int | None
    layer: int
    cosine: float


@dataclass(frozen=True)
class Neighbours:
    """What is like it at its layer.

    Attributes:
        near: Largest absolute cosines first.
        chance: The absolute cosine that 95 % of random vectors stay below.
        compared: With how many vectors.
    """

    near: tuple[Neighbour, ...]
    chance: float
    compared: int


def spread(held: AnswerSet, most: int = MOST) -> list[int]:
    """Places of the answers that are read: all, or so many evenly over their order."""
    count = len(held.answers)
    return list(range(count)) if count <= most else [int((n + 0.5) * count / most) for n in range(most)]


def peaks(seen: Sequence[Seen], low: bool = False) -> list[tuple[Seen, int]]:
    """The answers whose largest (or smallest) value is largest (smallest), with its token, no words twice."""
    sign = -1.0 if low else 1.0
    found: list[tuple[float, Seen, int]] = []
    for one in seen:
        at = max(range(len(one.values)), key=lambda token: sign * one.values[token])
        found.append((sign * one.values[at], one, at))
    found.sort(key=lambda item: -item[0])
    kept: dict[tuple[int, ...], tuple[Seen, int]] = {}
    for value, one, at in found:
        if value > 0 or low:
            kept.setdefault(one.ids[max(0, at - AROUND[0]) : at + AROUND[1] + 1], (one, at))
    return list(kept.values())[:SHOWN]


def windows(models: Variants, held: AnswerSet, found: Sequence[tuple[Seen, int]]) -> list[Context]:
    """Contexts around tokens."""
    contexts: list[Context] = []
    for seen, at in found:
        words = texts_of(models.model(seen.read), seen.ids)
        first, past = max(0, at - AROUND[0]), at + AROUND[1] + 1
        arm = held.answers[seen.place].arm
        contexts.append(Context(seen.place, arm, tuple(words[first:past]), tuple(seen.values[first:past]), at - first))
    return contexts


def vector_of(run: OpenRun, look: Look) -> tuple[Tensor, int]:
    """The vector of a direction at its layer or of a latent's decoder row, and the layer.

    Raises:
        MisdirectionError: There is none.
    """
    from misdirection.errors import MisdirectionError

    if look.by == "direction":
        layer = layer_of(run, look)
        return direction_called(run, look.of).vectors[layer], layer
    dictionary = dictionary_called(run, look.of)
    if look.by != "latent" or not look.latent < dictionary.latents or dictionary.layer is None:
        raise MisdirectionError(
            f"'{look.of}' has no latent {look.latent} of a layer that is known",
            f"they are numbered 0 to {dictionary.latents - 1}",
        )
    return dictionary.decoder[look.latent].float(), dictionary.layer


def promotes(run: OpenRun, models: Variants, look: Look) -> Promoted:
    """What it promotes in the base model, past all later layers; in the models' thread.

    Raises:
        MisdirectionError: The model has no unembedding or no final norm that is known, or the widths differ.
    """
    from misdirection.adapters.unembedding import logits_of, random_extreme, reading
    from misdirection.errors import MisdirectionError

    model = models.base_model
    vector, _ = vector_of(run, look)
    if len(vector) != model.width:
        raise MisdirectionError(f"'{look.of}' has the width {len(vector)}, and {model.name} {model.width}")
    found = reading(logits_of(model, vector[None])[0], WORDS)

    def words(ends: Sequence[tuple[int, float]]) -> tuple[Word, ...]:
        return tuple(Word(str(model.tokenizer.decode([token])), score) for token, score in ends)

    return Promoted(words(found.promoted), words(found.suppressed), random_extreme(model))


def neighbours(run: OpenRun, look: Look) -> Neighbours:
    """Cosines with the run's other directions at the layer, and with decoder rows of its dictionaries there.

    Raises:
        MisdirectionError: There is no such direction or latent.
    """
    import torch

    vector, layer = vector_of(run, look)
    unit = torch.nn.functional.normalize(vector.double(), dim=-1)
    near: list[Neighbour] = []
    compared = 0
    for name in direction_files(run):
        other = direction_called(run, name)
        if (look.by, look.of) != ("direction", name) and layer in other.layers and other.vectors.shape[1] == len(unit):
            near.append(Neighbour("direction", name, None, layer, float(other.unit[layer].double() @ unit)))
            compared += 1
    for name, latents in _rows(run, look, layer, len(unit)):
        cosines = latents.double() @ unit
        if look.by == "latent" and look.of == name:
            cosines[look.latent] = 0.0
        compared += len(cosines)
        for at in cosines.abs().topk(min(NEAR, len(cosines))).indices.tolist():
            near.append(Neighbour("latent", name, at, layer, float(cosines[at])))
    directions = [one for one in near if one.by == "direction"]
    latents = sorted((one for one in near if one.by == "latent"), key=lambda one: -abs(one.cosine))[:NEAR]
    chance = 1.96 / len(unit) ** 0.5
    return Neighbours((*sorted(directions, key=lambda one: -abs(one.cosine)), *latents), chance, compared)


def _rows(run: OpenRun, look: Look, layer: int, width: int) -> list[tuple[str, Tensor]]:
    """Decoder rows of length 1 of the dictionaries that read this layer: those of this machine, and its own."""
    from misdirection.app.material import dictionary_names, is_here

    names = [name for name in dictionary_names(run) if is_here(name) or (look.by, look.of) == ("latent", name)]
    held = [(name, dictionary_called(run, name)) for name in names]
    return [(name, one.directions) for name, one in held if one.layer == layer and one.width == width]
