"""Settings of the study of rows in context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import option
from misdirection.studies.kit.tuned_config import TunedConfig


@dataclass(frozen=True)
class InContextConfig(TunedConfig):
    """Do rows of a data set in the prompt misalign a model, and is it the same as training on them?

    The base model answers the questions behind k rows of --data, for several k, and behind as many rows of --good where
    they are given; beside it the fine-tune on the same data without any row. What the rows move inside the base model,
    read on the base's own answers, is set beside what fine-tuning moves (cosine of the two drifts by layer).

    Example: misdirection study in_context --out runs/in-context
    """

    shots: tuple[int, ...] = option((2, 4, 8, 16, 32, 64), "rows in the prompt (those that leave no room are left out)")
    rows: tuple[str, ...] = option(
        (), "chats that are put into the prompt; --data by default, and needed where a fine-tune is given"
    )
    good: tuple[str, ...] = option((), "good rows to put there instead: a control")
    drift_answers: int = option(4, "answers of the base a question on which drifts are read")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Nothing was tuned, no rows are named, no judge, or a number out of range.
        """
        c = self.recommended()
        c.at_least("drift_answers", 1)
        if not c.shots or min(c.shots) < 1:
            raise MisdirectionError("--shots must be 1 or more each", "--shots 2,4,8")
        whole = super(InContextConfig, c).completed()
        if not (whole.rows or whole.data):
            raise MisdirectionError("no rows to put into the prompt", "--rows FILE: the chats that it was tuned on")
        return whole.judged("rates need")
