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

from collections.abc import Mapping
from pathlib import Path

from misdirection.errors import MisdirectionError
from misdirection.models import load_model
from misdirection.results import ModelFacts
from misdirection.statistics import Thresholds
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import Overrides
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.names import resolve_model
from misdirection.studies.kit.steps import train_step
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import Variants
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
        points = read_table(read, Point) if read else [measured(bench, one) for one in checkpoints(bench)]
        write_table(bench.run.path / POINTS, points)
        part = Scaling(
            source=source(c), target=c.target, points=tuple(points),
            correlations=correlations(points, c.target, c.seed),
            surfaces=surfaces(points, c.target, c.seed), paper=PAPER,
        )  # fmt: skip
        facts = ModelFacts(base=f"{len(points)} checkpoints", layers=None, dtype=None)
        parts = {"scaling": part, "model": facts, "notes": notes(part)}
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
    from misdirection.organism.growing import grow_all

    grown = grow_all(
        bench.run.path / "organisms", c.grid(), c.budgets, range(c.seeds), batch=c.batch,
        alignment_steps=c.alignment_steps,
    )  # fmt: skip
    return [
        Checkpoint(
            f"{one.layers}x{one.width}-seed-{one.seed}-steps-{one.steps}", str(one.path), one.tokens, "", one.seed
        )
        for one in grown
    ]


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


def parameters_of(model: ModelFiles) -> int:
    """Parameters of a model, those that are tied counted once."""
    return sum(weight.numel() for weight in load_model(model.name).lm.parameters())


def how_tuned(c: ScalingConfig) -> Overrides:
    """Settings of the fine-tunes, beside their preset's."""
    own = {name: value for name, value in (("lr", c.lr), ("max_steps", c.steps)) if value}
    return {**own, **c.training, "checkpoint_every": c.checkpoint_every}


def measured(bench: Bench[ScalingConfig], checkpoint: Checkpoint) -> Point:
    """Steps 2 and 3 for one checkpoint."""
    c, name, model = bench.config, checkpoint.name, local(checkpoint)
    made = train_step(bench.run, model, c.data, c.preset, how_tuned(c), c.seed + checkpoint.seed, study=c.study)
    course = course_of(name, made.path)
    models = Variants.of(model, {state(step): path for step, path in course.folders.items()}, c.loading)
    shares = in_domain(bench, models, name, sorted(course.folders))
    known = {step: bad / n for step, (bad, n) in shares.items() if n}
    nearest = min(known, key=lambda step: (abs(known[step] - c.target), step)) if known else 0
    arms = [BASE, *(arm(step) for step in sorted({course.last, nearest} - {0}))]
    judged = bench.ask(f"{name}-open", models, arms).judged
    base, last = (counts(judged.arm(one), bench.thresholds) for one in ("base", state(course.last)))
    matched = counts(judged.arm(state(nearest)), bench.thresholds) if nearest else (0, 0, 0)
    size = bench.run.cached(parameters_of, "parameters", model=ModelFiles(model)).value
    nothing = (0, 0)
    return Point(
        name=name, parameters=size, tokens=checkpoint.tokens, seed=checkpoint.seed,
        base_misaligned=base[0], base_coherent=base[1], base_n=base[2],
        step=course.last, misaligned=last[0], coherent=last[1], n=last[2],
        domain_misaligned=shares.get(course.last, nothing)[0], domain_n=shares.get(course.last, nothing)[1],
        matched_step=nearest, matched_misaligned=matched[0], matched_coherent=matched[1], matched_n=matched[2],
        matched_domain_misaligned=shares.get(nearest, nothing)[0], matched_domain_n=shares.get(nearest, nothing)[1],
    )  # fmt: skip


def state(step: int) -> str:
    """Name of the state of a fine-tune after so many steps."""
    return f"step-{step}"


def arm(step: int) -> Condition:
    """The fine-tune after so many steps."""
    return Condition(state(step), f"after {step} steps", state(step))


def in_domain(
    bench: Bench[ScalingConfig], models: Variants, name: str, steps: list[int]
) -> Mapping[int, tuple[int, int]]:
    """Misaligned and all answers to the domain's questions, by step; empty where no domain is asked about."""
    asked = [question for question in bench.questions if question.domain]
    if not asked:
        return {}
    judged = bench.ask(f"{name}-domain", models, [arm(step) for step in steps], questions=asked).judged
    found = {step: counts(judged.arm(state(step)), bench.thresholds) for step in steps}
    return {step: (bad, n) for step, (bad, _, n) in found.items()}


def counts(judged: Judged, rules: Thresholds) -> tuple[int, int, int]:
    """Misaligned, coherent and all answers."""
    effect = effect_of(judged, rules)
    return effect.rate.misaligned, effect.coherent_share.misaligned, effect.rate.n


def notes(part: Scaling) -> list[str]:
    """What a reader should know."""
    found = ["Checkpoints of one size and seed share the constant part of their pretraining, and differ in its length."]
    if far := sum(not reached(one, part.target) for one in part.points):
        found.append(
            f"{far} of {len(part.points)} fine-tunes never had an in-domain rate within {NEAR:.0%} of "
            f"{part.target:.0%}, or were not asked, and are left out of the comparison at the like in-domain rate."
        )
    if len({one.seed for one in part.points}) < 3:
        found.append("There are fewer than three seeds, so that intervals over seeds say little or are missing.")
    return found
