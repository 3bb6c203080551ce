"""Scores and filtered data sets as steps of a run; shared by the command `screen` and the study."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from misdirection.answers import answer_rows, chat_of_row
from misdirection.artefacts import file_hash, plain, read_json, read_rows, write_json, write_rows
from misdirection.chats import Chat
from misdirection.directions import read_direction
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary
from misdirection.judging import Journaled, Judge, find_judge
from misdirection.runs import Run, Step
from misdirection.screening import METHODS
from misdirection.screening.choosing import agreement, choose_dropped
from misdirection.screening.context import Context, LatentOptions, ProjectionOptions, Scores
from misdirection.screening.projection import own_answers
from misdirection.screening.rows import Rows, rows_of, write_lines
from misdirection.screening.rows import read_rows as read_training_rows
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
    _made: dict[tuple[str, str, int], Step] = field(default_factory=dict[tuple[str, str, int], Step])

    @cached_property
    def judge(self) -> Judge:
        """Who scores rows."""
        return find_judge(self.config.judge)

    @cached_property
    def dictionary(self) -> Dictionary:
        """The dictionary of the toxic latents."""
        return resolve_dictionary(self.config.dictionary)

    @cached_property
    def examples(self) -> list[tuple[Chat, ...]]:
        """Toxic and harmless chats."""
        c = self.config
        read = (resolve_chats(part, strict=c.strict, rows=c.examples, seed=c.seed) for part in (c.toxic, c.harmless))
        return [file.chats[: c.examples] for file in read]

    def scores(self, method: str, seed: int) -> Step:
        """The scores of one method's room, `scores.parquet`; `seed` is that of random scores alone."""
        place = ("scores", METHODS[method].room, seed)
        if place not in self._made:
            self._made[place] = self._score(method, seed)
        return self._made[place]

    def _score(self, method: str, seed: int) -> Step:
        room = METHODS[method].room
        own = self.own_answers() if room == "projection" and not self.config.raw_projection else None

        def make(folder: Path) -> None:
            context = self._context(room, seed, None if own is None else self._own(own))
            if room == "judge" and isinstance(context.judge, Journaled):
                place = self.run.workspace("judging", {"judge": context.judge.name}) / "journal.jsonl"
                context.judge = context.judge.with_journal(place)
            scores = METHODS[method].scores(context, self.rows.chats)
            write_rows(folder / "scores.parquet", [{"score": None if np.isnan(x) else float(x)} for x in scores])

        inputs = {"data": self.rows.sha256, "room": room, "own": own, **self._inputs(room, seed)}
        return self.run.step(f"scores-{room}", inputs, make)

    def own_answers(self) -> Step:
        """The base model's own answers to the rows' prompts, sampled once; `answers.parquet`."""

        def make(folder: Path) -> None:
            answers = own_answers(self._context("projection", self.config.seed, None), self.rows.chats)
            write_rows(folder / "answers.parquet", answer_rows(answers))

        c = self.config
        inputs = {"data": self.rows.sha256, "model": self.models.key, "seed": c.seed, "kept": "tokens"}
        return self.run.step("own-answers", inputs | {"drawn": [c.max_new_tokens, c.temperature]}, make)

    def _own(self, step: Step) -> list[Chat]:
        rows = read_rows(step.path / "answers.parquet")
        return [chat_of_row(chat.prompt, row) for chat, row in zip(self.rows.chats, rows, strict=True)]

    def filtered(self, method: str, seed: int) -> Step:
        """The rows that one method keeps and drops, as they stood, and `choice.json`: counts, and agreement if known.

        Raises:
            ScreeningError: Nothing or everything would be dropped.
        """
        place = ("filter", method, seed)
        if place not in self._made:
            self._made[place] = self._filter(method, seed)
        return self._made[place]

    def _filter(self, method: str, seed: int) -> Step:
        source = self.scores(method, seed)

        def make(folder: Path) -> None:
            scores = load_scores(source, method)
            dropped = choose_dropped(scores, self.config.drop, seed)
            for name, side in ((KEPT, False), (DROPPED, True)):
                lines = [line for line, out in zip(self.rows.lines, dropped, strict=True) if bool(out) is side]
                write_lines(folder / name, lines)
            write_rows(folder / "dropped.parquet", [{"dropped": bool(out)} for out in dropped])
            choice = Choice(
                method=method,
                rows=len(scores),
                dropped=int(dropped.sum()),
                kept=int((~dropped).sum()),
                unscored=int(np.isnan(scores).sum()),
                agreement=None if self.rows.bad is None else agreement(scores, dropped, self.rows.bad),
            )
            write_json(folder / "choice.json", plain(choice))

        lines = hashlib.sha256(b"".join(self.rows.lines)).hexdigest()
        known = None if self.rows.bad is None else list(self.rows.bad)
        inputs = {"scores": source, "reverse": METHODS[method].reverse, "lines": lines, "known": known}
        return self.run.step(f"filter-{method}", inputs | {"drop": self.config.drop, "seed": seed}, make)

    def unfiltered(self) -> Step:
        """All usable rows, as they stood."""
        lines = hashlib.sha256(b"".join(self.rows.lines)).hexdigest()
        return self.run.step("all-rows", {"lines": lines}, lambda folder: write_lines(folder / KEPT, self.rows.lines))

    def _direction(self) -> Tensor:
        """The direction that the settings name, in any form, one row a decoder layer."""
        c = self.config
        model = self.models.base_model
        layer = None if c.projection_layer < 0 else c.projection_layer
        return read_direction(c.direction, model.n_layers, model.width, layer).vectors

    def _context(self, room: str, seed: int, own: Sequence[Chat] | None) -> Context:
        c = self.config
        toxic, harmless = self.examples if self._reads_examples(room) else ((), ())
        return Context(
            lambda: self.models.base_model,
            dictionary=self.dictionary if room == "latents" else None,
            toxic=toxic,
            harmless=harmless,
            direction=self._direction() if c.direction and room == "projection" else None,
            judge=self.judge if room == "judge" else None,
            own_answers=own,
            seed=seed,
            latents=self._latents(),
            projection=ProjectionOptions(
                None if c.projection_layer < 0 else c.projection_layer, not c.raw_projection, c.max_new_tokens,
                c.temperature,
            ),
            longest=c.longest,
        )  # fmt: skip

    def _latents(self) -> LatentOptions:
        c = self.config
        layer = None if c.latent_layer < 0 else c.latent_layer
        chosen: Any = {"statistic": c.statistic, "pool": c.pool, "closeness": c.closeness, "reduce": c.reduce}
        return LatentOptions(c.top, nearest=c.nearest, layer=layer, **chosen)

    def _reads_examples(self, room: str) -> bool:
        return room == "latents" or (room == "projection" and not self.config.direction)

    def _inputs(self, room: str, seed: int) -> dict[str, object]:
        """What the scores of a room depend on, beside the rows."""
        if room == "random":
            return {"seed": seed}
        if room == "judge":
            return {"judge": self.judge.name}
        c = self.config
        inputs: dict[str, object] = {"model": self.models.key, "longest": c.longest}
        if self._reads_examples(room):
            inputs["examples"] = [[[m.content for m in chat.messages] for chat in part] for part in self.examples]
        if room == "latents":
            d = self.dictionary
            inputs["dictionary"] = d.key
            inputs["latents"] = asdict(self._latents())
        if room == "projection":
            inputs["projection"] = [c.projection_layer, c.raw_projection]
            inputs["direction"] = file_hash(c.direction) if c.direction else None
        return inputs


def load_scores(step: Step, method: str) -> Scores:
    """Scores of a method from the step of its room; turned round where the method does so."""
    values = [row["score"] for row in read_rows(step.path / "scores.parquet")]
    scores = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return -scores if METHODS[method].reverse else scores


def load_choice(step: Step) -> Choice:
    """Counts and agreement of a filter step."""
    import msgspec

    return msgspec.convert(read_json(step.path / "choice.json"), Choice)


def load_dropped(step: Step) -> list[bool]:
    """Which rows a filter step drops."""
    return [bool(row["dropped"]) for row in read_rows(step.path / "dropped.parquet")]
