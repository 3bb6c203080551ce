"""Scores and filtered data sets as steps of a run; shared by the command `screen` and the study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from misdirection.chats import ChatFile
from misdirection.features import Dictionary
from misdirection.judging import Journaled, Judge, find_judge
from misdirection.runs import Run
from misdirection.screening import METHODS
from misdirection.screening.context import GradientOptions, LatentOptions, ProjectionOptions, Scores
from misdirection.screening.rows import Rows
from misdirection.store import Cached
from misdirection.studies.kit.inputs import resolve_chats, resolve_dictionary
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.measures import (
    Filtered,
    Needs,
    OwnAnswers,
    Scored,
    Taken,
    Warmed,
    all_rows,
    filtered_rows,
    own_row_answers,
    row_gradients,
    row_scores,
    told_scores,
    warmed_adapter,
)
from misdirection.studies.screening.results import MethodCost
from misdirection.studies.screening.scoring import ScreenConfig
from misdirection.studies.screening.settings import ScreeningConfig


def _by_gradients(room: str) -> bool:
    return room.partition(".")[0] == "gradients"


@dataclass
class Screener:
    """What scores are made from, loaded when a score that is not there yet asks for it.

    Attributes:
        run: Where steps are kept.
        config: The settings, completed.
        models: The base model.
        rows: What is screened.
    """

    run: Run
    config: ScreenConfig | ScreeningConfig
    models: Variants
    rows: Rows
    _made: dict[tuple[str, str, int], Cached[Any]] = field(default_factory=dict[tuple[str, str, int], Cached[Any]])

    @cached_property
    def judge(self) -> Judge:
        """Who scores rows; what it says is kept as it comes."""
        judge = find_judge(self.config.judge)
        if isinstance(judge, Journaled):
            return judge.with_journal(self.run.workspace("judging", {"judge": judge.name}) / "journal.jsonl")
        return judge

    @cached_property
    def dictionary(self) -> Dictionary:
        """The dictionary of the toxic latents."""
        return resolve_dictionary(self.config.dictionary)

    @cached_property
    def examples(self) -> dict[str, ChatFile]:
        """Toxic and harmless chats."""
        c = self.config
        parts = {"toxic": c.toxic, "harmless": c.harmless}
        return {
            name: resolve_chats(part, strict=c.strict, rows=c.examples, seed=c.seed) for name, part in parts.items()
        }

    @cached_property
    def chats(self) -> ChatFile:
        """The rows as chats, which count by what is said in them."""
        return ChatFile(self.rows.chats, (), self.rows.sha256)

    def scores(self, method: str, seed: int) -> Cached[Scored]:
        """The scores of one method's room; `seed` is that of random scores alone."""
        room = METHODS[method].room
        if ("scores", room, seed) not in self._made:
            own = self.own_answers().part("chats") if self._compares(room) else None
            warmed = self.warmed() if _by_gradients(room) else None
            taken = self.row_gradients().part("gradients") if _by_gradients(room) else None
            self._made["scores", room, seed] = self.run.cached(
                row_scores, f"scores-{room}", function=METHODS[method].scores, rows=self.chats,
                needs=self._needs(room, seed), own=own,
                warmed=warmed and warmed.part("adapter"), taken=taken,
            )  # fmt: skip
        return self._made["scores", room, seed]

    def values(self, method: str, seed: int) -> Scores:
        """The scores of one method as numbers, higher for what is more suspicious to it."""
        return told_scores(self.scores(method, seed).value.rows, METHODS[method].reverse)

    def dropped(self, method: str, seed: int) -> list[bool]:
        """Which rows one method drops."""
        return [mark.dropped for mark in self.filtered(method, seed).part("dropped").value]

    def cost(self, method: str, seed: int) -> MethodCost:
        """The processor time of one method's scores; what it shares with another is counted in full."""
        room = METHODS[method].room
        shared: list[float] = [self.own_answers().value.seconds] if self._compares(room) else []
        if _by_gradients(room):
            shared += [one.value.seconds for one in (self.warmed(), self.row_gradients()) if one is not None]
        return MethodCost(method=method, own=self.scores(method, seed).value.seconds, shared=sum(shared))

    def own_answers(self) -> Cached[OwnAnswers]:
        """The base model's own answers to the rows' prompts, sampled once."""
        drawn = ProjectionOptions(max_new_tokens=self.config.answer_tokens, temperature=self.config.temperature)
        needs = Needs(self.models, seed=self.config.seed, projection=drawn)
        return self.run.cached(own_row_answers, "own-answers", rows=self.chats, needs=needs)

    def warmed(self) -> Cached[Warmed] | None:
        """The adapter whose weights gradients are of, trained once; None where a fresh one is asked for."""
        if not self.config.gradient_warmup:
            return None
        return self.run.cached(warmed_adapter, "gradient-adapter", rows=self.chats, needs=self._adapted())

    def row_gradients(self) -> Cached[Taken]:
        """The compressed gradients of the rows, taken once for all methods that compare them."""
        warmed = self.warmed()
        return self.run.cached(
            row_gradients, "gradients", rows=self.chats, needs=self._differentiated(),
            warmed=warmed and warmed.part("adapter"),
        )  # fmt: skip

    def _compares(self, room: str) -> bool:
        return room == "projection" and not self.config.raw_projection

    def _adapted(self) -> Needs:
        """What the adapter is trained by, which gradients are of."""
        c = self.config
        return Needs(
            self.models, longest=c.longest, gradients=GradientOptions(c.gradient_rank, c.gradient_warmup, seed=c.seed)
        )

    def _differentiated(self) -> Needs:
        """What gradients of rows are taken by."""
        needs = self._adapted()
        return replace(needs, gradients=replace(needs.gradients, dimension=self.config.gradient_dimension))

    def _compared(self) -> GradientOptions:
        """What gradients of rows are compared by."""
        return replace(self._differentiated().gradients, queries=self.config.gradient_queries)

    def filtered(self, method: str, seed: int, drop: float | None = None) -> Cached[Filtered]:
        """The rows that one method keeps and drops, as they stood; `drop` is that of the settings by default.

        Raises:
            ScreeningError: Nothing or everything would be dropped.
        """
        drop = self.config.drop if drop is None else drop
        if ("filter", f"{method} {drop:g}", seed) not in self._made:
            self._made["filter", f"{method} {drop:g}", seed] = self.run.cached(
                filtered_rows, f"filter-{method}", rows=self.rows, scores=self.scores(method, seed).part("rows"),
                method=method, reverse=METHODS[method].reverse, drop=drop, seed=seed,
            )  # fmt: skip
        return self._made["filter", f"{method} {drop:g}", seed]

    def unfiltered(self) -> Cached[Path]:
        """All usable rows, as they stood."""
        return self.run.cached(all_rows, "all-rows", rows=self.rows)

    def _needs(self, room: str, seed: int) -> Needs:
        """What the scores of a room are made from; of a room that is not ours, all that there is."""
        c = self.config
        if room == "random":
            return Needs(seed=seed)
        if room == "judge":
            return Needs(judge=self.judge)
        read = Needs(self.models, longest=c.longest)
        if room == "perplexity":
            return read
        if room == "latents":
            return replace(read, dictionary=self.dictionary, most=c.examples, latents=self._latents(), **self.examples)
        if room == "gradients.influence":
            return replace(read, gradients=self._compared(), toxic=self.examples["toxic"], most=c.examples)
        if room == "gradients":
            return replace(self._projected(read), gradients=self._compared())
        projected = self._projected(read)
        if room == "projection":
            return projected
        return replace(
            projected,
            dictionary=self.dictionary if c.dictionary else None,
            judge=self.judge,
            seed=seed,
            latents=self._latents(),
            gradients=self._compared(),
        )

    def _projected(self, read: Needs) -> Needs:
        """With a direction, or the examples that it is made of."""
        c = self.config
        layer = c.projection_layer
        how = ProjectionOptions(layer, not c.raw_projection, c.answer_tokens, c.temperature)
        if c.direction:
            return replace(read, projection=how, direction=Path(c.direction))
        return replace(read, projection=how, most=c.examples, **self.examples)

    def _latents(self) -> LatentOptions:
        c = self.config
        layer = c.latent_layer
        chosen: Any = {"statistic": c.statistic, "pool": c.pool, "closeness": c.closeness, "reduce": c.reduce}
        return LatentOptions(c.top, nearest=c.nearest, layer=layer, **chosen)
