"""Checks of a format's settings: a reader knows every setting that it finds, and every value of those that matter.

A setting that is passed over can change what a dictionary computes (k, the activation, a scale) or where it reads; so
each reader names those that it follows, and those that only tell of the training, and refuses the rest by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from misdirection.features.dictionary import DictionaryError

T = TypeVar("T")


def words(text: str) -> frozenset[str]:
    """The names in a text, which reads better than two hundred strings."""
    return frozenset(text.split())


def refuse_unknown(settings: Mapping[str, Any], known: Collection[str], where: object) -> None:
    """Stop at a setting that has a value and is not among the known.

    Raises:
        DictionaryError: There is one.
    """
    for name, value in settings.items():
        if name not in known and value not in (None, "", [], {}):
            raise DictionaryError(
                f"{where}: the setting '{name}' ({str(value)[:40]}) is not known, and may change what is computed",
                "if it only tells of the training, read a copy of the folder whose settings leave it out",
            )


def choice(settings: Mapping[str, Any], name: str, values: Mapping[Any, T], where: object, default: Any = None) -> T:
    """What a setting's value stands for; `default` is the value where it is missing or null.

    Raises:
        DictionaryError: The value is none of those that are read.
    """
    value = settings.get(name)
    value = default if value is None else value
    for known, meaning in values.items():
        if type(known) is type(value) and known == value:
            return meaning
    raise DictionaryError(
        f"{where}: '{name}' is {value!r}, which is not read", f"read are {', '.join(repr(known) for known in values)}"
    )


def flag(settings: Mapping[str, Any], name: str, where: object, default: bool = False) -> bool:
    """A setting that is true or false.

    Raises:
        DictionaryError: It is something else.
    """
    return choice(settings, name, {True: True, False: False}, where, default)


def must_be_off(settings: Mapping[str, Any], names: Collection[str], where: object) -> None:
    """Stop at a switch that is on and that no dictionary here follows.

    Raises:
        DictionaryError: There is one.
    """
    for name in names:
        if settings.get(name):
            raise DictionaryError(f"{where}: '{name}' is {settings[name]!r}, which is not read", "read is: off")


def one_k(found: Mapping[str, Any], where: object) -> int:
    """The number of active latents, from all the places that may tell it (place to value; None where it does not).

    Raises:
        DictionaryError: No place tells it, they contradict each other, or it is no whole number above 0.
    """
    told = {place: value for place, value in found.items() if value is not None}
    if not told:
        raise DictionaryError(f"{where} does not say its k", f"it is looked for in {', '.join(found)}")
    values = {place: float(value) for place, value in told.items()}
    first = next(iter(values.values()))
    if set(values.values()) != {first} or first < 1 or first != int(first):
        raise DictionaryError(
            f"{where}: k is {', '.join(f'{value} in {place}' for place, value in told.items())}",
            "one whole number above 0 is needed",
        )
    return int(first)


def only(tensors: Mapping[str, Tensor], known: Collection[str], where: object) -> None:
    """Stop at a tensor that nothing here makes use of.

    Raises:
        DictionaryError: There is one.
    """
    extra = sorted(set(tensors) - set(known))
    if extra:
        raise DictionaryError(
            f"{where} holds '{extra[0]}', which is not read",
            "a skip connection, a scale or a gate would change what is computed",
        )


def shapes(settings: Mapping[str, Any], names: tuple[str, str], encoder: Tensor, where: object) -> None:
    """Stop where the settings state another width or number of latents than the encoder has, shape (width, latents).

    Raises:
        DictionaryError: They do.
    """
    for name, has in zip(names, encoder.shape, strict=True):
        if settings.get(name) not in (None, 0, has):
            raise DictionaryError(
                f"{where}: '{name}' is {settings[name]}, the encoder's shape is {tuple(encoder.shape)}",
                "settings and weights are of two dictionaries",
            )


def is_one(tensor: Tensor) -> bool:
    """Whether a scale changes nothing."""
    return bool(torch.allclose(tensor.float(), torch.ones_like(tensor, dtype=torch.float32)))
