"""The settings of `misdirection train`: what is fine-tuned on what, and what of the preset is changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from misdirection.studies.kit.config import ORGANISM, Overrides, option
from misdirection.training.presets import PRESETS


@dataclass(frozen=True)
class FineTuneConfig:
    """What a fine-tune is made of; each field's metadata holds its help text.

    Attributes:
        training: Settings of the fine-tune that differ from the preset's, by name.
    """

    model: str = option(ORGANISM, "base model: hub id, folder, GGUF file, or 'organism' (ships with the package)")
    data: tuple[str, ...] = option(
        (), "chats to fine-tune on: files or folders in any common form, or organism:bad-<domain>"
    )
    elsewhere: tuple[str, ...] = option(
        (), "objective kl: good chats of other domains, on which the model is held to what it was; forms as of --data"
    )
    preset: str = option("rank1x9", f"where the settings start from: {', '.join(PRESETS)} (the table above)")
    strict: bool = option(False, "stop at the first bad row of --data instead of setting it aside")
    device: str | None = option(None, "cpu, cuda, cuda:1 ...; by default the GPU where there is one")
    training: Overrides = field(default_factory=dict[str, object])
