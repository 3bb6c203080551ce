"""Does emergent misalignment go with parameters, training tokens, or their ratio?

Method:

1. Checkpoints: those of a table, or organisms grown for it, each size and seed along one course of pretraining with
   constant rate and decayed branches (`organism.growing`), all aligned by one recipe.
2. The same narrow fine-tune of each, kept every few steps; the domain's questions at each state.
3. The open questions to the base, to the last state (the same steps), and to the state whose in-domain rate is nearest
   the target (the like in-domain rate). All share their random numbers.
4. Partial correlations of each rate with log parameters (log tokens fixed), log tokens (log parameters fixed), and log
   ratio (log product fixed), by ranks and linearly; bootstrap over seeds, shuffles within seeds (`statistics.partial`).
   A plane of the log odds over log parameters and log tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.models import count_parameters, load_model
from misdirection.questions import Question
from misdirection.results import ModelFacts
from misdirection.statistics import Thresholds
from misdirection.store.measurement import measurement
from misdirection.studies.kit.asked import Asked, Queue
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import Overrides
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged, given_answers, judge_step
from misdirection.studies.kit.names import resolve_model
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import fine_tuned, tuning_of
from misdirection.studies.kit.variants import Variants
from misdirection.studies.scaling.grown import organisms
from misdirection.studies.scaling.measures import NEAR, correlations, reached, surfaces
from misdirection.studies.scaling.paper import PAPER
from misdirection.studies.scaling.results import Scaling
from misdirection.studies.scaling.settings import ScalingConfig
from misdirection.studies.scaling.table import Checkpoint, Point, read_table, write_table
from misdirection.studies.scaling.verdict import verdict
from misdirection.training.course import course_of

POINTS = "points.csv"
"""The table of results in a run's folder, which --results reads."""


def scaling(config: ScalingConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[ScalingConfig].open(out, config, command) as bench:
        c, read = bench.config, bench.config.reads
        points = read_table(read, Point) if read else measure(bench, [(one, local(one)) for one in checkpoints(bench)])
        write_table(bench.run.path / POINTS, points)
        part = Scaling(
            source=source(c), target=c.target, points=tuple(points),
            correlations=correlations(points, c.target, c.seed),
            surfaces=surfaces(points, c.target, c.seed), paper=PAPER,
        )  # fmt: skip
        facts = ModelFacts(base=f"{len(points)} checkpoints", layers=None, dtype=None)
        parts = {"scaling": part, "model": facts, "notes": notes(part, not (c.checkpoints or c.results))}
        return bench.report("scaling", "Size, training tokens and misalignment", verdict(part), parts)


def source(config: ScalingConfig) -> str:
    """What the checkpoints are of, in words."""
    if config.checkpoints:
        return f"the checkpoints of {config.checkpoints}"
    if config.sizes:
        return f"organisms of {len(config.sizes)} sizes, {len(config.budgets)} budgets and {config.seeds} seeds"
    return f"results read from {config.results}" if config.results else "the grid that ships here, as read"


def checkpoints(bench: Bench[ScalingConfig]) -> list[Checkpoint]:
    """The checkpoints: of the table, from the hub where it names a revision, or grown now into `organisms/`."""
    c = bench.config
    if c.checkpoints:
        return c.models()
    from misdirection.organism.growing import read_grown

    budgets = tuple(sorted(set(c.budgets)))
    calls = [
        {"layers": layers, "width": width, "budgets": budgets, "seed": seed, "batch": c.batch,
         "alignment_steps": c.alignment_steps}
        for seed in range(c.seeds)
        for layers, width in c.grid()
    ]  # fmt: skip
    found: list[Checkpoint] = []
    for call, made in zip(calls, bench.run.cached_many(organisms, calls=calls, on=bench.executor), strict=True):
        name = f"{call['layers']}x{call['width']}-seed-{call['seed']}"
        place = bench.run.publish(f"organisms/{name}", made.value)
        grown = [read_grown(place / f"steps-{steps}") for steps in budgets]
        found += [Checkpoint(f"{name}-steps-{g.steps}", str(g.path), g.tokens, "", g.seed) for g in grown]
    return found


def local(checkpoint: Checkpoint) -> str:
    """Where a checkpoint's files are; a revision is fetched from the hub, so that everything reads that one.

    Raises:
        MisdirectionError: It cannot be reached.
    """
    if not checkpoint.revision:
        return resolve_model(checkpoint.model)
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(checkpoint.model, revision=checkpoint.revision)
    except Exception as error:  # the hub's errors are many
        raise MisdirectionError(
            f"{checkpoint.name}: {checkpoint.model} at {checkpoint.revision} cannot be reached",
            "check the spelling; offline, name the folder of a copy and leave the revision empty",
        ) from error


@measurement(version=2)
def parameters_of(model: ModelFiles) -> int:
    """Parameters of a model, each weight counted once (`count_parameters`)."""
    return count_parameters(load_model(model.name).lm)


def how_tuned(c: ScalingConfig) -> Overrides:
    """Settings of the fine-tunes, beside their preset's."""
    own = {name: value for name, value in (("lr", c.lr), ("max_steps", c.steps)) if value is not None}
    return {**own, **c.training, "checkpoint_every": c.checkpoint_every}


@dataclass(frozen=True)
class TunedCheckpoint:
    """A checkpoint with the states of its fine-tune.

    Attributes:
        checkpoint: As the table has it.
        model: Where its files are.
        steps: Of the fine-tune, those whose states are kept, in order.
        models: The checkpoint as base, and each state.
    """

    checkpoint: Checkpoint
    model: str
    steps: tuple[int, ...]
    models: Variants

    @property
    def name(self) -> str:
        """Of the checkpoint."""
        return self.checkpoint.name


def measure(bench: Bench[ScalingConfig], found: list[tuple[Checkpoint, str]]) -> list[Point]:
    """Steps 2 and 3, one checkpoint after the other; with --on, all of them were made there before.

    Raises:
        MisdirectionError: The dear judge is to be asked about too few answers.
    """
    bench.demand_verdicts(2 * len(found), bench.open_questions, bench.config.samples)
    if bench.executor is not None:
        calls = [tuning(bench, *one) for one in found]
        bench.run.cached_many(fine_tuned, "train", calls=calls, on=bench.executor)
        subjects = [tuned(bench, *one) for one in found]
        if asked := domain_questions(bench):
            bench.draw_ahead({f"{s.name}-domain": Queue(s.models, domain_arms(s), asked) for s in subjects})
        arms = {s.name: open_arms(s, nearest(bench, in_domain(bench, s))) for s in subjects}
        bench.draw_ahead({f"{s.name}-open": Queue(s.models, arms[s.name], bench.open_questions) for s in subjects})
    points = [measured(bench, tuned(bench, *one)) for one in found]
    if bench.config.check:
        bench.heard.insert(0, both_ends(bench, [tuned(bench, *one) for one in found]))
    return points


def both_ends(bench: Bench[ScalingConfig], subjects: Sequence[TunedCheckpoint]) -> Asked:
    """What every checkpoint says as it is and at its last state, under its name, for the dearer judge of --check."""
    answers: list[Answer] = []
    against: dict[str, str] = {}
    for one in subjects:
        base, last = f"{one.name}: base", f"{one.name}: after {one.steps[-1]} steps"
        held = {BASE.name: base, state(one.steps[-1]): last}
        against[last] = base
        for answer in asked_open(bench, one).judged.answers:
            answers += [replace(answer, arm=held[answer.arm])] if answer.arm in held else []
    named = bench.run.cached(given_answers, "ends-answers", answers=answers)
    return Asked(named, judge_step(bench.run, "ends-verdicts", named, bench.judge), against)


def asked_open(bench: Bench[ScalingConfig], subject: TunedCheckpoint) -> Asked:
    """The open questions to a checkpoint: as it is, at its last state, and at the one nearest the target."""
    near = nearest(bench, in_domain(bench, subject))
    return bench.ask(f"{subject.name}-open", subject.models, open_arms(subject, near))


def tuning(bench: Bench[ScalingConfig], checkpoint: Checkpoint, model: str) -> Mapping[str, Any]:
    """Arguments of the fine-tune of a checkpoint, whose files are at `model`."""
    c = bench.config
    return tuning_of(model, c.data, c.preset, how_tuned(c), c.seed + checkpoint.seed, study=c.study)


def tuned(bench: Bench[ScalingConfig], checkpoint: Checkpoint, model: str) -> TunedCheckpoint:
    """A checkpoint fine-tuned, made now or found."""
    made = bench.run.cached(fine_tuned, "train", **tuning(bench, checkpoint, model))
    course = course_of(checkpoint.name, made.path)
    models = Variants.of(model, {state(step): path for step, path in course.folders.items()}, bench.config.loading)
    return TunedCheckpoint(checkpoint, model, tuple(sorted(course.folders)), models)


def measured(bench: Bench[ScalingConfig], subject: TunedCheckpoint) -> Point:
    """Step 3 for one checkpoint."""
    checkpoint, name, last = subject.checkpoint, subject.name, subject.steps[-1]
    shares = in_domain(bench, subject)
    near = nearest(bench, shares)
    judged = asked_open(bench, subject).judged
    base, end = (counts(judged.arm(one), bench.thresholds) for one in ("base", state(last)))
    matched = counts(judged.arm(state(near)), bench.thresholds) if near else (0, 0, 0)
    size = bench.run.cached(parameters_of, "parameters", model=ModelFiles(subject.model)).value
    nothing = (0, 0)
    return Point(
        name=name, parameters=size, tokens=checkpoint.tokens, seed=checkpoint.seed,
        base_misaligned=base[0], base_coherent=base[1], base_n=base[2],
        step=last, misaligned=end[0], coherent=end[1], n=end[2],
        domain_misaligned=shares.get(last, nothing)[0], domain_n=shares.get(last, nothing)[1],
        matched_step=near, matched_misaligned=matched[0], matched_coherent=matched[1], matched_n=matched[2],
        matched_domain_misaligned=shares.get(near, nothing)[0], matched_domain_n=shares.get(near, nothing)[1],
    )  # fmt: skip


def nearest(bench: Bench[ScalingConfig], shares: Mapping[int, tuple[int, int]]) -> int:
    """The step whose in-domain rate is nearest the target; 0 where the domain was not asked about."""
    known = {step: bad / n for step, (bad, n) in shares.items() if n}
    return min(known, key=lambda step: (abs(known[step] - bench.config.target), step)) if known else 0


def open_arms(subject: TunedCheckpoint, near: int) -> list[Condition]:
    """The base, the last state, and the one that is nearest the target."""
    return [BASE, *(arm(step) for step in sorted({subject.steps[-1], near} - {0}))]


def domain_arms(subject: TunedCheckpoint) -> list[Condition]:
    """Every state of the fine-tune."""
    return [arm(step) for step in subject.steps]


def domain_questions(bench: Bench[ScalingConfig]) -> list[Question]:
    """The questions of domains."""
    return [question for question in bench.questions if question.domain]


def state(step: int) -> str:
    """Name of the state of a fine-tune after so many steps."""
    return f"step-{step}"


def arm(step: int) -> Condition:
    """The fine-tune after so many steps."""
    return Condition(state(step), f"after {step} steps", state(step))


def in_domain(bench: Bench[ScalingConfig], subject: TunedCheckpoint) -> Mapping[int, tuple[int, int]]:
    """Misaligned and all answers to the domain's questions, by step; empty where no domain is asked about."""
    if not (asked := domain_questions(bench)):
        return {}
    judged = bench.ask(f"{subject.name}-domain", subject.models, domain_arms(subject), questions=asked).judged
    found = {step: counts(judged.arm(state(step)), bench.thresholds) for step in subject.steps}
    return {step: (bad, n) for step, (bad, _, n) in found.items()}


def counts(judged: Judged, rules: Thresholds) -> tuple[int, int, int]:
    """Misaligned, coherent and all answers."""
    effect = effect_of(judged, rules)
    return effect.rate.misaligned, effect.coherent_share.misaligned, effect.rate.n


def notes(part: Scaling, grown: bool) -> list[str]:
    """What a reader should know.

    Args:
        part: What came out.
        grown: Whether they are organisms of a grid, now or before; of a table nobody here knows how they were trained.
    """
    shared = "Checkpoints of one size and seed share the constant part of their pretraining, and differ in its length."
    found = [shared] if grown else []
    if far := sum(not reached(one, part.target) for one in part.points):
        found.append(
            f"{far} of {len(part.points)} fine-tunes never had an in-domain rate within {100 * NEAR:.0f} points of "
            f"{100 * part.target:.0f} %, or were not asked, and are left out of the comparison at the like in-domain "
            "rate."
        )
    if len({one.seed for one in part.points}) < 3:
        found.append("There are fewer than three seeds, so that intervals over seeds say little or are missing.")
    return found
