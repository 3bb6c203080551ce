"""A dictionary and the layer that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from misdirection.features.dictionary import Dictionary


@dataclass(frozen=True)
class Lens:
    """A dictionary as the study reads through it.

    Attributes:
        dictionary: On the CPU.
        layer: Decoder layer that is read.
    """

    dictionary: Dictionary
    layer: int

    @property
    def key(self) -> list[Any]:
        """What identifies it among a step's inputs."""
        return [self.dictionary.key, self.layer]
