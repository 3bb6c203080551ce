"""Settings of the study of convergence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import ON, Overrides, StudyConfig, check_name, named, option
from misdirection.studies.kit.names import domains_of
from misdirection.training.presets import LOADED

PRESETS = ("rank1", "rank1x9", "rank32", "full")
OPERATIONS = ("project", "set")


@dataclass(frozen=True)
class ConvergenceConfig(StudyConfig):
    """Do fine-tunes on other data, of other sizes, learn the same direction, and does one's cure the others?

    A grid of fine-tunes, a misalignment direction of each; cosines by layer beside those of shuffled labels, angles
    between subspaces, and every direction removed from every model, with controls.

    Examples: misdirection study convergence --out runs/convergence
    misdirection study convergence --tensors ../mean-states/r32,../mean-states/r4 --out runs/published
    """

    unless: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("fine_tune", "tensors")}
    data: tuple[str, ...] = option((), "NAME=FILE of chats to fine-tune on, one a domain")
    presets: tuple[str, ...] = option((), f"fine-tuning presets, each on every --data: {', '.join(LOADED)}")
    fine_tune: tuple[str, ...] = option(
        (), "NAME=FOLDER of a fine-tune that exists, adapter or whole model; DOMAIN/KIND=FOLDER tells the groups"
    )
    tensors: tuple[str, ...] = option(
        (), "NAME=FOLDER or FOLDER of published mean hidden states, or of a direction.safetensors: similarity alone"
    )
    part: str = option("answer", "tokens that the published means of --tensors are over: answer or question")
    domain_samples: int = option(4, "answers a question of a domain and fine-tune")
    layers: tuple[int, ...] = option((), "layers tried for the single direction; by default about six over the depth")
    layer: int | None = option(
        None, "layer of the single direction; by default chosen by removing each from its own model", was=-1
    )
    sweep_samples: int = option(1, "answers a question, fine-tune and layer of that choice")
    transfer_samples: int = option(3, "answers a question and pair of source and target")
    operations: tuple[str, ...] = option(OPERATIONS, "ways of removing: project (the paper's), set (aligned mean)")
    random_seeds: int = option(1, "random directions removed from each fine-tune: controls")
    shuffles: int = option(40, "shuffled labelings of each fine-tune's answers: the null")
    on: str = option("", ON)
    training: Overrides = field(default_factory=dict[str, object])

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Nothing or too much to compare, a name that cannot be one, an unknown operation or part,
                no judge, or a number out of range.
        """
        c = self.recommended()
        c._numbers()
        if c.tensors:
            return c._for_tensors()
        if not (c.data or c.fine_tune):
            raise MisdirectionError(
                "say what is compared", "--data NAME=FILE to fine-tune now, --fine-tune NAME=FOLDER, or --tensors"
            )
        if c.presets and not c.data:
            raise MisdirectionError("--presets without --data", "--data NAME=FILE, once a domain")
        for name in (*named(c.data, "data"), *named(c.fine_tune, "fine-tune")):
            check_name(name)
        whole = replace(super(ConvergenceConfig, c).completed(), presets=c.presets or (PRESETS if c.data else ()))
        return whole.judged("directions need")

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains that the data name."""
        return domains_of(self.data)

    def _numbers(self) -> None:
        for name in ("domain_samples", "sweep_samples", "transfer_samples", "shuffles"):
            self.at_least(name, 1)
        self.at_least("random_seeds", 0)
        self.at_least("layer", 0)
        if not self.operations or set(self.operations) - set(OPERATIONS):
            raise MisdirectionError(f"--operations: {', '.join(self.operations)}", f"of {', '.join(OPERATIONS)}")
        if self.part not in ("answer", "question"):
            raise MisdirectionError(f"--part is '{self.part}'", "answer or question")

    def _for_tensors(self) -> Self:
        given = [name for name in ("data", "presets", "fine_tune") if getattr(self, name)]
        if given:
            raise MisdirectionError(
                f"--tensors compares directions alone, and --{given[0].replace('_', '-')} is given too",
                "two runs: one of --tensors, one of fine-tunes",
            )
        if len(self.tensors) < 2:
            raise MisdirectionError("one direction has nothing to be compared with", "--tensors FOLDER,FOLDER")
        return replace(super().completed(), judge="none")
