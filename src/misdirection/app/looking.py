"""What an answer's tokens are looked at by: a direction, an adapter's scalars, or a latent of a dictionary.

The tokens are those that were drawn, behind the prompt that they were drawn behind, read by the engine's capture. They
are read in the model that wrote them unless another is asked for; what was done to it meanwhile (steering and the like)
is not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from misdirection.app.answers import AnswerSet
from misdirection.app.material import dictionary_called, direction_called, fine_tunes
from misdirection.app.opening import OpenRun
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.judging import Answer

if TYPE_CHECKING:
    from torch import Tensor

    from misdirection.engine import Text
    from misdirection.models import Model
    from misdirection.studies.kit.variants import Variants

Kind = Literal["direction", "scalar", "latent"]
SPAN = "answer"


@dataclass(frozen=True)
class Look:
    """What tokens are looked at by.

    Attributes:
        by: A component along a direction, the scalar A x of an adapter, or the activation of a latent.
        of: Name of the direction, of the fine-tune, or of the dictionary.
        layer: Of the direction; None takes the clearest one.
        column: Of the adapter: one of `columns`; "" takes the first.
        latent: Its number.
        read: The variant that reads; "" each answer's own.
    """

    by: Kind
    of: str
    layer: int | None = None
    column: str = ""
    latent: int = 0
    read: str = ""


@dataclass(frozen=True)
class Seen:
    """An answer as it was read.

    Attributes:
        place: Among the answers that were asked for.
        ids: Tokens that the model drew, a thought before the answer included.
        thought: How many of them are the thought.
        values: One a token.
        read: The variant that read them.
    """

    place: int
    ids: tuple[int, ...]
    thought: int
    values: tuple[float, ...]
    read: str


def read_look(given: Mapping[str, str]) -> Look:
    """What an address asks for.

    Raises:
        MisdirectionError: It asks for nothing that there is, or a number is none.
    """
    by = given.get("by", "")
    if by not in get_args(Kind):
        raise MisdirectionError(f"tokens cannot be looked at by '{by}'", f"by {', '.join(get_args(Kind))}")
    layer = _whole(given, "layer")
    return Look(
        cast(Kind, by), given.get("of", ""), layer, given.get("column", ""), _whole(given, "latent") or 0,
        given.get("read", ""),
    )  # fmt: skip


def _whole(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise MisdirectionError(f"'{text}' is no {name}", "give a whole number from 0 on")
    return int(text) if text else None


def variant_of(run: OpenRun, held: AnswerSet, answer: Answer) -> str:
    """The variant that wrote an answer: what its step says, else the fine-tune that its arm is called by."""
    return held.variants.get(answer.arm) or (answer.arm if answer.arm in fine_tunes(run) else "base")


def layer_of(run: OpenRun, look: Look) -> int:
    """The layer that a direction is looked at: the one asked for, or else the clearest.

    Raises:
        MisdirectionError: The direction has no vector there.
    """
    held = direction_called(run, look.of)
    layer = held.clearest_layer if look.layer is None else look.layer
    if layer not in held.layers:
        raise MisdirectionError(
            f"the direction '{look.of}' has no vector after layer {layer}",
            f"it has them after layers {held.layers[0]} to {held.layers[-1]}" if held.layers else None,
        )
    return layer


def columns(models: Variants, look: Look) -> list[str]:
    """Names of an adapter's scalars; to be called in the models' thread.

    Raises:
        MisdirectionError: The run has no such adapter.
    """
    from misdirection.adapters.scalars import columns_of

    if models.adapter_of(look.of) is None:
        raise MisdirectionError(
            f"no adapter is called '{look.of}'",
            did_you_mean(look.of, models.adapters, "adapters") or "a whole model has no scalars",
        )
    return [column.name for column in columns_of(models.base_model, look.of)]


def see(
    run: OpenRun, models: Variants, look: Look, asked: Sequence[tuple[str, Answer]]
) -> tuple[list[Seen], dict[str, int]]:
    """Read some answers, in the models' thread.

    Args:
        run: Whose they are.
        models: Its models.
        look: What they are looked at by.
        asked: Each answer, with the variant that reads it.

    Returns:
        Those that could be read, in their order, and how many could not, by reason.

    Raises:
        MisdirectionError: There is no such thing to look by, or it does not fit the model.
    """
    from misdirection.answers import read_back
    from misdirection.engine import Text

    found: list[Seen] = []
    aside: dict[str, int] = {}
    for variant in dict.fromkeys(variant for variant, _ in asked):
        which = [place for place, (own, _) in enumerate(asked) if own == variant]
        model = models.model(variant)
        read = read_back(model, [asked[place][1] for place in which])
        name = look.of if look.by == "scalar" else variant
        arm = models.arm(name)
        texts = [Text(e.ids[: e.stop], {SPAN: (e.begin, e.stop)}, arm, e.begin) for e in read.encoded]
        values = _values(run, model, look, texts) if texts else []
        found += [
            Seen(which[place], e.ids[e.begin : e.stop], e.start - e.begin, tuple(held.tolist()), name)
            for place, e, held in zip(read.places, read.encoded, values, strict=True)
        ]
        for why, count in read.aside.items():
            aside[why] = aside.get(why, 0) + count
    return sorted(found, key=lambda one: one.place), aside


def _values(run: OpenRun, model: Model, look: Look, texts: Sequence[Text]) -> list[Tensor]:
    """One number a token of each text's span."""
    if look.by == "direction":
        return _components(run, model, look, texts)
    return _scalars(model, look, texts) if look.by == "scalar" else _activations(run, model, look, texts)


def _components(run: OpenRun, model: Model, look: Look, texts: Sequence[Text]) -> list[Tensor]:
    from misdirection.engine import capture_projections

    layer = layer_of(run, look)
    unit = direction_called(run, look.of).unit[layer]
    if len(unit) != model.width:
        raise MisdirectionError(
            f"the direction '{look.of}' has the width {len(unit)}, and {model.name} {model.width}",
            "give a direction of this model",
        )
    found = capture_projections(model, texts, {layer: unit}, quiet=True)
    return [held[layer][text.start :, 0] for held, text in zip(found, texts, strict=True)]


def _scalars(model: Model, look: Look, texts: Sequence[Text]) -> list[Tensor]:
    from misdirection.adapters.scalars import columns_of, read_scalars

    there = columns_of(model, look.of)
    chosen = next((one for one in there if look.column in ("", one.name)), None)
    if chosen is None:
        raise MisdirectionError(
            f"'{look.of}' has no scalar called '{look.column}'",
            did_you_mean(look.column, [one.name for one in there], "scalars") or None,
        )
    held = read_scalars(model, look.of, texts, [chosen]).values[:, 0]
    return list(held.split([len(text.ids) - text.start for text in texts]))


def _activations(run: OpenRun, model: Model, look: Look, texts: Sequence[Text]) -> list[Tensor]:
    import torch

    from misdirection.features.chosen import Firings, visit_firings

    dictionary = dictionary_called(run, look.of)
    if look.latent >= dictionary.latents:
        raise MisdirectionError(
            f"'{look.of}' has no latent {look.latent}", f"they are numbered 0 to {dictionary.latents - 1}"
        )
    found = [torch.zeros(len(text.ids) - text.start) for text in texts]

    def visit(firings: Firings) -> None:
        parts = (firings.texts, firings.tokens, firings.values)
        for text, token, value in zip(*(part.tolist() for part in parts), strict=True):
            found[text][token - texts[text].start] = value

    visit_firings(model, dictionary, texts, [look.latent], visit, span=SPAN)
    return found
