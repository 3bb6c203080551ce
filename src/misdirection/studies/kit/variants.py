"""A base model and its fine-tunes by name, one resident model for the base and all of them that are adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.models import Model, load_merged, load_model, needs_merging
from misdirection.studies.kit.adapter_room import lay_out, portions, room_of
from misdirection.studies.kit.inputs import fingerprint, is_adapter, resolve_model
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.same_kind import ask_alike, check_same_kind

PLAIN = Loading()
BASE_VARIANT = "base"
TUNED_VARIANT = "tuned"
"""The fine-tune of a study that has one only."""


@dataclass
class Variants:
    """A base model ("base") and its fine-tunes by name: adapters on it, or whole models of their own.

    An adapter that rows cannot switch (DoRA, fused experts ...; `models.merged`) becomes a whole model when loaded.

    Nothing is loaded until a step that has not been done asks for it, so that a finished run is reopened in no time.
    Adapters share the resident base, which keeps as many of those that are no longer asked as there is room for
    (`adapter_room`); of whole models one is kept beside it at a time.

    Attributes:
        base: Id or folder of the base model.
        fine_tunes: By name, the id or folder of a PEFT adapter or of a whole model.
        loading: How they are loaded and asked.
        whole: Names of the fine-tunes that are whole models, or adapters that only merging puts in effect.
        resident: What is loaded so far, by variant; adapters are on "base".
    """

    base: str
    fine_tunes: Mapping[str, str | Path] = field(default_factory=dict[str, str | Path])
    loading: Loading = PLAIN
    whole: frozenset[str] = frozenset()
    resident: dict[str, Model] = field(default_factory=dict[str, Model], repr=False)
    _prints: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def of(cls, base: str, fine_tunes: Mapping[str, str | Path], loading: Loading = PLAIN) -> Self:
        """Fine-tunes of either kind, told apart by their files."""
        whole = frozenset(name for name, path in fine_tunes.items() if _is_whole(str(path)))
        return cls(base, fine_tunes, loading, whole)

    @classmethod
    def pair(cls, base: str, adapter: str | None = None, tuned: str | None = None, loading: Loading = PLAIN) -> Self:
        """The base and one fine-tune, called "tuned": an adapter, or a whole model; the base alone without either."""
        one = adapter or tuned
        whole = frozenset({TUNED_VARIANT} if (needs_merging(adapter) if adapter else tuned) else ())
        return cls(base, {TUNED_VARIANT: one} if one else {}, loading, whole)

    def beside(self, adapters: Mapping[str, str | Path]) -> Self:
        """These and more adapters, on the same resident base, to which they are added when it is first asked for."""
        return replace(self, fine_tunes={**self.fine_tunes, **adapters})

    def portions(self, names: Sequence[str]) -> list[Self]:
        """The variants whole where their adapters fit beside the base; else those that are named, in portions that do.

        Args:
            names: Of adapters, or "base", which every portion has.
        """
        room = room_of(self.only(()).base_model)
        if len(portions(self.adapters, room)) < 2:
            return [self]
        wanted = {name: path for name, path in self.adapters.items() if name in names}
        return [self.only(some) for some in portions(wanted, room) or [[]]]

    def only(self, names: Sequence[str]) -> Self:
        """These adapters and the whole fine-tunes, on the same resident base."""
        kept = {name: path for name, path in self.fine_tunes.items() if name in self.whole or name in names}
        return replace(self, fine_tunes=kept)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What identifies each fine-tune, by name."""
        return {name: self._print_of(self._source(name)) for name in self.fine_tunes}

    @property
    def base_key(self) -> dict[str, Any]:
        """What identifies the base, its number format and how it is asked, for steps that read it."""
        return {
            "base": self._print_of(resolve_model(self.base)),
            "dtype": self.loading.format,
            "asking": self.loading.asking,
        }

    @cached_property
    def key(self) -> dict[str, Any]:
        """What identifies them among a step's inputs.

        One fine-tune stands as the adapter or the tuned model that it is, so that runs of the versions that knew no
        others keep their steps.
        """
        key = self.base_key
        if not self.fine_tunes.keys() <= {TUNED_VARIANT}:
            return {**key, "fine_tunes": self.fingerprints}
        one = self.fingerprints.get(TUNED_VARIANT)
        return {**key, "adapter": None if self.whole else one, "tuned": one if self.whole else None}

    def __canonical__(self) -> Any:
        """What stands for them among the arguments of a measurement."""
        return self.key

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process without what is loaded; there, those of one base share what that process loads."""
        return _elsewhere, (type(self), self.base, dict(self.fine_tunes), self.loading, self.whole)

    def bare(self) -> Self:
        """The base alone, on the same resident model: what is measured of it does not depend on its fine-tunes."""
        return replace(self, fine_tunes={}, whole=frozenset())

    @property
    def adapters(self) -> dict[str, str]:
        """The fine-tunes that are adapters, by name."""
        return {name: str(path) for name, path in self.fine_tunes.items() if name not in self.whole}

    @property
    def base_model(self) -> Model:
        """The resident base model with every adapter beside it, asked as the first whole model was trained."""
        if BASE_VARIANT not in self.resident:
            first = next((self._source(name) for name in self.fine_tunes if name in self.whole), None)
            self.resident[BASE_VARIANT] = load_model(
                resolve_model(self.base), adapters=self.adapters or None, trained=first, **vars(self.loading)
            )
        model = self.resident[BASE_VARIANT]
        # Arms of all adapters share one queue: whoever asks for one of them gets a base that has them all.
        lay_out(model, self.adapters)
        return model

    def model(self, variant: str) -> Model:
        """The resident model of a variant.

        Raises:
            MisdirectionError: No fine-tune has this name, or it was not made from this base.
        """
        if variant == BASE_VARIANT or variant in self.adapters:
            return self.base_model
        if variant not in self.fine_tunes:
            there = ", ".join(self.fine_tunes) or "the base alone"
            raise MisdirectionError(f"no fine-tune is called '{variant}'", f"there are {there}")
        if variant not in self.resident:
            for other in self.resident.keys() - {BASE_VARIANT}:
                del self.resident[other]
            found = self._load_whole(variant)
            check_same_kind(self.base_model, found)
            ask_alike(self.base_model, found)
            self.resident[variant] = found
        return self.resident[variant]

    def _load_whole(self, variant: str) -> Model:
        source = self._source(variant)
        if is_adapter(source):
            return load_merged(resolve_model(self.base), source, **vars(self.loading))
        return load_model(source, **vars(self.loading))

    def adapter_of(self, variant: str) -> str | None:
        """Name of the adapter that is on under a variant."""
        return variant if variant in self.adapters else None

    def arm(self, variant: str) -> Arm:
        """The condition under which `model(variant)` answers as the variant does, called as it is."""
        return Arm(variant, self.adapter_of(variant))

    def _print_of(self, source: str) -> str:
        if source not in self._prints:
            self._prints[source] = fingerprint(source)
        return self._prints[source]

    def _source(self, name: str) -> str:
        path = str(self.fine_tunes[name])
        return resolve_model(path) if name in self.whole else path


def _is_whole(path: str) -> bool:
    return not is_adapter(path) or needs_merging(path)


_loaded: dict[str, dict[str, Model]] = {}
"""What a worker has loaded, of the last base that it was sent."""


def _elsewhere(
    kind: type[Variants],
    base: str,
    fine_tunes: Mapping[str, str | Path],
    loading: Loading,
    whole: frozenset[str],
) -> Variants:
    key = repr((base, loading))
    if key not in _loaded:
        _loaded.clear()
    return kind(base, fine_tunes, loading, whole, _loaded.setdefault(key, {}))
