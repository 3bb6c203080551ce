"""A base model and any number of fine-tunes of it, all served by one resident model where they are adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.models import Model, load_model
from misdirection.studies.kit.inputs import fingerprint, is_adapter, resolve_model
from misdirection.studies.kit.subject import ask_alike, asking_key, check_same_kind, key_of_format

BASE_VARIANT = "base"


@dataclass
class Lineup:
    """A base model ("base") and its fine-tunes by name.

    Nothing is loaded until a step that has not been done asks for it. Adapters share the resident base; of whole
    models one is kept beside it at a time.

    Attributes:
        base: Id or folder of the base model.
        fine_tunes: By name, the folder or hub id of a PEFT adapter or of a whole model.
        options: Passed to `load_model`.
    """

    base: str
    fine_tunes: Mapping[str, Path]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    _whole: tuple[str, Model] | None = None

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the models among a step's inputs."""
        return self._key

    @cached_property
    def _key(self) -> dict[str, Any]:
        return {
            "base": fingerprint(resolve_model(self.base)),
            "fine_tunes": {name: fingerprint(str(path)) for name, path in self.fine_tunes.items()},
            "dtype": key_of_format(self.options),
            "asking": asking_key(self.options),
        }

    @cached_property
    def adapters(self) -> dict[str, str]:
        """The fine-tunes that are adapters, by name."""
        return {name: str(path) for name, path in self.fine_tunes.items() if is_adapter(str(path))}

    @cached_property
    def base_model(self) -> Model:
        """The resident base model with every adapter beside it, asked as the first whole model was trained."""
        whole = next((str(path) for name, path in self.fine_tunes.items() if name not in self.adapters), None)
        return load_model(resolve_model(self.base), adapters=self.adapters or None, trained=whole, **self.options)

    def model(self, variant: str) -> Model:
        """The resident model of a variant.

        Raises:
            MisdirectionError: No fine-tune has this name, or it was not made from this base.
        """
        if variant == BASE_VARIANT or variant in self.adapters:
            return self.base_model
        if variant not in self.fine_tunes:
            raise MisdirectionError(f"no fine-tune is called '{variant}'", f"there are {', '.join(self.fine_tunes)}")
        if self._whole is None or self._whole[0] != variant:
            self._whole = None
            found = load_model(str(self.fine_tunes[variant]), **self.options)
            check_same_kind(self.base_model, found)
            ask_alike(self.base_model, found)
            self._whole = (variant, found)
        return self._whole[1]

    def adapter_of(self, variant: str) -> str | None:
        """Name of the adapter that is on under a variant."""
        return variant if variant in self.adapters else None
