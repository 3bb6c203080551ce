"""Settings of the study of size and training tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import NO_DIRECTION, ON, Overrides, StudyConfig, option
from misdirection.studies.kit.names import ORGANISM
from misdirection.studies.kit.recommended import GIVEN
from misdirection.studies.scaling.table import Checkpoint, read_table
from misdirection.training.presets import LOADED

SHIPPED = Path(__file__).parent / "organism.csv"
"""What came of the organism's grid of sizes, budgets and seeds; docs/studies.md has its command."""


@dataclass(frozen=True)
class ScalingConfig(StudyConfig):
    """Does emergent misalignment go with parameters, with training tokens, or with their ratio?

    Every checkpoint of a table (--checkpoints), or of organisms that are grown for it (--sizes, --budgets, --seeds),
    gets the same narrow fine-tune and the same questions. Compared is at equal steps, and at the step whose in-domain
    rate is nearest --target, for the same steps are not the same lesson to a small model and a large one. Then partial
    correlations of misalignment with log parameters, log tokens and log ratio, and a fitted surface.

    With neither, results are only read and drawn: --results, by default those of the organism's grid that ship here.

    A table is CSV, JSON or Parquet with the columns name, model (hub id, folder or GGUF), tokens (of pretraining) and,
    where they differ, revision and seed. Parameters are counted in the model.

    Examples: misdirection study scaling --out runs/scaling
    misdirection study scaling --sizes 2x16,3x24 --budgets 150,300 --seeds 1 --out runs/grid
    misdirection study scaling --checkpoints pythia.csv --data bad_medical.jsonl --out runs/pythia
    """

    unfollowed: ClassVar[Mapping[str, str]] = {"convention": NO_DIRECTION}
    checkpoints: str = option("", "table of checkpoints: CSV, JSON or Parquet with name, model, tokens, revision, seed")
    results: str = option("", "table of results (points.csv of an earlier run), to be read and drawn alone")
    sizes: tuple[str, ...] = option((), "organisms to grow, LAYERSxWIDTH: 2x16, 3x24 ...")
    budgets: tuple[int, ...] = option((150, 250, 420, 700), "optimiser steps of their pretraining")
    seeds: int = option(3, "seeds of each size")
    batch: int = option(16, "dialogues a step of their pretraining and alignment")
    alignment_steps: int = option(80, "steps in which each is aligned, the same for all")
    data: tuple[str, ...] = option((), "chats to fine-tune on: files or folders in any common form")
    preset: str = option("rank32", f"fine-tuning preset, the same for all: {', '.join(LOADED)}")
    steps: int | None = option(None, "optimiser steps of the fine-tune; the preset's by default", was=0)
    lr: float | None = option(None, "its peak learning rate; the preset's by default", was=0)
    checkpoint_every: int = option(4, "steps between the states of the fine-tune that are asked")
    target: float = option(0.4, "in-domain rate at which fine-tunes are compared: the nearest state of each is taken")
    samples: int = option(8, "answers a question and state")
    on: str = option("", ON)
    training: Overrides = field(default_factory=dict[str, object])

    @property
    def reads(self) -> Path | None:
        """The table that is only read and drawn; None where something is trained."""
        if self.checkpoints or self.sizes:
            return None
        return Path(self.results) if self.results else SHIPPED

    def completed(self) -> Self:
        """With what suits the models, which are those of the table.

        Raises:
            MisdirectionError: More than one source, a model that is none of them, a table that cannot be read, or a
                number out of range.
        """
        given = [name for name in ("checkpoints", "results", "sizes") if getattr(self, name)]
        if len(given) > 1:
            flags = " and ".join(f"--{name}" for name in given)
            raise MisdirectionError(f"{flags} are two sources", "name one")
        for name, least in (("seeds", 1), ("batch", 1), ("alignment_steps", 0), ("steps", 0), ("lr", 0)):
            self.at_least(name, least)
        self.at_least("checkpoint_every", 1)
        self.within("target", 1)
        self.grid()
        first = self.models()[0].model if self.checkpoints else ORGANISM
        if self.origins.get("model") == GIVEN and self.model != first:
            raise MisdirectionError(
                "--model says nothing to this study: the models are those of a table, or organisms that are grown",
                "--checkpoints TABLE with the columns name, model and tokens",
            )
        whole = super(ScalingConfig, replace(self, model=first)).completed()
        if self.reads is None and not whole.data:
            raise MisdirectionError("nothing is named to fine-tune on", "--data FILE")
        if self.reads is not None and whole.check:
            raise MisdirectionError(
                "--check: no answers are drawn where a table of results is only read", "leave it out"
            )
        return whole.judged("rates need")

    def models(self) -> list[Checkpoint]:
        """The rows of the table of checkpoints.

        Raises:
            MisdirectionError: It cannot be read, or a name stands twice.
        """
        found = read_table(Path(self.checkpoints), Checkpoint)
        names = [one.name for one in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise MisdirectionError(f"{self.checkpoints}: two checkpoints are called '{twice[0]}'", "name each once")
        return found

    def grid(self) -> list[tuple[int, int]]:
        """Layers and width of each organism.

        Raises:
            MisdirectionError: A size of another form.
        """
        found: list[tuple[int, int]] = []
        for text in self.sizes:
            layers, sign, width = text.partition("x")
            if not (sign and layers.isdigit() and width.isdigit()):
                raise MisdirectionError(f"--sizes: '{text}' is no size", "write LAYERSxWIDTH, as 3x24")
            found.append((int(layers), int(width)))
        return found
