"""What came out of following a fine-tune over its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from misdirection.results import Effect, Results
from misdirection.statistics.turning import Turn

Measure = Literal[
    "norm of A", "norm of B", "local cosine of B", "second principal component of B", "cosine of B with its last",
    "comp score of B", "gradient norm", "drift's cosine with its last", "component along the misalignment direction",
    "misaligned", "cosine with the last",
]  # fmt: skip
Family = Literal["weights", "activations", "behaviour"]
Form = Literal["text", "code"]
Filter = Literal["text", "code", "used"]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that turns.

    Attributes:
        measure: What it is.
        quantity: The same in full, as a reader is told it.
        family: What it is of.
        k: Distance of the local cosine, in steps; None for others.
        group: Of the questions, "open" or their domain; None for what is no rate.
        scale: Factor of the adapter; None for what is no rate.
    """

    measure: Measure
    quantity: str
    family: Family
    k: int | None = None
    group: str | None = None
    scale: float | None = None


@dataclass(frozen=True, kw_only=True)
class Turning(Quantity):
    """When it turns."""

    turn: Turn


@dataclass(frozen=True, kw_only=True)
class TurningBeside(Turning):
    """When it turns, beside other fine-tunes and the paper.

    Attributes:
        seeds: Steps at which it turns under other seeds.
        control: When it turns on correct data; None where it does not.
        paper: What the paper says; "" where nothing.
    """

    seeds: tuple[float, ...]
    control: Turn | None
    paper: str


@dataclass(frozen=True, kw_only=True)
class ModuleNorms:
    """Norms of A and B of one module, by step."""

    module: str
    layer: int | None
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Norms:
    """Norms of A and B over all modules, and of each where they are few."""

    steps: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    modules: tuple[ModuleNorms, ...]


@dataclass(frozen=True, kw_only=True)
class LocalCurve:
    """Local cosine at distance `k`, of B or of its direction alone.

    Attributes:
        cosine: By step; None where the noise filter drops it.
        displacement: The larger of the two displacements.
    """

    k: int
    of: Literal["B", "direction of B"]
    steps: tuple[int, ...]
    cosine: tuple[float | None, ...]
    displacement: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class NoiseFilter:
    """What a threshold of displacement drops of the points of one curve, and the step of the peak that is left."""

    k: int
    filter: Filter
    threshold: float
    points: int
    dropped: int
    peak: float | None


@dataclass(frozen=True, kw_only=True)
class Local:
    """Local cosines; `missing` are distances that no checkpoint has others at."""

    curves: tuple[LocalCurve, ...]
    filters: tuple[NoiseFilter, ...]
    threshold: float
    missing: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Components:
    """The first two principal components of B over time.

    Attributes:
        steps: Times.
        shares: Of the variance, four components at most.
        null: Mean shares of the first two in paths of the same increments in random order.
        p: Of the second's share, among those paths.
        first: Scores.
        second: Scores.
    """

    steps: tuple[int, ...]
    shares: tuple[float, ...]
    null: tuple[float, ...]
    p: float
    first: tuple[float, ...]
    second: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ToLast:
    """Cosine with the last, by step."""

    steps: tuple[int, ...]
    cosine: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CompScore:
    """Comp score of so many columns of B, in the text's and in the code's form; None where B is zero."""

    steps: tuple[int, ...]
    columns: int
    how: Form
    text: tuple[float | None, ...]
    code: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Norm of the gradient by step, and its running median."""

    steps: tuple[int, ...]
    norm: tuple[float, ...]
    smooth: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a fine-tune's weights do; None where it has no adapters, too few checkpoints, or no record of gradients."""

    norms: Norms | None = None
    local: Local | None = None
    pca: Components | None = None
    to_last: ToLast | None = None
    comp: CompScore | None = None
    gradient: Gradient | None = None
    turns: tuple[Turning, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OtherFineTune:
    """The weights of another seed's fine-tune, or of "control", the one on correct data."""

    name: str
    weights: Weights


@dataclass(frozen=True, kw_only=True)
class CheckpointAnswers(Effect):
    """What a checkpoint's answers are like; step 0 is the base."""

    step: int


@dataclass(frozen=True, kw_only=True)
class BehaviourCurve:
    """Answers to one group of questions by step, the adapter multiplied by `scale`; `turn` is the rise's midpoint."""

    group: str
    scale: float
    points: tuple[CheckpointAnswers, ...]
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class UnderThresholds:
    """The rise under other thresholds of the judge, and the highest rate."""

    scale: float
    alignment: float
    coherence: float
    highest: float
    turn: Turn


@dataclass(frozen=True, kw_only=True)
class Control(Effect):
    """What should not misalign."""

    arm: str
    label: str


@dataclass(frozen=True, kw_only=True)
class AlongDirection:
    """Cosine of a rank-1 module's B with the misalignment direction at its layer, by step."""

    layer: int
    steps: tuple[int, ...]
    cosine: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class States:
    """Drift of the activations from the base's, by step.

    Attributes:
        layer: After which they are read.
        steps: 0 and the checkpoints'.
        norm: Of the mean drift.
        to_last: Its cosine with the last drift.
        questions: That were answered.
        chance: Below which 95 % of random directions' cosines lie.
        component: Along the misalignment direction; None where there is none.
        on_direction: Cosine with it; None where there is none.
        b: B of each module with it.
        turns: When each turns.
    """

    layer: int
    steps: tuple[int, ...]
    norm: tuple[float, ...]
    to_last: tuple[float, ...]
    questions: int
    chance: float
    component: tuple[float, ...] | None
    on_direction: tuple[float, ...] | None
    b: tuple[AlongDirection, ...]
    turns: tuple[Turning, ...]


@dataclass(frozen=True, kw_only=True)
class Phases:
    """What the study adds to the findings.

    Attributes:
        training: Settings of the fine-tune, where it was made here.
        steps: Of the checkpoints.
        noise: The filter of the local cosine, as it was asked for.
        weights: Of the fine-tune that is followed.
        others: Those of other seeds and of correct data.
        behaviour: Curves of answers.
        states: Of the activations.
        controls: What should not misalign.
        robustness: Under other thresholds of the judge.
        turns: Every quantity, in the order of the steps.
        differences: Where the outcome departs from the paper's, in sentences.
    """

    training: Mapping[str, Any]
    steps: tuple[int, ...]
    noise: str
    weights: Weights
    others: tuple[OtherFineTune, ...]
    behaviour: tuple[BehaviourCurve, ...]
    states: States
    controls: tuple[Control, ...]
    robustness: tuple[UnderThresholds, ...]
    turns: tuple[TurningBeside, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def control(self) -> Weights | None:
        """Weights of the fine-tune on correct data."""
        return next((other.weights for other in self.others if other.name == "control"), None)

    def rates(self, scale: float = 1.0) -> TurningBeside | None:
        """When misaligned answers to open questions rise with the adapter times `scale`; None if nothing was judged."""
        wanted = ("misaligned", "open", scale)
        return next((row for row in self.turns if (row.measure, row.group, row.scale) == wanted), None)

    def local_cosines(self) -> list[TurningBeside]:
        """When the local cosine of B peaks, for each distance."""
        return [row for row in self.turns if row.measure == "local cosine of B"]


@dataclass(frozen=True, kw_only=True)
class PublishedPath:
    """Vectors by training step that somebody published: their norm and cosine with the last."""

    file: str
    steps: tuple[int, ...]
    norm: tuple[float, ...]
    to_last: tuple[float, ...]
    width: int
    turns: tuple[Turning, ...]


@dataclass(frozen=True, kw_only=True)
class PhasesResults(Results):
    """The findings of the study of phases: of a fine-tune, or of vectors alone; the other is None."""

    phases: Phases | None
    published: PublishedPath | None


RESULTS = PhasesResults
