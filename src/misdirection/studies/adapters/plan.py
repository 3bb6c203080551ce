"""How much is done when adapters are intervened on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InterventionPlan:
    """How much is done.

    Attributes:
        topic: The domain of the fine-tune, as the judge scores it and questions name it.
        samples: Answers a question and arm; None takes the study's, 10 at most.
        doses: Shares of the paper's factors.
        pairs_up_to: Every two layers are left out where there are no more layers than this.
        patch_pairs: Pairs of prompts in a group of patching.
        patch_samples: Answers a pair.
        read: Answers of a kind that are read for similarity.
        contexts: Tokens at either end of each adapter's scalars.
        corpus: Answers that are searched for them.
        shown: Answers that are shown token by token.
        layers: Layers that are looked at one by one, where an adapter has more.
    """

    topic: str = "medical"
    samples: int | None = None
    doses: tuple[float, ...] = (0.05, 0.1, 0.2, 1.0)
    pairs_up_to: int = 12
    patch_pairs: int = 10
    patch_samples: int = 8
    read: int = 30
    contexts: int = 12
    corpus: int = 2000
    shown: int = 8
    layers: int = 12
