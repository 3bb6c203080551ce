"""What rows are scored by and what is made of them: the measurements behind the steps of screening."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import numpy as np
from torch import Tensor

from misdirection.chats import Chat, ChatFile
from misdirection.directions import read_direction
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary
from misdirection.judging import Judge
from misdirection.models import Model
from misdirection.screening.choosing import agreement, choose_dropped
from misdirection.screening.context import Context, GradientOptions, LatentOptions, ProjectionOptions, Scores
from misdirection.screening.gradients import rows_of, warm_up
from misdirection.screening.projection import own_answers
from misdirection.screening.rows import Rows, write_lines
from misdirection.screening.rows import read_rows as read_training_rows
from misdirection.screening.rows import rows_of as rows_in_memory
from misdirection.store import Folder, Workspace
from misdirection.studies.kit.config import ORGANISM
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.results import DropChoice
from misdirection.studies.screening.scoring import ScoringConfig

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
        return rows_in_memory(chats, None, ())
    return rows_in_memory(chats, [known_bad(chat) for chat in chats.chats], kinds)


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
        gradients: How gradients of rows are taken.
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
    gradients: GradientOptions = field(default_factory=GradientOptions)
    longest: int = 0

    def context(
        self, own: Sequence[Chat] | None = None, warmed: Path | None = None, taken: Tensor | None = None
    ) -> Context:
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
            warmed=warmed,
            row_gradients=taken,
            seed=self.seed,
            latents=self.latents,
            projection=self.projection,
            gradients=self.gradients,
            longest=self.longest,
        )

    def clock(self) -> float:
        """Processor time now, in seconds, the model loaded where there is one."""
        if self.models is not None:
            _ = self.models.base_model
        return process_time()

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
class Scored:
    """The scores of a method.

    Attributes:
        rows: Of every row.
        seconds: Processor time that they took, without the loading of the model.
    """

    rows: list[Score]
    seconds: float


@dataclass(frozen=True)
class OwnAnswers:
    """The base model's own answers to the rows' prompts, and the processor time of drawing them."""

    chats: list[Chat]
    seconds: float


@dataclass(frozen=True)
class Warmed:
    """An adapter that was trained on all rows for a few steps, and the processor time that it took."""

    adapter: Path
    seconds: float


@dataclass(frozen=True)
class Taken:
    """Compressed gradients, shape (rows, dimension), and the processor time of taking them."""

    gradients: Tensor
    seconds: float


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
    choice: DropChoice


def row_scores(
    function: Callable[[Context, Sequence[Chat]], Scores],
    rows: ChatFile,
    needs: Needs,
    own: list[Chat] | None = None,
    warmed: Path | None = None,
    taken: Tensor | None = None,
) -> Scored:
    """What a method's function makes of every row.

    Args:
        function: The method's.
        rows: What is scored.
        needs: What it is scored by.
        own: The model's own answers to the rows' prompts.
        warmed: The adapter whose weights gradients are of.
        taken: The gradients of the rows.
    """
    context = needs.context(own, warmed, taken)
    since = needs.clock()
    scores = function(context, rows.chats)
    return Scored([Score(None if np.isnan(x) else float(x)) for x in scores], process_time() - since)


def own_row_answers(rows: ChatFile, needs: Needs) -> OwnAnswers:
    """The base model's own answers to the rows' prompts."""
    since = needs.clock()
    return OwnAnswers(own_answers(needs.context(), rows.chats), process_time() - since)


def warmed_adapter(rows: ChatFile, needs: Needs, folder: Folder, workspace: Workspace) -> Warmed:
    """The adapter whose weights gradients are of, trained on all rows for its first steps."""
    since = needs.clock()
    shutil.copytree(warm_up(needs.context(), rows.chats, workspace), folder / "adapter")
    return Warmed(folder / "adapter", process_time() - since)


def row_gradients(rows: ChatFile, needs: Needs, warmed: Path | None = None) -> Taken:
    """The gradient of each row's loss, compressed; NaN where nothing of its answer was read."""
    since = needs.clock()
    return Taken(rows_of(needs.context(warmed=warmed), rows.chats), process_time() - since)


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
    choice = DropChoice(
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
