"""Which inputs of a step are not what they were when the run was made: the same names, and other content behind them.

What the user set anew is said where settings are read; here it is about files that were changed in their place: an
adapter trained again, rows added to the data, a question rewritten, a judge's table filled in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import plain, read_json
from misdirection.errors import MisdirectionError
from misdirection.store.steps import MANIFEST

NAMES = {
    "adapter": "the adapter",
    "tuned": "the tuned model",
    "base": "the base model",
    "model": "the model",
    "questions": "the questions",
    "chats": "the data",
    "data": "the data",
    "judge": "the judge's table",
}
"""Arguments of measurements, and parts of them, by what a user calls them."""

MADE = ("the adapter", "the tuned model")
"""What follows from the data, where a run makes it."""

ONE = "answers"
"""A name under which a run makes one step at a time: the others of the name are of earlier settings."""

_HASH = re.compile(r"\b[0-9a-f]{12,64}\b")
_DERIVED = ("key", "step", "made_from", "gives", "function", "version", "code")


@dataclass(frozen=True)
class Before:
    """A step that was there when a run was gone on with.

    Attributes:
        name: Of the step.
        inputs: As its manifest tells them.
        made: When, in ISO 8601.
    """

    name: str
    inputs: Any
    made: str


def steps_before(run: Path) -> list[Before]:
    """The steps of a run folder whose manifests can be read."""
    found: list[Before] = []
    for file in run.glob(f"steps/[!.]*/{MANIFEST}"):
        try:
            held = read_json(file)
            found.append(Before(str(held["name"]), held["inputs"], str(held["made"])))
        except (MisdirectionError, KeyError, TypeError):
            continue
    return found


def changed_since(name: str, inputs: Mapping[str, Any], before: Sequence[Before]) -> tuple[tuple[str, ...], str]:
    """What holds other content than when the step of this name was made, and when that was; nothing where unsure.

    Of several steps of one name nobody knows which one this step takes the place of, unless the name is that of `ONE`.

    Args:
        name: Of the step that is about to be made.
        inputs: Of it.
        before: The steps that were there.
    """
    # The latest first, which is taken where several are as near.
    held = sorted((step for step in before if step.name == name), key=lambda step: step.made, reverse=True)
    if not held or (len(held) > 1 and name != ONE):
        return (), ""
    now: Any = plain(inputs)
    told = [(list(_differences((), step.inputs, now)), step) for step in held]
    found, step = min(told, key=lambda pair: sum(not content for _, content in pair[0]))
    return tuple(dict.fromkeys(what for what, content in found if content)), step.made[:16].replace("T", " ")


def _differences(place: tuple[str, ...], one: Any, other: Any) -> Iterator[tuple[str, bool]]:
    """What differs, and whether it is content behind an equal name and no setting."""
    if one == other:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        first, second = cast(dict[str, Any], one), cast(dict[str, Any], other)
        for key in dict.fromkeys((*first, *second)):
            if key not in _DERIVED:
                yield from _differences((*place, key), first.get(key), second.get(key))
        return
    called = _called(place)
    behind = isinstance(one, str) and isinstance(other, str) and _HASH.sub("", one) == _HASH.sub("", other)
    asked = "questions" in place and one is not None and other is not None
    yield called, bool(called) and (behind or asked)


def _called(place: tuple[str, ...]) -> str:
    """What a user calls an argument, or a part of one; "" for what is no file of theirs."""
    if "fine_tunes" in place[:-1]:
        return f"the fine-tune {place[place.index('fine_tunes') + 1]}"
    return next((NAMES[part] for part in reversed(place) if part in NAMES), "")
