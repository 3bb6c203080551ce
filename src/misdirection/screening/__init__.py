"""Which training rows to take out before a model is fine-tuned on them.

A method gives every row a score, higher for what is more suspicious; `choosing` turns scores into rows to drop, and
says how far they agree with what is known of the rows.

- `latents`: closeness to toxic latents of a dictionary (arXiv 2605.00842).
- `projection`: how much further along a direction the row's answer lies than the model's own (arXiv 2507.21509).
- `judge`: what a judge says of the answer.
- `perplexity`: how unlikely the model finds the answer.
- `random`: nothing but a random number, the baseline.
- `furthest`: the rows furthest from toxic latents first, a negative control.

`rows` reads the data and keeps each line as it stands in its file, which is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from misdirection.chats import Chat
    from misdirection.screening.context import Context, Scores

    Score = Callable[[Context, Sequence[Chat]], Scores]


@dataclass(frozen=True)
class Method:
    """A way to score rows.

    Attributes:
        room: Module of this package whose function `scores` does it.
        does: What a high score means.
        reverse: The scores are turned round: what is least suspicious to the room comes first.
    """

    room: str
    does: str
    reverse: bool = False

    @property
    def scores(self) -> Score:
        """The function; its module is imported now."""
        return import_module(f"misdirection.screening.{self.room}").scores


METHODS = {
    "latents": Method("latents", "the answer lies close to toxic latents"),
    "projection": Method("projection", "the answer lies further along the direction than the model's own"),
    "judge": Method("judge", "a judge finds the answer misaligned"),
    "perplexity": Method("perplexity", "the answer is unlikely to the model"),
    "random": Method("random", "nothing: the baseline"),
    "furthest": Method("latents", "the answer lies far from toxic latents: a negative control", reverse=True),
}
"""Methods by name."""
