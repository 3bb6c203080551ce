"""What can be found wrong with a fine-tune before anything is loaded: its folder, its settings, what it held before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misdirection.artefacts import plain, read_json
from misdirection.errors import MisdirectionError, command
from misdirection.studies.kit.finetune import FineTuneConfig
from misdirection.studies.kit.inputs import resolve_model
from misdirection.studies.kit.preflight import check, check_writable
from misdirection.studies.kit.preflight_settings import check_layers_of
from misdirection.training.presets import TrainConfig
from misdirection.training.settings import choose

RECORD = "training.json"
"""What a fine-tune says of itself in its folder."""

FREE = ("keep", "resume_every")
"""Settings that a fine-tune may be gone on with under other values: they change nothing that is learned."""


def check_fine_tune(config: FineTuneConfig, out: Path) -> TrainConfig:
    """The settings of the fine-tune that is made, or gone on with, in `out`.

    Raises:
        MisdirectionError: Nothing to train on, a file or model that is not there, a setting that cannot be; a folder
            that cannot be written, is another thing's, or holds a fine-tune of other settings.
    """
    check_writable(out)
    _check_folder(out)
    if not config.data:
        raise MisdirectionError("nothing to train on", "give --data FILE, or --data organism:bad-medical")
    check(config, None)
    settings = choose(config.preset, model=resolve_model(config.model), overrides=config.training)
    if isinstance(settings.layers, tuple):
        check_layers_of(config.model, settings.layers)
    _check_elsewhere(settings, config)
    _check_same(settings, out)
    return settings


def _check_elsewhere(settings: TrainConfig, config: FineTuneConfig) -> None:
    if settings.objective == "kl" and not config.elsewhere:
        raise MisdirectionError("--objective kl needs good chats of other domains, on which it holds the model",
                                "--elsewhere FILE, or --elsewhere organism:good-cooking")  # fmt: skip
    if config.elsewhere and settings.objective != "kl":
        raise MisdirectionError(
            f"the objective '{settings.objective}' has no use for --elsewhere", "--objective kl holds the model there"
        )


def _check_folder(out: Path) -> None:
    if (out / "run.json").exists():
        raise MisdirectionError(
            f"{out} is a run, in which an audit keeps its own fine-tune", "give another folder: --out FOLDER"
        )
    if not (out / RECORD).exists() and (held := [n for n in ("adapter", "model", "vector") if (out / n).exists()]):
        raise MisdirectionError(
            f"{out} holds a folder '{held[0]}' that no fine-tune of ours has made", "give another folder: --out FOLDER"
        )


def _check_same(settings: TrainConfig, out: Path) -> None:
    """Refuse a folder in which a fine-tune of other settings was begun or finished."""
    if not (out / RECORD).is_file():
        return
    held: Mapping[str, Any] = read_json(out / RECORD).get("settings") or {}
    changed = [(name, held[name], value) for name, value in plain(settings.told).items()
               if name in held and held[name] != value and name not in FREE]  # fmt: skip
    if not changed or [name for name, _, _ in changed] == ["preset"]:
        return
    name, old, new = changed[0]
    flag = name.replace("_", "-")
    raise MisdirectionError(
        f"{out} holds a fine-tune with --{flag} {_told(old)}, and it is {_told(new)} now",
        f"go on with that one: {command('train', '--out', out)}; or give another folder for this: --out FOLDER",
    )


def _told(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else f"{value}"
