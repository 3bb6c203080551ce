"""Before a word is said: where the last token of a prompt lies along traits (2507.21509 sections 3.3 and 4.2).

Projection on a trait: (a . v) / ||v||, in units of the residual stream, with a the residual stream after a layer at the
last token of the prompt and v the trait's vector there. Under system prompts and many-shot prompts it is set beside the
trait's score in the answers that follow; under a fine-tune its mean change is the "finetuning shift".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from misdirection.answers import prompt_ids
from misdirection.chats import Chat
from misdirection.directions import Direction
from misdirection.engine import Arm, Text, capture_projections
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.questions.demonstrated import demonstrated, drawn_chats
from misdirection.traits.trait import SIGNS, Trait

Kind = Literal["system", "many-shot"]


@dataclass(frozen=True)
class WatchedPrompt:
    """One question behind one prompt.

    Attributes:
        kind: "system" or "many-shot".
        prompt: The prompt's name, as "evil, positive 0", "evil, 4 shots" or "no system prompt".
        trait: The trait that it pushes towards or away from; "" for neither.
        text: The question alone.
        question: As it is asked.
    """

    kind: Kind
    prompt: str
    trait: str
    text: str
    question: Question


def watched_prompts(
    traits: Sequence[Trait],
    asked: Sequence[str],
    shown: Mapping[str, Sequence[Chat]],
    shots: Sequence[int],
    seed: int = 0,
    name: str = "watched",
) -> tuple[WatchedPrompt, ...]:
    """Every question behind every prompt: none, both sides of each trait's pairs, and its demonstrations.

    Args:
        traits: With contrasts.
        asked: The questions.
        shown: By trait, chats that show it, for many-shot prompts; a trait without any has none.
        shots: Numbers of demonstrations; those that a trait has too few chats for are left out.
        seed: Of the draw of demonstrations, one for each question.
        name: What the ids of the questions begin with.
    """
    found: list[WatchedPrompt] = []
    for number, text in enumerate(asked):
        plain = Question(f"{name}/{number}", (text,), source="trait")
        found.append(WatchedPrompt("system", "no system prompt", "", text, replace(plain, id=f"{plain.id}_plain")))
        for trait in traits:
            for pair in range(len(trait.contrasts)):
                for sign in SIGNS:
                    put = replace(plain, id=f"{plain.id}_{trait.name}-{sign}-{pair}")
                    put = replace(put, system=trait.system(sign, pair))
                    found.append(WatchedPrompt("system", f"{trait.name}, {sign} {pair}", trait.name, text, put))
            chats = [chat for chat in shown.get(trait.name, ()) if chat.messages[0].content != text]
            for count in (k for k in shots if 0 < k <= len(chats)):
                drawn = drawn_chats(chats, count, seed, f"{trait.name}/{number}")
                put = demonstrated(plain, drawn, f"{trait.name}-{count}-shots")
                said = f"{trait.name}, {count} shot{'s' if count > 1 else ''}"
                found.append(WatchedPrompt("many-shot", said, trait.name, text, put))
    return tuple(found)


def prompt_projections(
    model: Model, questions: Sequence[Question], directions: Mapping[str, Direction], layers: Mapping[str, int],
    arm: Arm | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Projection of the last prompt token of each question on each direction, at its own layer.

    Args:
        model: The resident model.
        questions: Asked by their first wording.
        directions: By name; they are brought to length 1.
        layers: By name, the decoder layer that is read.
        arm: Condition; the base by default.

    Returns:
        Shape (questions, directions), in the order of `directions`.
    """
    arm = arm or Arm("base")
    names = list(directions)
    by_layer: dict[int, list[str]] = {}
    for name in names:
        by_layer.setdefault(layers[name], []).append(name)
    units = {layer: torch.stack([directions[name].unit[layer] for name in held]) for layer, held in by_layer.items()}
    prompts = [prompt_ids(model, question) for question in questions]
    texts = [Text(ids, {}, arm, len(ids)) for ids in prompts]
    found = np.empty((len(questions), len(names)))
    for row, held in enumerate(capture_projections(model, texts, units)):
        for layer, values in held.items():
            for place, name in enumerate(by_layer[layer]):
                found[row, names.index(name)] = float(values[-1, place])
    return found
