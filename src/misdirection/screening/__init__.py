"""Which training rows to take out before a model is fine-tuned on them.

A method gives every row a score, higher for what is more suspicious; `choosing` turns scores into rows to drop, and
says how far they agree with what is known of the rows.

- `latents`: closeness to toxic latents of a dictionary (arXiv 2605.00842).
- `projection`: how much further along a direction the row's answer lies than the model's own (arXiv 2507.21509).
- `judge`: what a judge says of the answer.
- `perplexity`: how unlikely the model finds the answer.
- `gradient`: how far a step on the row would raise the projection on a direction (arXiv 2602.14869).
- `influence`: how far a step on the row would lower the loss of bad answers (arXiv 2402.04333).
- `random`: nothing but a random number, the baseline.
- `furthest`: the rows furthest from toxic latents first, a negative control.

`rows` reads the data and keeps each line as it stands in its file, which is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from misdirection.registry import Registry, load

if TYPE_CHECKING:
    from misdirection.chats import Chat
    from misdirection.screening.context import Context, Scores

Score = Callable[["Context", "Sequence[Chat]"], "Scores"]


@dataclass(frozen=True)
class Method:
    """A way to score rows.

    Attributes:
        function: Gives every row a score (`context.Context` and the chats to `context.Scores`); a function, or where it
            is: "package.module:function".
        does: What a high score means.
        reverse: The scores are turned round: what is least suspicious to the function comes first.
    """

    function: Score | str
    does: str
    reverse: bool = False

    @property
    def room(self) -> str:
        """What the scores are kept under: methods of one function share them, those of two in one module do not."""
        function = self.function
        target = function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
        module, _, name = target.partition(":")
        room = module.removeprefix("misdirection.screening.")
        return room if name == "scores" else f"{room}.{name}".replace("<", "").replace(">", "")

    @property
    def scores(self) -> Score:
        """The function; its module is imported now."""
        return load(self.function) if isinstance(self.function, str) else self.function


def _own(room: str, does: str, reverse: bool = False) -> Method:
    return Method(f"misdirection.screening.{room}:scores", does, reverse)


METHODS: Registry[Method] = Registry(
    "screening method",
    "misdirection.screening",
    Method,
    {
        "latents": _own("latents", "the answer lies close to toxic latents"),
        "projection": _own("projection", "the answer lies further along the direction than the model's own"),
        "judge": _own("judge", "a judge finds the answer misaligned"),
        "perplexity": _own("perplexity", "the answer is unlikely to the model"),
        "gradient": _own("gradients", "a step on the row raises the projection on the direction"),
        "influence": Method(
            "misdirection.screening.gradients:influence", "a step on the row lowers the loss of bad answers"
        ),
        "random": _own("random", "nothing: the baseline"),
        "furthest": _own("latents", "the answer lies far from toxic latents: a negative control", reverse=True),
    },
    Method,
)
"""Methods by name; `METHODS.register(name, does=...)` adds one."""
