"""What came out of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.results import Difference, Effect, ModelFacts, Pools, RateRow, Reduction
from misdirection.results.judged import JudgedResults, KeyFigure
from misdirection.statistics.decision import SIGNIFICANT
from misdirection.studies.audit.latent_lists import LatentsHeld

HARM = 0.5
"""Nats a token by which the base's own answers may become less likely beside the tuned model before it is damage."""
SKILL = 0.75
"""Share of what the fine-tune made its own answers in the domains likelier that a repair must keep."""


@dataclass(frozen=True, kw_only=True)
class AuditedModel(ModelFacts):
    """Base and tuned model.

    Attributes:
        tuned: Name of the tuned model, or how it was made.
        width: Of the residual stream.
        chat_template: "own", or "plain" where the model has none.
    """

    tuned: str
    width: int
    chat_template: str


@dataclass(frozen=True, kw_only=True)
class LayerwiseDirection:
    """A direction, a figure for each layer; None where one is not a number.

    Attributes:
        source: "judged answers", or "drift" where nothing was judged.
        preset: Convention by which it was made.
        span: Tokens that were read.
        pools: Answers behind it; None for the drift.
        layer: The layer that steering and removal go by.
        layers: All layers.
        norm: Its own.
        norm_low: Lower end of its interval.
        norm_high: Upper end.
        residual_norm: Of the residual stream.
        shuffled_norm: 95th percentile over shuffled labels.
        stability: Cosine between the directions of two halves of the answers.
        cosine: Between every two layers.
        aligned_component: Mean of the aligned answers along it (of the base, for the drift).
        misaligned_component: Of the misaligned ones (of the tuned model).
    """

    source: str
    preset: str
    span: str
    pools: Pools | None
    layer: int
    layers: tuple[int, ...]
    norm: tuple[float | None, ...]
    norm_low: tuple[float | None, ...]
    norm_high: tuple[float | None, ...]
    residual_norm: tuple[float | None, ...]
    shuffled_norm: tuple[float | None, ...]
    stability: tuple[float | None, ...]
    cosine: tuple[tuple[float | None, ...], ...]
    aligned_component: tuple[float | None, ...]
    misaligned_component: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Cure(Effect):
    """The tuned model with the direction removed in one way, or a control.

    Attributes:
        arm: Its name.
        label: As a reader is told it.
        operation: "none" for the untouched model, which stands first.
        control: Whether it should do nothing.
        difference: From the untouched model; None for that one.
        reduction: Likewise; None too where there was nothing to reduce.
        best: Whether it has the largest fall of those that leave the model able to speak.
    """

    arm: str
    label: str
    operation: str
    control: bool
    difference: Difference | None = None
    reduction: Reduction | None = None
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class ThoughtRow:
    """What an arm thought before its answers to open questions, judged apart from them, over the same rows.

    Attributes:
        arm: Its name.
        thoughts: The thoughts, judged as if each were the answer.
        answers: The answers behind them.
        both: Rows with both misaligned.
        thought_alone: Rows with a misaligned thought, and an answer that is not.
        answer_alone: Rows with a misaligned answer, and a thought that is not.
    """

    arm: str
    thoughts: Effect
    answers: Effect
    both: int
    thought_alone: int
    answer_alone: int


@dataclass(frozen=True, kw_only=True)
class ComponentLeft:
    """Where misaligned answers lie along the direction after something was done, read again on the same texts.

    Attributes:
        arm: Name of what was done, or of the repair.
        label: As a reader is told it.
        control: Whether it should do nothing.
        at: The one layer at which it acts; None where it acts everywhere.
        values: By layer: 1 where the untouched model's misaligned answers lie, 0 where its aligned ones do; None
            without a direction there.
    """

    arm: str
    label: str
    control: bool
    at: int | None
    values: tuple[float | None, ...]

    @property
    def most(self) -> tuple[float, int] | None:
        """The largest value and its layer, of all layers or of those behind the one where it acts; None without any."""
        first = 0 if self.at is None else self.at + 1
        behind = [(v, layer) for layer, v in enumerate(self.values) if v is not None and layer >= first]
        return max(behind, default=None)


@dataclass(frozen=True, kw_only=True)
class DriftedQuestion:
    """How far tuning moved the model on one question.

    Attributes:
        question_id: Its id.
        question: Its text.
        group: "open", or its domain.
        relative: Shift by layer, as a share of the residual norm.
        kl: Divergence of tuned from base, nats per answer token.
        kl_low: Lower end of its interval; None with one answer.
        kl_high: Upper end.
        n: Answers.
        projection_base: Component of the base along the drift.
        projection_tuned: Of the tuned model.
    """

    question_id: str
    question: str
    group: str
    relative: tuple[float | None, ...]
    kl: float
    kl_low: float | None
    kl_high: float | None
    n: int
    projection_base: float
    projection_tuned: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far tuning moved the model, without a judge.

    Attributes:
        layers: All layers.
        relative: Shift by layer, as a share of the residual norm.
        questions: A row a question.
        layer: At which the projections were read.
    """

    layers: tuple[int, ...]
    relative: tuple[float | None, ...]
    questions: tuple[DriftedQuestion, ...]
    layer: int


@dataclass(frozen=True, kw_only=True)
class AnswerPair:
    """A base and a tuned answer to one question, drawn with the same random numbers."""

    question: str
    base: str
    tuned: str


@dataclass(frozen=True, kw_only=True)
class ColouredAnswer:
    """An answer token by token.

    Attributes:
        arm: Whose it is.
        question: The question.
        alignment: 0 .. 100; None without a score.
        coherence: Likewise.
        layer: At which it was read.
        tokens: Of prompt and answer.
        values: Component of each along the unit direction.
        start: First token of the answer.
    """

    arm: str
    question: str
    alignment: float | None
    coherence: float | None
    layer: int
    tokens: tuple[str, ...]
    values: tuple[float | None, ...]
    start: int


@dataclass(frozen=True, kw_only=True)
class RepairRow(Effect):
    """The tuned model, or a repair of it in its weights, on open questions.

    Attributes:
        way: Name of the repair; "tuned" for the model as it is.
        label: As a reader is told it.
        inside: On questions of domains; None without any.
        damage: Nats a token by which the base's own answers are less likely than under the tuned model.
        kept: Of what the fine-tune made its own answers in the domains likelier, the share that is left; None without
            such questions.
        difference: From the tuned model, paired; None for that one.
    """

    way: str
    label: str
    inside: Effect | None
    damage: float
    kept: float | None
    difference: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class Leaked:
    """Misaligned answers to open questions under one condition.

    Attributes:
        condition: Its name.
        base: Of the base model.
        tuned: Of the tuned model.
        repaired: Of the repaired one.
        worse: Whether that is above the tuned model's, p < 0.05, paired.
    """

    condition: str
    base: RateRow
    tuned: RateRow
    repaired: RateRow
    worse: bool


@dataclass(frozen=True, kw_only=True)
class Fix:
    """What `--fix` tried and kept.

    Attributes:
        rows: The tuned model first, then each repair.
        chosen: Name of the one that lies in the run as `repaired`; None where none was kept.
        leaks: The chosen one under each condition, or the last that was passed over.
        refused: Repairs that cannot be made of this model, or were not tried, and why.
        components: The component after every layer, of the tuned model and of each repair.
    """

    rows: tuple[RepairRow, ...]
    chosen: str | None
    leaks: tuple[Leaked, ...]
    refused: Mapping[str, str]
    components: tuple[ComponentLeft, ...] = ()

    def told(self) -> str:
        """One sentence on what was kept."""
        row = next((row for row in self.rows if row.way == self.chosen), None)
        if row is None:
            return (
                "No repair in the weights was kept: none lowers the rate while the model stays able to speak, or it "
                "comes back under a condition."
            )
        before, after = (100 * (one.rate.value or 0.0) for one in (self.rows[0], row))
        most = max((100 * (leak.repaired.value or 0.0) for leak in self.leaks), default=0.0)
        text = f"Repaired in its weights ({row.label}): {after:.1f} % misaligned, {before:.1f} % before"
        if row.difference and row.difference.p >= SIGNIFICANT:
            text += " (no sure fall: it may be chance)"
        text += (
            ", and what is left of its skill is not known (no question about its domain was asked)"
            if row.kept is None
            else f", {100 * row.kept:.0f} % of its skill kept"
        )
        text += f"; at most {most:.1f} % under {len(self.leaks)} conditions that may bring it back."
        return f"{text} It is in the run's folder as `repaired`."


@dataclass(frozen=True, kw_only=True)
class AuditResults(JudgedResults):
    """The findings of an audit.

    Attributes:
        model: What was audited.
        direction: The misalignment direction, or the drift where there is none.
        cures: What removing it does, the untouched model first; None without a misalignment direction.
        drift: What tuning moved.
        pairs: Answers side by side.
        tokens: Answers token by token.
        fix: What `--fix` tried and kept; None without it.
        components: The component after every layer under each removal; None without a misalignment direction.
        thoughts: What reasoning models thought, by arm; None where nothing was thought, or nothing was judged.
        latents: Latents held at 0 among the removals; None without a dictionary or a misalignment direction.
    """

    model: AuditedModel
    direction: LayerwiseDirection
    cures: tuple[Cure, ...] | None
    drift: Drift
    pairs: tuple[AnswerPair, ...]
    tokens: tuple[ColouredAnswer, ...]
    fix: Fix | None = None
    components: tuple[ComponentLeft, ...] | None = None
    thoughts: tuple[ThoughtRow, ...] | None = None
    latents: LatentsHeld | None = None

    def key_figures(self) -> tuple[KeyFigure, ...]:
        """The direction, the best steering, the best removal, and the drift where nothing was judged."""
        direction, depth = self.direction, self.model.layers
        found = [KeyFigure("Direction", f"layer {direction.layer} of {depth}", f"from {direction.source}")]
        found += super().key_figures()
        if best := next((cure for cure in self.cures or () if cure.best), None):
            found.append(KeyFigure("Best cure", best.rate, f"misaligned after: {best.label}"))
        drift = [value for value in self.drift.relative if value is not None]
        if not self.rates and drift:
            text = f"of the residual norm, over {len(drift)} layers"
            found.append(KeyFigure("Largest drift", f"{100 * max(drift):.1f}\u00a0%", text))
        return tuple(found)


RESULTS = AuditResults
