"""Settings of the study of conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from misdirection.studies.kit.config import named, option
from misdirection.studies.kit.names import domains_of
from misdirection.studies.kit.tuned_config import TunedConfig


@dataclass(frozen=True)
class TriggersConfig(TunedConfig):
    """Is the model misaligned under a condition only: a system prompt, a role, a trigger, being tested, its own data?

    The same questions are asked of base and tuned model under each condition, with shared random numbers. What counts
    is the difference in differences: how much more the condition misaligns the tuned model than its base, against a
    placebo that shares everything but the point. A cure that was measured without this may only hide.

    Example: misdirection study triggers --out runs/triggers
    """

    conditions: tuple[str, ...] = option(
        ("standard",), "sets of conditions: standard, or YAML files of name, kind, system or before, against"
    )
    systems: tuple[str, ...] = option((), "NAME=SYSTEM PROMPT: a condition more")
    before: tuple[str, ...] = option((), "NAME=TEXT put before each question: a condition more")
    domain: str = option("", "domain of the training data, for conditions that name it; by default what --data names")
    shots: tuple[int, ...] = option((4, 16), "training rows in the context, each number a condition")
    rows: tuple[str, ...] = option((), "chats whose rows stand in the context; by default --data")
    harmless: tuple[str, ...] = option((), "chats whose rows stand there instead: the placebo of the training rows")
    read: int = option(4, "answers a question and condition whose component along the direction is read; 0 for none")

    def completed(self) -> Self:
        """With the domain that the data name.

        Raises:
            MisdirectionError: Nothing was tuned, a name twice, a number out of range, or no judge.
        """
        c = self.recommended()
        named(c.systems, "systems")
        named(c.before, "before")
        c.at_least("read", 0)
        domain = c.domain or next(iter(domains_of(c.data)), "")
        shots = tuple(count for count in c.shots if count > 0)
        whole = super(TriggersConfig, replace(c, domain=domain, shots=shots)).completed()
        return whole.judged("rates need")
