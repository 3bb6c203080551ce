"""What can be wrong with a model that somebody brings."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class ModelError(MisdirectionError):
    """A model cannot be loaded or used."""


class MissingWeightsError(ModelError):
    """The folder or repository holds no weights."""


class MissingTokenizerError(ModelError):
    """The folder or repository holds no tokenizer."""


class UnreachableModelError(ModelError):
    """The id is neither a local folder nor reachable on the hub (offline, misspelt, private)."""


class GatedModelError(ModelError):
    """The repository asks for an accepted licence and a token."""


class AdapterMismatchError(ModelError):
    """The adapter was made for another base model, or would be in effect on this one in part only."""


class NotEnoughMemoryError(ModelError):
    """The weights do not fit the device."""
