"""The audit: is the tuned model misaligned, where is the direction, what does removing it do, how sure is each figure?

Method, after arXiv 2506.11618 sections 2 and 3:

1. Base and tuned model answer the same open (and, apart from them, in-domain) questions with the same random numbers;
   a judge scores alignment and coherence; rates come with intervals over questions.
2. What tuning moved is measured without the judge: activations and next-token distributions on the same answers.
3. The misalignment direction is the difference of means between the tuned model's misaligned and aligned answers.
4. It is tested by steering the base model: a coarse sweep over layers and coefficients, whose best point is measured
   again on fresh random numbers, beside a random direction of the same norm,
5. and by removing it from the tuned model: projected out, its component set to the aligned mean, or capped where the
   base model's own answers end (2601.10387), each beside random directions and a no-op.
   With a dictionary its latents are held at 0 too, those of one of two lists (`latents`), beside random ones.
6. After each removal the component is measured again behind every layer, also where it acted at one layer alone.
7. With `--fix` the tuned model is repaired in its weights (`fixing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from misdirection.directions.layers import spread_layers
from misdirection.errors import MisdirectionError
from misdirection.statistics import Thresholds
from misdirection.studies.audit.cures import Cures, LatentCures
from misdirection.studies.audit.drift import coloured_answers
from misdirection.studies.audit.evidence import Evidence, Steered
from misdirection.studies.audit.findings import write_findings
from misdirection.studies.audit.fixing import fix
from misdirection.studies.audit.latents import hold, holds
from misdirection.studies.audit.results import ComponentLeft
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.conditions import (
    BASE,
    RANDOM_SEEDS,
    REMOVALS,
    TUNED,
    Condition,
    Operation,
    alone,
    cures,
    single_cures,
    steering_grid,
    steering_point,
)
from misdirection.studies.kit.inputs import read_config, resolve_model
from misdirection.studies.kit.judged import Judged, kept
from misdirection.studies.kit.lens import open_lens
from misdirection.studies.kit.own_direction import direction_of, vector_of
from misdirection.studies.kit.sweep import best_point, shares_of

COLOURED = 16
"""Answers whose tokens are shown coloured by their projection."""


def audit(config: AuditConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) an audit in the folder `out`.

    Args:
        config: What is audited and how.
        out: Folder of the run; `findings.json` there holds every figure of the report.
        command: The command line, for the report.

    Returns:
        Path of the HTML report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    config = config.completed()
    check_layers(config)
    if config.dictionary:
        open_lens(config, config.dictionary)
    with Workbench.open(out, config, command) as bench:
        answers, verdicts, _ = bench.answers, bench.verdicts, bench.panel
        # The dear judge is asked early: where it cannot be, that is known before hours of work.
        bench.checked(Asked(answers, verdicts))
        moved = bench.drift
        steering = None if bench.refusal else steer(bench)
        layer = steering.layer if steering else strongest_layer(bench)
        cured = None if bench.refusal else cure(bench)
        held = hold_latents(bench) if cured else None
        shown = moved.part("direction") if bench.refusal else vector_of(bench.direction)
        tokens = bench.run.cached(
            coloured_answers, "tokens", models=bench.models, judged=kept(answers, verdicts),
            direction=shown, layer=layer, most=COLOURED,
        )  # fmt: skip
        left = components(bench, cured, held) if cured else None
        fixed = fix(bench, cured.layers) if cured and bench.config.fix else None
        if fixed is None:
            # What an earlier start with other settings left is no repair of this one.
            bench.run.retract("repaired")
        return write_findings(Evidence(bench, layer, steering, cured, left, tokens.value, fixed, held))


def check_layers(config: AuditConfig) -> None:
    """Refuse layers that the model does not have, before hours of work that end at them.

    Raises:
        MisdirectionError: The model has no such layer.
    """
    if not config.layers:
        return
    count = read_config(resolve_model(config.model), config.trust_remote_code).num_hidden_layers
    if wrong := [layer for layer in config.layers if not 0 <= layer < count]:
        raise MisdirectionError(
            f"--layers: {config.model} has no layer {', '.join(map(str, wrong))}", f"its layers are 0 to {count - 1}"
        )


def steer(bench: Workbench) -> Steered:
    """Sweep layers and coefficients on one set of random numbers; measure the best point and its control on another."""
    layers = bench.config.layers or spread_layers(len(direction_of(bench.direction).vectors))
    grid = [BASE, *steering_grid(layers, bench.config.coefficients)]
    swept = bench.measure("sweep", grid, bench.config.sweep_samples, stream=1)
    layer, coefficient = best_point(swept, grid[1:], bench.thresholds, bench.config.coherent_share)
    chosen = [BASE, steering_point(layer, coefficient), steering_point(layer, coefficient, random_seed=1)]
    again = bench.measure("best", chosen, bench.config.samples, stream=2)
    return Steered(layer, coefficient, grid, swept, chosen, again)


def cure(bench: Workbench) -> Cures:
    """Remove the direction from the tuned model in each way, beside the controls, with paired random numbers.

    Whose layer's direction is best removed from all layers is found by a coarse sweep on other random numbers.
    """
    layers = bench.config.layers or spread_layers(len(direction_of(bench.direction).vectors))
    caps = bench.caps(layers)
    coarse = single_cures(layers, caps)
    swept = bench.measure("cure-sweep", [TUNED, *coarse], bench.config.sweep_samples, stream=3)
    best: dict[Operation, int] = {
        operation: best_removal(
            swept, [c for c in coarse if c.along and c.along.operation == operation], bench.thresholds
        )
        for operation in REMOVALS
    }
    conditions = cures(best, caps)
    judged = bench.measure("cures", [TUNED, *conditions], bench.config.samples)
    return Cures(conditions, judged, best, alone(best, caps))


def hold_latents(bench: Workbench) -> LatentCures | None:
    """Hold latents of the dictionary at 0 in the tuned model, beside random ones; None where none is named.

    Which of the lists is measured is found by a coarse sweep, on the random numbers of the other removals' sweep.
    """
    if (lens := bench.lens) is None:
        return None
    chosen = bench.latents(lens)
    if not chosen.lists:
        return LatentCures(lens, chosen)
    arms = [hold(lens, one) for one in chosen.lists]
    swept = bench.measure("latents-sweep", arms, bench.config.sweep_samples, stream=3)
    best = chosen.lists[arms.index(most_harmless(swept, arms, bench.thresholds))]
    conditions = holds(lens, best, RANDOM_SEEDS)
    judged = bench.measure("latents-cures", conditions, bench.config.samples)
    return LatentCures(lens, chosen, best.name, swept, conditions, judged)


def components(bench: Workbench, cured: Cures, held: LatentCures | None) -> tuple[ComponentLeft, ...]:
    """The component of misaligned answers behind every layer: untouched, under each removal, and at one layer alone."""
    found = bench.left("components", bench.models, [TUNED, *cured.conditions, *cured.alone])
    if held is None or not held.conditions:
        return found
    past = 1 + len(cured.conditions)
    return (*found[:past], *bench.left("latents-components", bench.models, held.conditions), *found[past:])


def best_removal(swept: Judged, candidates: Sequence[Condition], rules: Thresholds) -> int:
    """The layer whose removal leaves the most answers coherent and not misaligned."""
    best = most_harmless(swept, candidates, rules).along
    assert best is not None and best.single is not None
    return best.single


def most_harmless(swept: Judged, candidates: Sequence[Condition], rules: Thresholds) -> Condition:
    """The removal that leaves the most answers coherent and not misaligned."""

    def harmless(candidate: Condition) -> float:
        misaligned, coherent = shares_of(swept, candidate, rules)
        return coherent - misaligned

    return max(candidates, key=harmless)


def strongest_layer(bench: Workbench) -> int:
    """The layer at which the drift is largest against its sign-flip null."""
    return bench.drift.value.direction.clearest_layer
