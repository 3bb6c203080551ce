"""What studies of fine-tunes ask for: of one, or of several by name; each exists or is made first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import Overrides, StudyConfig, check_name, named, option
from misdirection.training.presets import LOADED


@dataclass(frozen=True)
class TunedConfig(StudyConfig):
    """A study of one fine-tune: one that exists, or one that is made first."""

    adapter: str | None = option(None, "PEFT adapter of the tuned model: hub id or folder")
    tuned: str | None = option(None, "whole tuned model, instead of an adapter: hub id or folder")
    data: tuple[str, ...] = option(
        (),
        "chats to fine-tune on first: files or folders in any common form (JSON lines, JSON, Parquet, CSV), or "
        "organism:bad-<domain>, organism:good-<domain>",
    )
    preset: str = option("rank1x9", f"fine-tuning preset for --data: {', '.join(LOADED)}")
    strict: bool = option(False, "stop at the first bad row of --data instead of setting it aside")
    training: Overrides = field(default_factory=dict[str, object])
    alone: ClassVar[bool] = False
    """Whether a base without anything that was tuned will do."""
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("adapter", "tuned", "alone")}

    def completed(self) -> Self:
        """With what suits the model, its data where nothing else is named.

        Raises:
            MisdirectionError: More or less than one of adapter, tuned and data; a number out of range.
        """
        c = self.recommended()
        given = [name for name in ("adapter", "tuned", "data") if getattr(c, name)]
        if c.alone and not given:
            return super(TunedConfig, c).completed()
        if len(given) != 1:
            raise MisdirectionError(
                "say what was tuned: exactly one of --adapter, --tuned and --data"
                + (f" (given: {', '.join(given)})" if given else ""),
                "--adapter FOLDER, --tuned FOLDER for a whole model, or --data FILE to fine-tune now",
            )
        return super(TunedConfig, c).completed()


@dataclass(frozen=True)
class NamedTunesConfig(StudyConfig):
    """A study of several fine-tunes, each called by a name."""

    data: tuple[str, ...] = option((), "NAME=FILE of chats to fine-tune on, once a fine-tune")
    fine_tune: tuple[str, ...] = option((), "NAME=FOLDER of a fine-tune that exists, adapter or whole model")
    preset: str = option("rank32", f"fine-tuning preset for --data: {', '.join(LOADED)}")
    training: Overrides = field(default_factory=dict[str, object])
    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("fine_tune",)}

    @property
    def tunes(self) -> dict[str, str]:
        """The file or folder of each fine-tune, by its name.

        Raises:
            MisdirectionError: A name cannot be one, or is that of two.
        """
        made, given = named(self.data, "data"), named(self.fine_tune, "fine-tune")
        demand_apart(made, given)
        found = {**made, **given}
        for name in found:
            check_name(name)
        return found

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: A name cannot be one, or a number out of range.
        """
        c = self.recommended()
        _ = c.tunes
        return super(NamedTunesConfig, c).completed()


def demand_apart(made: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Refuse fine-tunes that are made and that exist under one name.

    Raises:
        MisdirectionError: Two have one.
    """
    if twice := made.keys() & given.keys():
        raise MisdirectionError(f"two fine-tunes are called '{min(twice)}'", "give each a name of its own")
