"""What `misdirection sae` trains and measures dictionaries on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import ModelConfig, option


@dataclass(frozen=True)
class SaeConfig(ModelConfig):
    """The model, its variants, and the corpus; each field's metadata holds its help text."""

    study: ClassVar[str] = "sae"
    adapter: str | None = option(None, "PEFT adapter of a tuned variant: hub id or folder")
    tuned: str | None = option(None, "whole tuned variant, instead of an adapter: hub id or folder")
    variant: str = option("base", "which variant to train on: base or tuned; both are measured")
    data: tuple[str, ...] = option(
        (), "corpus: .jsonl or .jsonl.gz files of chats or of texts, or organism:<quality>-<domain>"
    )
    layers: tuple[int, ...] = option((), "decoder layers, from 0, one dictionary each; by default the middle one")
    span: str = option("all", "which tokens of a chat are read: all, answer, prompt, answer_and_end, header_to_end")
    first: int = option(1, "tokens at the start of every text that are left out, for their states are outliers")
    longest: int = option(512, "tokens a text may have; more is cut off")
    held_out: int = option(20_000, "tokens to measure on, held out of training; at most a tenth of the corpus")
    strict: bool = option(False, "stop at the first bad row instead of setting it aside")

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants of the model."""
        return ("base", "tuned") if self.adapter or self.tuned else ("base",)

    def checked(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Settings that exclude each other, no corpus, or a number out of range.
        """
        if self.adapter and self.tuned:
            raise MisdirectionError("--adapter and --tuned are both given", "give the one that is the tuned variant")
        if self.variant not in self.variants:
            raise MisdirectionError(
                f"--variant is '{self.variant}'", "base, or tuned together with --adapter or --tuned"
            )
        c = self.recommended()
        if not c.data:
            raise MisdirectionError("there is no corpus", "give --data FILE: chats or texts, one JSON object a line")
        for name, least in (("first", 0), ("longest", 2), ("held_out", 1)):
            c.at_least(name, least)
        return c
