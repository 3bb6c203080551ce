"""Scores and filtered data sets as steps of a run; shared by the command `screen` and the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from misdirection.chats import Chat, ChatFile
from misdirection.directions import read_direction
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary
from misdirection.judging import Journaled, Judge, find_judge
from misdirection.models import Model
from misdirection.runs import Run
from misdirection.screening import METHODS
from misdirection.screening.choosing import agreement, choose_dropped
from misdirection.screening.context import Context, LatentOptions, ProjectionOptions, Scores
from misdirection.screening.projection import own_answers
from misdirection.screening.rows import Rows, rows_of, write_lines
from misdirection.screening.rows import read_rows as read_training_rows
from misdirection.store import Cached, Folder
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.inputs import resolve_chats, resolve_dictionary
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.results import Choice
from misdirection.studies.screening.scoring import ScoringConfig, ScreenConfig
from misdirection.studies.screening.settings import ScreeningConfig

if TYPE_CHECKING:
    from torch import Tensor

KEPT, DROPPED = "kept.jsonl", "dropped.jsonl"


def training_rows(config: ScoringConfig, seed: int) -> Rows:
    """The rows that the settings name, with what is known of them.

    Raises:
        MisdirectionError: A file is missing or holds no usable row, or --bad-field is not there.
    """
    if not any(spec.startswith(f"{ORGANISM}:") for spec in config.data):
        return read_training_rows(config.data, strict=config.strict, label=config.bad_field)
    if config.bad_field:
        raise MisdirectionError("--bad-field is of files", "what the organism's mixed rows are is known without it")
    from misdirection.organism import known_bad

    chats = resolve_chats(config.data, strict=config.strict, seed=seed)
    kinds = [chat.source.partition(":")[2] for chat in chats.chats]
    if not all(kinds):
        return rows_of(chats, None, ())
    return rows_of(chats, [known_bad(chat) for chat in chats.chats], kinds)


@dataclass(frozen=True)
class Needs:
    """What the scores of one room are made from: nothing that it does not read, for all of it stands in their key.

    Attributes:
        models: The base model.
        dictionary: Of the toxic latents.
        toxic: Chats with toxic answers.
        harmless: Chats with harmless ones.
        most: How many of each are read.
        direction: A file or folder with one, in any form.
        judge: Who scores rows.
        seed: Of random scores, or of the model's own answers.
        latents: How closeness to toxic latents is told.
        projection: How the projection is made.
        longest: Tokens of a row that are read.
    """

    models: Variants | None = None
    dictionary: Dictionary | None = None
    toxic: ChatFile | None = None
    harmless: ChatFile | None = None
    most: int = 0
    direction: Path | None = None
    judge: Judge | None = None
    seed: int = 0
    latents: LatentOptions = field(default_factory=LatentOptions)
    projection: ProjectionOptions = field(default_factory=ProjectionOptions)
    longest: int = 0

    def context(self, own: Sequence[Chat] | None = None) -> Context:
        """The same as a method takes it."""
        examples = [held.chats[: self.most] if held else () for held in (self.toxic, self.harmless)]
        return Context(
            self._model,
            dictionary=self.dictionary,
            toxic=examples[0],
            harmless=examples[1],
            direction=self._direction(),
            judge=self.judge,
            own_answers=own,
            seed=self.seed,
            latents=self.latents,
            projection=self.projection,
            longest=self.longest,
        )

    def _model(self) -> Model:
        if self.models is None:
            raise MisdirectionError("no model is named for these scores")
        return self.models.base_model

    def _direction(self) -> Tensor | None:
        """The direction that the settings name, in any form, one row a decoder layer."""
        if self.direction is None:
            return None
        model = self._model()
        return read_direction(self.direction, model.n_layers, model.width, self.projection.layer).vectors


@dataclass(frozen=True)
class Score:
    """How suspicious a row is; None where the method cannot tell."""

    score: float | None


@dataclass(frozen=True)
class Mark:
    """Whether a row is dropped."""

    dropped: bool


@dataclass(frozen=True)
class Filtered:
    """The rows that a method keeps and drops, as they stood.

    Attributes:
        kept: The file of those that are kept.
        out: The file of those that are dropped.
        dropped: For each row.
        choice: Counts, and agreement with what is known of the rows.
    """

    kept: Path
    out: Path
    dropped: list[Mark]
    choice: Choice


def row_scores(
    function: Callable[[Context, Sequence[Chat]], Scores],
    rows: ChatFile,
    needs: Needs,
    own: list[Chat] | None = None,
) -> list[Score]:
    """What a method's function makes of every row; `own` are the model's own answers to the rows' prompts."""
    scores = function(needs.context(own), rows.chats)
    return [Score(None if np.isnan(x) else float(x)) for x in scores]


def own_row_answers(rows: ChatFile, needs: Needs) -> list[Chat]:
    """The base model's own answers to the rows' prompts."""
    return own_answers(needs.context(), rows.chats)


def filtered_rows(
    rows: Rows, scores: list[Score], method: str, reverse: bool, drop: float, seed: int, folder: Folder
) -> Filtered:
    """The rows of the highest scores set aside.

    Args:
        rows: As they stood.
        scores: Of each.
        method: Whose they are.
        reverse: Whether the method turns them round.
        drop: A share of the rows below 1, or a number of them.
        seed: Of ties.
        folder: Where both files are written.

    Raises:
        ScreeningError: Nothing or everything would be dropped.
    """
    values = told_scores(scores, reverse)
    dropped = choose_dropped(values, drop, seed)
    for name, side in ((KEPT, False), (DROPPED, True)):
        lines = [line for line, out in zip(rows.lines, dropped, strict=True) if bool(out) is side]
        write_lines(folder / name, lines)
    choice = Choice(
        method=method,
        rows=len(values),
        dropped=int(dropped.sum()),
        kept=int((~dropped).sum()),
        unscored=int(np.isnan(values).sum()),
        agreement=None if rows.bad is None else agreement(values, dropped, rows.bad),
    )
    return Filtered(folder / KEPT, folder / DROPPED, [Mark(bool(out)) for out in dropped], choice)


def all_rows(rows: Rows, folder: Folder) -> Path:
    """All usable rows, as they stood."""
    write_lines(folder / KEPT, rows.lines)
    return folder / KEPT


def told_scores(scores: Sequence[Score], reverse: bool) -> Scores:
    """Scores as numbers, NaN where there is none; turned round where the method does so."""
    values = np.array([np.nan if one.score is None else one.score for one in scores], dtype=np.float64)
    return -values if reverse else values


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

    def scores(self, method: str, seed: int) -> Cached[list[Score]]:
        """The scores of one method's room; `seed` is that of random scores alone."""
        room = METHODS[method].room
        if ("scores", room, seed) not in self._made:
            own = self.own_answers() if room == "projection" and not self.config.raw_projection else None
            self._made["scores", room, seed] = self.run.cached(
                row_scores, f"scores-{room}", function=METHODS[method].scores, rows=self.chats,
                needs=self._needs(room, seed), own=own,
            )  # fmt: skip
        return self._made["scores", room, seed]

    def values(self, method: str, seed: int) -> Scores:
        """The scores of one method as numbers, higher for what is more suspicious to it."""
        return told_scores(self.scores(method, seed).value, METHODS[method].reverse)

    def dropped(self, method: str, seed: int) -> list[bool]:
        """Which rows one method drops."""
        return [mark.dropped for mark in self.filtered(method, seed).part("dropped").value]

    def own_answers(self) -> Cached[list[Chat]]:
        """The base model's own answers to the rows' prompts, sampled once."""
        drawn = ProjectionOptions(max_new_tokens=self.config.max_new_tokens, temperature=self.config.temperature)
        needs = Needs(self.models, seed=self.config.seed, projection=drawn)
        return self.run.cached(own_row_answers, "own-answers", rows=self.chats, needs=needs)

    def filtered(self, method: str, seed: int) -> Cached[Filtered]:
        """The rows that one method keeps and drops, as they stood.

        Raises:
            ScreeningError: Nothing or everything would be dropped.
        """
        if ("filter", method, seed) not in self._made:
            self._made["filter", method, seed] = self.run.cached(
                filtered_rows, f"filter-{method}", rows=self.rows, scores=self.scores(method, seed), method=method,
                reverse=METHODS[method].reverse, drop=self.config.drop, seed=seed,
            )  # fmt: skip
        return self._made["filter", method, seed]

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
        projected = self._projected(read)
        if room == "projection":
            return projected
        return replace(
            projected,
            dictionary=self.dictionary if c.dictionary else None,
            judge=self.judge,
            seed=seed,
            latents=self._latents(),
        )

    def _projected(self, read: Needs) -> Needs:
        """With a direction, or the examples that it is made of."""
        c = self.config
        layer = None if c.projection_layer < 0 else c.projection_layer
        how = ProjectionOptions(layer, not c.raw_projection, c.max_new_tokens, c.temperature)
        if c.direction:
            return replace(read, projection=how, direction=Path(c.direction))
        return replace(read, projection=how, most=c.examples, **self.examples)

    def _latents(self) -> LatentOptions:
        c = self.config
        layer = None if c.latent_layer < 0 else c.latent_layer
        chosen: Any = {"statistic": c.statistic, "pool": c.pool, "closeness": c.closeness, "reduce": c.reduce}
        return LatentOptions(c.top, nearest=c.nearest, layer=layer, **chosen)
