"""What can go wrong with a fine-tune that its user can mend."""

from __future__ import annotations

from misdirection.errors import MisdirectionError


class TrainingError(MisdirectionError):
    """A fine-tune cannot be started, continued or finished."""


class SettingsError(TrainingError):
    """A setting is unknown, malformed or out of its range."""


class NoUsableChatsError(TrainingError):
    """Not one chat leaves an answer to train on."""


class TargetError(TrainingError):
    """The layers or modules to train are not in the model."""


class OtherConfigurationError(TrainingError):
    """The output folder holds a fine-tune of other settings, data or base."""
