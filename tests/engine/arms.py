"""One arm of every kind, to be mixed in one batch."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

import torch
from tests.families import LAYERS, WIDTH, vector

from misdirection.engine import Ablate, Arm, Cap, Clamp, PatchAdapter, ScaleAdapter, Set, Steer
from misdirection.features.dictionary import Dictionary
from misdirection.models import Model

Positions = Literal["all", "prompt", "answer"]


def recorded(model: Model, adapter: str, tokens: int, seed: int = 0) -> PatchAdapter:
    """Random scalars for the text modules of an adapter."""
    scalars = {}
    for number, (path, module) in enumerate(model.lora[adapter].items()):
        if "vision" not in path:
            rank = module.get_submodule(f"lora_A.{adapter}").out_features
            scalars[path] = vector(seed + number, tokens, rank)
    return PatchAdapter(scalars)


def dictionary(activation: Literal["relu", "jumprelu", "topk"], layer: int = 1) -> Dictionary:
    """A random dictionary of 24 latents, half of which or so fire."""
    return Dictionary(
        vector(31, WIDTH, 24),
        vector(32, 24, WIDTH),
        vector(33, 24),
        vector(34),
        activation=activation,
        threshold=torch.full((24,), 0.5) if activation == "jumprelu" else None,
        k=6 if activation == "topk" else None,
        subtracts=activation != "relu",
        input_scale=0.5 if activation == "jumprelu" else 1.0,
        layer=layer,
    )


@contextmanager
def tokens_run(model: Model) -> Generator[list[tuple[int, ...]]]:
    """The shape, (rows, tokens), of what each forward pass embeds."""
    seen: list[tuple[int, ...]] = []
    embed = model.lm.get_input_embeddings()
    handle = embed.register_forward_hook(lambda _module, given, _out: seen.append(tuple(given[0].shape)))
    try:
        yield seen
    finally:
        handle.remove()


def mixture(model: Model) -> list[Arm]:
    """Base, tuned through either adapter, and each intervention at several layers and positions, alone and composed."""
    one, two, many = vector(1), vector(2), vector(3, LAYERS, WIDTH)
    values = torch.linspace(-2, 2, LAYERS)
    return [
        Arm("base"),
        Arm("one", "one"),
        Arm("all", "all"),
        Arm("steer", None, (Steer(one, (1,), 2.0),)),
        Arm("steer-answer", None, (Steer(one, (0, 3), -1.5, "answer"),)),
        Arm("steer-prompt", "one", (Steer(many, (0, 1, 2), 1.0, "prompt"),)),
        Arm("ablate", "one", (Ablate(two, tuple(range(LAYERS))),)),
        Arm("ablate-prompt", "all", (Ablate(many, (1, 2), "prompt"),)),
        Arm("set", None, (Set(two, (2,), 3.0),)),
        Arm("set-answer", "all", (Set(many, (0, 1, 2, 3), values, "answer"),)),
        Arm("cap", "one", (Cap(two, (0, 2), torch.linspace(-1, 1, LAYERS)),)),
        Arm("cap-answer", None, (Cap(many, (1, 3), {1: -2.0, 3: 0.5}, "answer"),)),
        Arm("clamp", "all", (Clamp(dictionary("relu"), (3, 7), torch.tensor([0.0, 4.0])),)),
        Arm("clamp-top", None, (Clamp(dictionary("topk", 2), 5, 2.0, positions="prompt"), Ablate(one, (2,)))),
        Arm("clamp-jump", "one", (Cap(one, (1,), -0.5), Clamp(dictionary("jumprelu"), (0, 1, 2), 1.0))),
        Arm("zero", None, (Steer(one, (0, 1, 2), 0.0), Steer(torch.zeros(WIDTH), (3,), 1.0))),
        Arm("composed", "one", (Steer(one, (1, 2), 1.0), Ablate(one + two, (1,)), Set(two, (1, 3), -1.0, "answer"))),
        Arm("composed-back", "one", (Set(two, (1,), -1.0), Ablate(one + two, (1,), "prompt"), Steer(one, (1,), 1.0))),
        Arm("scaled", "all", (ScaleAdapter({1: 0.0, 2: 2.5}, others=0.5),)),
        Arm("scaled-twice", "one", (ScaleAdapter({1: 3.0}), ScaleAdapter({2: -1.0}), Ablate(one, (2,)))),
        Arm("patched", "one", (recorded(model, "one", 12),)),
        Arm("patched-all", "all", (recorded(model, "all", 4), ScaleAdapter({}, 0.5), Steer(two, (2,), 1.0, "answer"))),
    ]
