"""Adapters read by their scalars: sets of tokens, the probes between them, roles, and canonical pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from misdirection.adapters.roles import Role
from misdirection.adapters.token_sets import SetName
from misdirection.results import Effect
from misdirection.studies.adapters.results.arms import AdapterArm

Split = Literal["tokens", "questions"]
"""What is held out: tokens, as published, or whole questions."""
Tokens = Literal["all", "significant"]
Test = Literal["drop", "alone"]
"""The fall of the rate when a layer is left out, or its rise when it is on alone."""


@dataclass(frozen=True, kw_only=True)
class ColumnRow:
    """A scalar that is read; see `adapters.scalars.Column`."""

    name: str
    path: str
    layer: int
    pair: int


@dataclass(frozen=True, kw_only=True)
class GroupEffect(Effect):
    """A model's answers to open questions, or to those of a domain."""

    arm: str
    group: str


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """A set of answer tokens.

    Attributes:
        set: Its name.
        answers: That are in it.
        questions: That they answer.
        tokens: Of these answers.
        significant: Tokens above the threshold of the study.
        published: Tokens above the paper's.
        divergence: Nats from the base, of whole answers: 10 %, 50 % and 90 %; None without answers.
    """

    set: SetName
    answers: int
    questions: int
    tokens: int
    significant: int
    published: int
    divergence: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Mean over the resamples, and the range of 95 % of them; None where it is not known."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ProbeMetrics:
    """Probes of one experiment.

    Attributes:
        n: Tokens of each class, on average.
        repeats: Resamples.
        accuracy: Share of the held-out tokens told right, and four more metrics.
        precision: Of the positive class.
        recall: Of the positive class.
        f1: Of both.
        auc: Area under the curve.
        coefficients: Mean by column.
    """

    n: int
    repeats: int
    accuracy: Metric
    precision: Metric
    recall: Metric
    f1: Metric
    auc: Metric
    coefficients: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """AUC of knowing the question only, with its standard deviation; None where it is not known."""

    auc: float | None
    spread: float | None


@dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """One experiment on one choice of tokens; pairs are of the negative and of the positive class.

    Attributes:
        experiment: Its number in the paper.
        asks: What it asks.
        negative: A set.
        positive: The other one.
        tokens: Which tokens.
        n: Tokens.
        answers: That these are of.
        questions: That these are of.
        ceiling: Of knowing the question only.
        probes: By what is held out; a probe that could not be fitted is not there.
        notes: Why.
    """

    experiment: int
    asks: str
    negative: SetName
    positive: SetName
    tokens: Tokens
    n: tuple[int, ...]
    answers: tuple[int, ...]
    questions: tuple[int, ...]
    ceiling: Ceiling
    probes: Mapping[Split, ProbeMetrics]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RoleRow:
    """The role of a layer, see `adapters.roles.Finding`; pairs are of the general and of the domain's experiment."""

    name: str
    role: Role
    stability: float
    votes: Mapping[Role, float]
    weights: tuple[float, ...]
    bars: tuple[float, ...]
    shares: tuple[float, ...]
    signed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class OtherRoles:
    """Roles by another choice of tokens, or of another fine-tune.

    Attributes:
        variant: The fine-tune.
        choice: "tokens/held out".
        roles: By layer.
        counts: Layers by role.
        same: Layers with the same role.
        n: Layers.
        chance: How many would agree if the roles were dealt out at random.
    """

    variant: str
    choice: str
    roles: Mapping[str, Role]
    counts: Mapping[Role, int]
    same: int
    n: int
    chance: float


@dataclass(frozen=True, kw_only=True)
class LayerAgreement:
    """A layer: its share of the weight in both probes, the fall when left out, and the rise when on alone."""

    layer: int
    role: Role
    general: float
    domain: float
    drop: float
    alone: float


@dataclass(frozen=True, kw_only=True)
class RankTest:
    """Rank correlation and its p by permutation; None where one side is constant."""

    rho: float | None
    p: float | None


@dataclass(frozen=True, kw_only=True)
class RoleMeans:
    """Mean fall and rise of the `n` layers of a role; None without any."""

    n: int
    drop: float | None
    alone: float | None


@dataclass(frozen=True, kw_only=True)
class RoleAgreement:
    """Whether interventions agree with the roles: by layer, as tests, by role, and in words."""

    layers: tuple[LayerAgreement, ...]
    tests: Mapping[Test, RankTest]
    means: Mapping[Role, RoleMeans]
    sentence: str
    arms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModuleForm:
    """An adapted module in canonical form.

    Attributes:
        path: Of the module.
        layer: Decoder layer.
        rank: Of the adapter.
        values: Singular values of what it adds.
        participation: Effective number of pairs.
        leading: Share of the squared norm in the leading pair.
    """

    path: str
    layer: int
    rank: int
    values: tuple[float, ...]
    participation: float
    leading: float


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Adapters as vectors that context switches on: the modules, the arms, and answers a question and arm."""

    modules: tuple[ModuleForm, ...]
    arms: tuple[AdapterArm, ...]
    samples: int


@dataclass(frozen=True, kw_only=True)
class PublishedRoles:
    """Published metrics by experiment (accuracy, precision, recall, F1, AUC), layers by role, and which these are."""

    experiments: Mapping[str, tuple[float, ...]]
    roles: Mapping[Role, int]
    layers: str


@dataclass(frozen=True, kw_only=True)
class Scalars:
    """What was read.

    Attributes:
        domain: Of the fine-tune.
        log_score: Threshold of significance, in nats.
        strength: C of the L1 penalty.
        repeats: Resamples.
        chosen: Where the roles come of, "tokens/held out".
        columns: The scalars.
        rates: A row a model and kind of question.
        sets: The four sets of tokens.
        experiments: The probes.
        roles: Of the layers.
        counts: Layers by role.
        others: Roles by other choices.
        paper: Published figures.
        vectors: Canonical pairs.
        agreement: With interventions; None where these were left out.
    """

    domain: str
    log_score: float
    strength: float
    repeats: int
    chosen: str
    columns: tuple[ColumnRow, ...]
    rates: tuple[GroupEffect, ...]
    sets: tuple[SetRow, ...]
    experiments: tuple[ExperimentRow, ...]
    roles: tuple[RoleRow, ...]
    counts: Mapping[Role, int]
    others: tuple[OtherRoles, ...]
    paper: PublishedRoles
    vectors: Vectors
    agreement: RoleAgreement | None
