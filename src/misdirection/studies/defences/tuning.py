"""Fine-tunes with defences, and how likely answers are to them: measurements that a run keeps."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from misdirection import training
from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.store import Folder, Workspace
from misdirection.studies.defences.arms import KINDS, Arm, Materials
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.inputs import ModelFiles, resolve_model
from misdirection.studies.kit.likelihood import nats_by_condition
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read
from misdirection.training import TrainConfig


@dataclass(frozen=True)
class Tuned:
    """A fine-tune.

    Attributes:
        adapter: Its folder: an adapter, or a whole model.
        seconds: That it took, the loading left aside.
        rows: Rows that it was trained on.
    """

    adapter: Path
    seconds: float
    rows: int


def defended(
    model: ModelFiles,
    chats: list[Chat],
    arm: Arm,
    held: Materials,
    settings: TrainConfig,
    folder: Folder,
    workspace: Workspace,
) -> Tuned:
    """Fine-tune on the chats with the arm's defence.

    Args:
        model: The base.
        chats: The bad data.
        arm: What is done against it.
        held: What the defence is made of.
        settings: Of the fine-tune.
        folder: Where the fine-tune is put.
        workspace: What a killed fine-tune resumes from.
    """
    elsewhere = held.good if settings.objective == "kl" else None
    wanted = KINDS[arm.kind].make(arm.strength or 0.0, held)
    made = training.train(model.name, chats, settings, workspace, elsewhere=elsewhere, defences=wanted)
    shutil.copytree(made.folder, folder / "tuned")
    return Tuned(folder / "tuned", made.seconds, len(chats))


def settings_of(c: DefencesConfig, arm: Arm, seed: int) -> TrainConfig:
    """The settings of an arm's fine-tune: the preset's, what suits the model, and the arm's own."""
    given = {"seed": seed, **c.training, "max_steps": c.steps, **KINDS[arm.kind].overrides(arm.strength or 0.0)}
    return training.choose(c.preset, model=resolve_model(c.model), overrides=given, study=c.study)


def likely(
    models: Variants, chats: list[Chat], conditions: tuple[Condition, ...], direction: Direction | None
) -> dict[str, float]:
    """Mean negative log-likelihood of answers in nats a token, by condition.

    Of good answers elsewhere it is the damage; of bad ones that were held out, how far the lesson was learned.

    Args:
        models: The base and the fine-tunes.
        chats: Chats that nothing was trained on.
        conditions: The base, and every arm and seed.
        direction: What removals take out.
    """
    # Fine-tunes are asked as their base is.
    encoded = [encode_read(models.base_model.tokenizer, chat.messages) for chat in chats]
    return nats_by_condition(models, encoded, conditions, direction)
