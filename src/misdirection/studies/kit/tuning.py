"""A fine-tune as a measurement: an adapter or model in a step's folder, resumed after a kill."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from misdirection import progress, training
from misdirection.artefacts import write_json
from misdirection.chats import ChatFile, write_bad_rows
from misdirection.store import Folder, Incidental, Workspace
from misdirection.studies.kit.config import Overrides, StudyConfig
from misdirection.studies.kit.inputs import ModelFiles, resolve_chats, resolve_model
from misdirection.training import TrainConfig, choose


@dataclass(frozen=True)
class FineTuned:
    """What a fine-tune left.

    Attributes:
        tuned: An ordinary adapter or model.
        metrics: Loss, learning rate and gradient norm, one line a logged step.
        settings: All settings, the steps made and what else a reader should know (`training.json`).
        data: Files, rows and how they were read (`data.json`).
        bad_rows: The rows that were set aside.
        checkpoints: Of the way there; None where none were kept.
    """

    tuned: Path
    metrics: Path
    settings: Path
    data: Path
    bad_rows: Path
    checkpoints: Path | None


@dataclass(frozen=True)
class FineTune:
    """A fine-tune that a study makes.

    Attributes:
        preset: Of training: rank1, rank1x9, rank32, full.
        data: Files of chats, or the organism's by name.
        overrides: Settings of training that differ from the preset's.
        seed: Of training.
        elsewhere: Chats of other domains, for the objective "kl".
    """

    preset: str
    data: tuple[str, ...]
    overrides: Overrides = field(default_factory=dict[str, object])
    seed: int = 0
    elsewhere: tuple[str, ...] = ()

    def call(self, config: StudyConfig) -> Mapping[str, Any]:
        """Arguments of `fine_tuned` for a study: on its base model, behind the prompts that it asks behind."""
        overrides = {**asking_overrides(config), **self.overrides}
        return tuning_of(config.model, self.data, self.preset, overrides, self.seed,
                         elsewhere=self.elsewhere, study=config.study)  # fmt: skip


def fine_tuned(
    model: ModelFiles,
    chats: ChatFile,
    settings: TrainConfig,
    folder: Folder,
    workspace: Workspace,
    elsewhere: ChatFile | None = None,
    files: Incidental[Sequence[str]] = (),
) -> FineTuned:
    """Fine-tune a model; what was killed goes on from its last saved state.

    Args:
        model: The base.
        chats: What it learns.
        settings: Of the fine-tune.
        folder: Where all is left.
        workspace: Where states are kept on the way.
        elsewhere: Chats on which the objective "kl" holds the model.
        files: What the chats were read from, for the record.
    """
    read = training.told_data(chats, settings.turns)
    progress.say(f"  training data: {read}")
    result = training.train(
        model.name, chats.chats, settings, workspace, elsewhere=elsewhere and elsewhere.chats, told=read
    )
    shutil.copytree(result.folder, folder / "tuned")
    kept = folder / "checkpoints" if result.checkpoints else None
    if kept is not None:
        shutil.copytree(workspace / "checkpoints", kept)
    shutil.copy(workspace / "metrics.jsonl", folder / "metrics.jsonl")
    write_bad_rows(folder / "bad_rows.jsonl", chats.bad)
    facts = {"files": list(files), "rows": len(chats.chats), "bad": len(chats.bad), "summary": read}
    write_json(folder / "data.json", facts)
    notes = {"steps": result.steps, "tokens": result.tokens, "notes": list(result.notes), "kind": result.kind}
    write_json(folder / "training.json", {"settings": settings.told, **notes})
    return FineTuned(
        tuned=folder / "tuned",
        metrics=folder / "metrics.jsonl",
        settings=folder / "training.json",
        data=folder / "data.json",
        bad_rows=folder / "bad_rows.jsonl",
        checkpoints=kept,
    )


def tuning_of(
    model: str,
    data: Sequence[str],
    preset: str,
    overrides: Mapping[str, Any],
    seed: int,
    strict: bool = False,
    elsewhere: Sequence[str] = (),
    study: str = "",
) -> Mapping[str, Any]:
    """Arguments of `fine_tuned`.

    Args:
        model: Name of the base.
        data: Names of the chats.
        preset: Where the settings start from.
        overrides: Settings that differ from the preset's.
        seed: Of training, and of data that is generated.
        strict: Stop at the first bad row.
        elsewhere: Names of the chats on which the objective "kl" holds the model.
        study: For which study, for which the model's folder may recommend settings of its own.
    """
    path = resolve_model(model)
    return {
        "model": ModelFiles(path),
        "chats": resolve_chats(data, strict=strict, seed=seed),
        "settings": choose(preset, model=path, overrides={"seed": seed, **overrides}, study=study),
        "elsewhere": resolve_chats(elsewhere, strict=strict, seed=seed) if elsewhere else None,
        "files": data,
    }


def asking_overrides(config: StudyConfig) -> Overrides:
    """How the model is asked, as settings of a fine-tune: it is trained behind the prompts that it is asked behind."""
    told = {"chat_template": config.chat_template, "thinking": config.thinking, "date": config.date}
    return {name: value for name, value in told.items() if value not in (None, "auto")}
