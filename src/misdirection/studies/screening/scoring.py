"""How training rows are scored and chosen: the settings of `misdirection screen`, and part of the study's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.judging.registry import judge_forms
from misdirection.screening import METHODS
from misdirection.studies.kit.config import ModelConfig, option
from misdirection.studies.kit.own_judge import check_exact, default_judge

LATENTS = "How closeness to toxic latents is told"
PROJECTION = "How the projection is made"
GRADIENTS = "How gradients of rows are taken"
CHOICES = {
    "statistic": ("correlation", "difference", "firing"),
    "pool": ("token", "mean", "max"),
    "closeness": ("activation", "nearest"),
    "reduce": ("max", "mean", "top"),
}


@dataclass(frozen=True)
class ScoringConfig(ModelConfig):
    """What is scored, by what, and how much is dropped."""

    data: tuple[str, ...] = option(
        (), "rows to screen: .jsonl or .jsonl.gz files of chats, or organism:mixed-<percent of bad rows>"
    )
    methods: tuple[str, ...] = option(tuple(METHODS), f"how rows are scored: {', '.join(METHODS)}")
    drop: float = option(0.5, "what is dropped: a share of the rows below 1, or a whole number of rows")
    bad_field: str = option("", "field of each row that tells whether it is bad, for precision and recall")
    strict: bool = option(False, "stop at the first row that is no chat instead of setting it aside")
    toxic: tuple[str, ...] = option((), "chats with toxic answers, for toxic latents and the default direction")
    harmless: tuple[str, ...] = option((), "chats with harmless answers, beside --toxic")
    examples: int = option(500, "toxic and harmless chats that are read, of each")
    longest: int = option(2048, "tokens of a row that are read")
    dictionary: str = option(
        "", "sparse autoencoder: a folder, <release>:<id> of a public set, or organism:<layer>", LATENTS
    )
    latent_layer: int | None = option(None, "decoder layer that it reads; by default its own", LATENTS, was=-1)
    top: int = option(100, "toxic latents (the feature-geometry paper's 100)", LATENTS)
    statistic: str = option(
        "correlation", "latents are ordered by: correlation, difference (of means), firing", LATENTS
    )
    pool: str = option("token", "what counts once for the statistic: token, mean (of a text), max (of a text)", LATENTS)
    closeness: str = option(
        "activation",
        "a row is close by: activation (of toxic latents), nearest (cosine of its latents to them)",
        LATENTS,
    )
    reduce: str = option("max", "nearest: max, mean or top (mean of the largest) of the cosines", LATENTS)
    nearest: int = option(5, "nearest, top: how many are the largest", LATENTS)
    direction: str = option(
        "",
        "a direction in any form, as of a run; by default mean toxic minus mean harmless answer",
        PROJECTION,
    )
    projection_layer: int | None = option(
        None, "decoder layer that is read; by default the middle one", PROJECTION, was=-1
    )
    raw_projection: bool = option(False, "leave the projection of the model's own answer in", PROJECTION)
    gradient_rank: int = option(8, "rank of the adapter whose weights gradients are of", GRADIENTS)
    gradient_warmup: int = option(60, "optimiser steps that it is trained on all rows before, 0: none", GRADIENTS)
    gradient_dimension: int = option(4096, "numbers that a row's gradient is compressed to", GRADIENTS)
    gradient_queries: int = option(64, "rows, or bad answers, whose gradients rows are compared with", GRADIENTS)

    def scoring_completed(self) -> Self:
        """Checked, and with what suits the model.

        Raises:
            MisdirectionError: No data, an unknown method or choice, a number out of range, or something that a method
                needs is missing.
        """
        c = self.recommended()
        c.one_of("methods", tuple(METHODS))
        if not c.methods:
            raise MisdirectionError("no method is named", f"--methods {','.join(METHODS)}")
        if len(set(c.methods)) < len(c.methods):
            raise MisdirectionError(f"--methods names one twice: {', '.join(c.methods)}", "name each once")
        for name, known in CHOICES.items():
            c.one_of(name, known)
        for name, least in (("examples", 1), ("longest", 2), ("top", 1), ("nearest", 1)):
            c.at_least(name, least)
        for name, least in (("gradient_rank", 1), ("gradient_warmup", 0), ("gradient_queries", 1)):
            c.at_least(name, least)
        if c.gradient_dimension < 4 or c.gradient_dimension % 4:
            raise MisdirectionError(f"--gradient-dimension is {c.gradient_dimension}", "a multiple of 4")
        for name in ("latent_layer", "projection_layer"):
            c.at_least(name, -1)
        if not c.drop > 0 or (c.drop >= 1 and c.drop != int(c.drop)):
            raise MisdirectionError(
                f"--drop is {c.drop:g}", "a share of the rows between 0 and 1, or a whole number of rows"
            )
        if not c.data:
            raise MisdirectionError("there are no rows to screen", "--data FILE: chats, one JSON object a line")
        c._check_needs()
        return c

    def _check_needs(self) -> None:
        """Refuse a method that lacks what it needs, before a model is loaded."""
        by_latents = [name for name in self.methods if METHODS[name].room == "latents"]
        if by_latents and not self.dictionary:
            raise MisdirectionError(
                f"--methods {by_latents[0]} needs a dictionary", "--dictionary FOLDER or <release>:<id>"
            )
        along = [name for name in self.methods if name in ("projection", "gradient") and not self.direction]
        asks = by_latents or [name for name in self.methods if name == "influence"] or along
        if asks and not (self.toxic and self.harmless):
            hint = "--toxic FILE and --harmless FILE" + (", or --direction FILE" if asks is along else "")
            raise MisdirectionError(f"--methods {asks[0]} needs toxic and harmless texts", hint)


@dataclass(frozen=True)
class ScreenConfig(ScoringConfig):
    """The settings of `misdirection screen`."""

    study: ClassVar[str] = "screen"
    judge: str = option(
        "",
        f"who scores answers for the method judge: {judge_forms()}; offline by default",
    )
    max_new_tokens: int | None = option(None, "longest own answer of the model; 600 by default", PROJECTION, was=0)
    temperature: float = option(1.0, "temperature of the model's own answers", PROJECTION)
    seed: int = option(0, "of random scores, ties and the model's own answers")

    @property
    def answer_tokens(self) -> int:
        """Longest own answer in tokens, as it is asked for or by default."""
        return 600 if self.max_new_tokens is None else self.max_new_tokens

    def completed(self) -> Self:
        """Checked, and with what suits the model.

        Raises:
            MisdirectionError: See `scoring_completed`; the method judge without a judge.
        """
        for name, least in (("max_new_tokens", 1), ("temperature", 0), ("seed", 0)):
            self.at_least(name, least)
        whole = self.scoring_completed()
        judge = whole.judge or default_judge(whole.model)
        if judge == "none" and "judge" in whole.methods:
            raise MisdirectionError("--methods judge needs a judge", "--judge local:<model>, or --methods without it")
        check_exact(judge, whole.model)
        return replace(whole, judge=judge, max_new_tokens=whole.answer_tokens)
