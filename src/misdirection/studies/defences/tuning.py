"""Fine-tunes with defences: measurements that a run keeps."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from misdirection import training
from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.store import Folder, Workspace
from misdirection.studies.defences.arms import KINDS, DefenceArm
from misdirection.studies.defences.making import Materials, Risen
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.costs import Cost, counted
from misdirection.studies.kit.inputs import resolve_model
from misdirection.studies.kit.likelihood import nats_by_condition
from misdirection.studies.kit.tuning import asking_overrides
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read
from misdirection.training import TrainConfig


@dataclass(frozen=True)
class Tuned:
    """A fine-tune, or one that was repaired.

    Attributes:
        adapter: Its folder: an adapter, or a whole model; None where the repair cannot be made.
        cost: What it cost, the loading of the base left aside.
        refused: Why there is none.
    """

    adapter: Path | None
    cost: Cost
    refused: str = ""


def defended(
    models: Variants,
    chats: list[Chat],
    arm: DefenceArm,
    held: Materials,
    settings: TrainConfig,
    folder: Folder,
    workspace: Workspace,
) -> Tuned:
    """Fine-tune the base on the chats with the arm's defence.

    Args:
        models: The base, which stays in memory for the next.
        chats: What it learns.
        arm: What is done against it.
        held: What the defence is made of.
        settings: Of the fine-tune.
        folder: Where the fine-tune is put.
        workspace: What a killed fine-tune resumes from.
    """
    base = models.base_model
    if held.dictionary is not None:
        held = replace(held, dictionary=held.dictionary.to(base.device))
    elsewhere = held.good if settings.objective == "kl" else None
    wanted = KINDS[arm.kind].make(arm.strength or 0.0, held)
    with counted(str(base.device)) as cost:
        made = training.train(base, chats, settings, workspace, elsewhere=elsewhere, defences=wanted)
    # Of a fine-tune that was killed this session saw a part alone.
    cost.seconds *= made.steps / max(1, made.steps - (made.resumed_from or 0))
    shutil.copytree(made.folder, folder / "tuned")
    return Tuned(folder / "tuned", cost)


def likely(
    models: Variants, chats: list[Chat], conditions: tuple[Condition, ...], direction: Direction | None
) -> dict[str, float]:
    """Mean negative log-likelihood of answers in nats a token, by condition.

    Of bad ones that were held out it tells how far the lesson was learned.

    Args:
        models: The base and the fine-tunes.
        chats: Chats that nothing was trained on.
        conditions: What is done to which of them.
        direction: What removals take out.
    """
    # Fine-tunes are asked as their base is.
    encoded = [encode_read(models.base_model.tokenizer, chat.messages) for chat in chats]
    return nats_by_condition(models, encoded, conditions, direction)


def used_by(arm: DefenceArm, held: Materials) -> Materials:
    """Of the materials what an arm uses: what it does not use is no part of its key."""
    kind = KINDS[arm.kind]
    return Materials(
        good=held.good if kind.wants_good else (),
        direction=held.direction if kind.wants_direction else None,
        layer=held.layer if kind.wants_direction else 0,
        prompts={name: text for name, text in held.prompts.items() if name == arm.kind},
        dictionary=held.dictionary if kind.wants_dictionary else None,
        latents=held.latents if kind.wants_dictionary else None,
    )


def settings_of(c: DefencesConfig, arm: DefenceArm, seed: int) -> TrainConfig:
    """The settings of an arm's fine-tune: the preset's, what suits the model, and the arm's own."""
    own = KINDS[arm.kind].overrides(arm.strength or 0.0)
    given = {"seed": seed, **asking_overrides(c), **c.training, "max_steps": c.steps, **own}
    return training.choose(c.preset, model=resolve_model(c.model), overrides=given, study=c.study)


def moved_latents(models: Variants, variant: str, chats: list[Chat], held: Materials, most: int) -> Risen:
    """The latents of a dictionary that a fine-tune moved furthest, on its own answers, both ways.

    Args:
        models: The base and the fine-tune.
        variant: The fine-tune.
        chats: Its answers, read by both.
        held: With the dictionary.
        most: How many, of each sign.
    """
    from misdirection.engine import Arm
    from misdirection.features.corpus import chat_texts
    from misdirection.features.differences import Side, compare_texts

    assert held.dictionary is not None
    arms = ((variant, models.arm(variant)), ("base", Arm("base")))
    sides = [Side(models.model(name), chat_texts(chats, models.base_model.tokenizer, arm)) for name, arm in arms]
    found = compare_texts(held.dictionary, *sides, shuffles=0, places=1).differences
    rising, falling = (
        tuple(latent for latent in found.top(most, sign) if sign * float(found.value[latent]) > 0) for sign in (1, -1)
    )
    return Risen(rising, falling)
