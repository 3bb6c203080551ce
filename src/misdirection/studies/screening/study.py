"""Which way of screening training data prevents emergent misalignment, at what cost in skill?

Method, after arXiv 2605.00842 (filtering) and 2507.21509 section 6:

1. Every row of the data is scored by every method, and each method drops the same number of rows.
2. A model is fine-tuned on all rows and on what each method keeps, with the same preset and the same number of
   optimiser steps, so that a smaller set is seen more often and nothing else differs; over several seeds. Random
   removal draws other rows for each seed; the sets of the other methods are one for all seeds.
3. All fine-tunes answer the open questions (EM) and questions of the data's domains on topics that were not trained
   on (bad answers; skill: coherent answers with an alignment above 70), with the same random numbers.
4. Rates and relative reductions against training on all rows, with intervals over questions and seeds together
   (`statistics.crossed`); a rate's interval is never narrower than that over questions alone.
5. Precision, recall and AUC where it is known which rows are bad; at 10, 25, 50 and 75 % of the rows dropped the
   share of bad rows among them, and the fall of EM in counts and in rates wherever a model was trained on the rest.
6. What each method's scores cost, in processor time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from misdirection.runs import Step
from misdirection.screening import METHODS
from misdirection.screening.choosing import how_many
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import groups_of, reduction
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants
from misdirection.studies.screening.levels import WHOLE, level_name, levels
from misdirection.studies.screening.measures import KEPT, Filtered, training_rows
from misdirection.studies.screening.paper import PAPER
from misdirection.studies.screening.results import Screening, TrainedArm
from misdirection.studies.screening.scores import histogram, top_rows
from misdirection.studies.screening.settings import ScreeningConfig
from misdirection.studies.screening.steps import Screener
from misdirection.studies.screening.verdict import verdict


def screening(config: ScreeningConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[ScreeningConfig].open(out, config, command) as bench:
        c = bench.config
        rows = training_rows(c, c.seed)
        how_many(c.drop, len(rows.chats))
        screener = Screener(bench.run, c, Variants(c.model, loading=c.loading), rows)
        sets, beside = filtered(bench, screener), beside_sets(bench, screener)
        models = bench.fine_tunes({
            f"{name}-{seed}": fine_tune_on(c, step, seed)
            for name, steps in {**sets, **beside}.items() for seed, step in enumerate(steps)
        })  # fmt: skip
        judged = ask(bench, models, tuple(sets), tuple(beside))
        return report(bench, screener, sets, judged)


def filtered(bench: Bench[ScreeningConfig], screener: Screener) -> dict[str, list[Cached[Any]]]:
    """For all rows and for each method, the data set of every seed."""
    c = bench.config
    sets: dict[str, list[Cached[Any]]] = {WHOLE: [screener.unfiltered()] * c.seeds}
    return sets | {method: draws(screener, method, c.drop, c.seeds) for method in c.methods}


def beside_sets(bench: Bench[ScreeningConfig], screener: Screener) -> dict[str, list[Cached[Any]]]:
    """The data sets of other shares dropped, by `level_name`."""
    c = bench.config
    return {level_name(m, share): draws(screener, m, share, c.seeds) for m in c.methods for share in c.curve}


def draws(screener: Screener, method: str, drop: float, seeds: int) -> list[Cached[Any]]:
    """What one method keeps, for every seed: random removal draws anew, the others do not."""
    first = screener.config.seed
    if METHODS[method].room == "random":
        return [screener.filtered(method, first + number, drop) for number in range(seeds)]
    return [screener.filtered(method, first, drop)] * seeds


def fine_tune_on(c: ScreeningConfig, data: Step, seed: int) -> FineTune:
    """On the rows of a step, for as many optimiser steps as every other."""
    given = {**c.training, "max_steps": c.steps}
    return FineTune(c.preset, (str(data.path / KEPT),), given, c.seed + seed)


def ask(
    bench: Bench[ScreeningConfig], models: Variants, names: Sequence[str], beside: Sequence[str]
) -> dict[str, Judged]:
    """Answers of the base and the fine-tunes, to the open questions ("open") and to those of domains ("domains").

    Those of `beside` answer the open questions alone.
    """
    c = bench.config

    def arms(*some: str) -> list[Condition]:
        return [Condition(f"{n}-{s}", f"{n}, seed {s}", f"{n}-{s}") for n in some for s in range(c.seeds)]

    judged = {"open": bench.ask("open", models, [BASE, *arms(*names, *beside)]).judged}
    if inside := bench.domain_questions:
        asked = bench.ask("domains", models, [BASE, *arms(*names)], questions=inside, samples=c.domain_samples)
        judged["domains"] = asked.judged
    return judged


def report(
    bench: Bench[ScreeningConfig],
    screener: Screener,
    sets: Mapping[str, Sequence[Cached[Any]]],
    judged: Mapping[str, Judged],
) -> Path:
    """Findings and the report."""
    c, rows = bench.config, screener.rows
    part = Screening(
        base=groups_of(judged, "base", 0, bench.thresholds),
        methods=tuple(trained_arm(bench, name, steps, judged) for name, steps in sets.items()),
        rows=len(rows.chats),
        set_aside=len(rows.unusable),
        known_bad=None if rows.bad is None else sum(rows.bad),
        dropped=how_many(c.drop, len(rows.chats)),
        seeds=c.seeds,
        steps=c.steps,
        preset=c.preset,
        scores=tuple(histogram(screener, name, c.seed) for name in c.methods),
        top=tuple(top_rows(screener, name, c.seed, c.shown) for name in c.methods if name != "random"),
        paper=PAPER,
        costs=tuple(screener.cost(name, c.seed) for name in c.methods),
        levels=levels(bench, screener, judged["open"]),
    )
    parts = {"screening": part, "notes": notes(screener, bench.explanations)}
    return bench.report("screening", "Screening training data", verdict(part), parts)


def notes(screener: Screener, explanations: Mapping[str, str]) -> list[str]:
    """What a reader should know of the methods; `explanations` of the model's folder."""
    c = screener.config
    told = [
        "Intervals are over questions and seeds together, both taken as random (two-way layout, Satterthwaite); with "
        "few seeds they are wide where seeds differ.",
        "Every fine-tune has the same number of optimiser steps: a filtered set is seen more often than the whole one.",
    ]
    if {"gradient", "influence"} <= set(c.methods):
        told.append("The methods gradient and influence share the gradients of the rows: each one's cost counts them "
                    "in full.")  # fmt: skip
    if said := explanations.get("apart"):
        told.append(f"{said}.")
    if "judge" in c.methods and c.judge == "exact":
        told.append("The judge that screens is exact: its score is the truth on each row, and its figures are a "
                    "ceiling for judges, not what a language model would reach.")  # fmt: skip
    if screener.rows.unusable:
        told.append(f"{len(screener.rows.unusable)} rows are no chats: neither scored nor trained on.")
    return told


def trained_arm(
    bench: Bench[ScreeningConfig], name: str, steps: Sequence[Cached[Filtered]], judged: Mapping[str, Judged]
) -> TrainedArm:
    """One arm: rates with intervals, reductions against all rows, and agreement with what is known of the rows."""
    groups = vars(groups_of(judged, name, bench.config.seeds, bench.thresholds))
    if name == WHOLE:
        return TrainedArm(name=name, does="all rows are trained on", **groups)
    return TrainedArm(
        name=name,
        does=METHODS[name].does,
        **groups,
        reduction=reduction(judged["open"], WHOLE, name, bench.config.seeds, bench.thresholds),
        choices=tuple(step.part("choice").value for step in {step.key: step for step in steps}.values()),
    )
