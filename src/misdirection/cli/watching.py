"""The options of `misdirection train` that have it watched while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.cli.show import link, note
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import ORGANISM, option
from misdirection.studies.kit.own_judge import speaks_as_the_organism

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from misdirection.monitoring.training import TrainingWatch

PANEL = "Watching it while it goes on (this call; a folder does not remember it)"


@dataclass(frozen=True)
class WatchConfig:
    """What is watched; each field's metadata holds its help text."""

    watch: tuple[str, ...] = option(
        (),
        "directions, as NAME=PATH@LAYER, or a run's folder: the prompts' components along them go to watch.jsonl",
        PANEL,
    )
    watch_questions: tuple[str, ...] = option(
        (), "fixed prompts: question sets or files; open questions by default", PANEL
    )
    watch_every: int = option(50, "steps between two looks", PANEL)
    watch_control: tuple[str, ...] = option(
        (), "watch.jsonl of a harmless fine-tune that was watched alike, whose movement is taken off", PANEL
    )
    watch_below: tuple[str, ...] = option((), "directions whose low side is the bad one", PANEL)
    watch_margin: float = option(
        0.5, "how much more than the control is still well, in standard deviations over prompts", PANEL
    )
    watch_error_rate: float = option(0.05, "chance that the alarm is ever raised, though all is well", PANEL)
    watch_stop: bool = option(False, "end the training at the alarm", PANEL)


def split_watch(values: Mapping[str, Any]) -> tuple[WatchConfig, dict[str, Any]]:
    """What is to be watched, and the other settings.

    Raises:
        MisdirectionError: Something is said of watching, and no direction is named.
    """
    names = [item.name for item in fields(WatchConfig)]
    config = WatchConfig(**{name: values[name] for name in names})
    if not config.watch and (
        said := [item.name for item in fields(config) if getattr(config, item.name) != item.default]
    ):
        flag = f"--{said[0].replace('_', '-')}"
        raise MisdirectionError(f"{flag} is given, and nothing is watched", "name directions: --watch PATH")
    return config, {name: value for name, value in values.items() if name not in names}


def watch_of(
    config: WatchConfig, model: str, tokenizer: PreTrainedTokenizerBase, out: Path
) -> tuple[TrainingWatch, ...]:
    """The callback, none where nothing is watched.

    Raises:
        MisdirectionError: A setting that cannot be.
    """
    if not config.watch:
        return ()
    from misdirection.monitoring.training import TrainingWatch
    from misdirection.studies.kit.inputs import resolve_questions

    default = f"{ORGANISM}:open" if speaks_as_the_organism(model) else "open"
    questions = resolve_questions(config.watch_questions or (default,))
    return (
        TrainingWatch(
            config.watch,
            questions,
            every=config.watch_every,
            below=config.watch_below,
            control=config.watch_control,
            error_rate=config.watch_error_rate,
            margin=config.watch_margin,
            stop=config.watch_stop,
            log=out / "watch.jsonl",
            tokenizer=tokenizer,
        ),
    )


def show_watch(watched: tuple[TrainingWatch, ...], seconds: float, out: Path) -> None:
    """What was seen while it trained."""
    for one in watched:
        if not one.looks:
            note("no look was taken: the fine-tune was finished before, or ended before --watch-every steps")
            continue
        last = max(one.looks)
        share = f"; watching took {100 * one.seconds / max(seconds, 1e-9):.1f} % of its time"
        if one.alarm is None:
            note(f"no alarm in {len(one.looks)} looks (p = {one.looks[last].p:.2g} at step {last}){share}")
        else:
            step, look = one.alarm
            note(f"ALARM at step {step} (p = {look.p:.2g}, held against {look.level:.2g}){share}")
        link("watch", out / "watch.jsonl")
