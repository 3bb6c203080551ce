"""When does misalignment appear in the course of a fine-tune, and what in the weights turns then?

Method, after arXiv 2506.11613 section 4 and its appendices F and G:

1. A fine-tune on bad data keeps its adapter every few steps; A, B and the gradient's norm are read over the steps.
2. The direction of B: its local cosine similarity (appendix F) with the noise filter, its principal components, its
   cosine with the last; for several adapters the comp score (appendix G.1). Other seeds and a fine-tune on correct data
   are read in the same way; the path's increments in random order are the null.
3. All checkpoints, beside each other in one resident base, answer the open questions with their adapter scaled by each
   factor, and those of the domain as they are; a judge scores them. Controls: the last adapter times 0, a random
   adapter of its norm, and the fine-tune on correct data.
4. Activations of all checkpoints on the base's own answers: their drift, its cosine with the last drift and with the
   misalignment direction of the last checkpoint; B with that direction.
5. The step at which each turns, with an interval (`statistics.turning`), also under other thresholds of the judge.

Vectors that others published by step (`--tensors`) get step 4's cosine alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from misdirection.results import ModelFacts
from misdirection.store import Folder
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition, Scaled
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import refusal
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import BASE_VARIANT, Variants
from misdirection.studies.phases.behaviour import Series, arm_name, behaviour_curve, robustness, scaled
from misdirection.studies.phases.results import Control, OtherFineTune, Phases, States, Weights
from misdirection.studies.phases.settings import PhasesConfig
from misdirection.studies.phases.states import activations, b_on_direction, drift_of, published_path
from misdirection.studies.phases.verdict import differences, turns, verdict, verdict_of_published
from misdirection.studies.phases.weights import weigh
from misdirection.training.course import Course, course_in, course_of
from misdirection.training.trajectory import random_adapter


def phases(config: PhasesConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input.
    """
    with Bench[PhasesConfig].open(out, config, command) as bench:
        if bench.config.tensors:
            return report_tensors(bench)
        courses = follow(bench)
        weights = weigh_all(bench, courses)
        models = variants(bench, courses)
        behaviour = ask(bench, models, courses)
        states = read_states(bench, models, courses[0], behaviour)
        return report(bench, models, courses, weights, behaviour, states)


def follow(bench: Bench[PhasesConfig]) -> list[Course]:
    """The fine-tune that is followed, those with other seeds, and the one on correct data."""
    c = bench.config
    if c.checkpoints:
        return [course_in(c.checkpoints)]
    run = c.training()
    wanted = {"main": FineTune(c.preset, c.data, run, c.seed)}
    wanted |= {f"seed-{c.seed + i}": FineTune(c.preset, c.data, run, c.seed + i) for i in range(1, c.seeds + 1)}
    if c.control_data:
        wanted["control"] = FineTune(c.preset, c.control_data, run, c.seed)
    return [course_of(name, bench.train(one, name).path) for name, one in wanted.items()]


def weigh_all(bench: Bench[PhasesConfig], courses: Sequence[Course]) -> dict[str, Weights]:
    """The weights of every course; what is noise in the first is noise in the others, whose B may end shorter."""
    main = weights_of(bench, courses[0], bench.config.noise)
    noise = bench.config.noise if main.local is None else repr(main.local.threshold)
    return {courses[0].name: main} | {course.name: weights_of(bench, course, noise) for course in courses[1:]}


def weights_of(bench: Bench[PhasesConfig], course: Course, noise: str) -> Weights:
    """Every measure of a course's weights."""
    checkpoints = {step: ModelFiles(str(folder)) for step, folder in course.folders.items()}
    return bench.run.cached(
        weigh, "weights", checkpoints=checkpoints, gradients=course.gradients,
        distances=bench.config.distances(sorted(checkpoints)), noise=noise, comp_as=bench.config.comp,
        width=bench.width,
    ).value  # fmt: skip


def variants(bench: Bench[PhasesConfig], courses: Sequence[Course]) -> Variants:
    """The base with every checkpoint that answers, and the controls."""
    main = courses[0]
    folders = {f"step-{step}": main.folders[step] for step in bench.config.answering(sorted(main.folders))}
    folders |= {course.name: course.folders[course.last] for course in courses if course.name == "control"}
    if main.adapters:
        last = ModelFiles(str(main.folders[main.last]))
        folders["random"] = bench.run.cached(
            random_beside, "random-adapter", adapter=last, seed=bench.config.seed
        ).value
    return bench.variants(folders)


def random_beside(adapter: ModelFiles, seed: int, folder: Folder) -> Path:
    """The last adapter with random columns of the same norms for B: a control of scaling."""
    random_adapter(adapter.name, folder / "adapter", seed=seed)
    return folder / "adapter"


def ask(bench: Bench[PhasesConfig], models: Variants, courses: Sequence[Course]) -> dict[str, Asked]:
    """Answers by what was asked: one step a factor, one for the controls, one for the domain.

    Without a judge only the base answers, for the activations to be read on.
    """
    c, main = bench.config, courses[0]
    if c.judge == "none":
        return {"base": bench.ask("base", models, [BASE], samples=c.state_samples)}
    steps = c.answering(sorted(main.folders))
    asked: dict[str, Asked] = {}
    for scale in scales(c, main):
        arms = [scaled(step, scale) for step in steps]
        asked[f"x{scale:g}"] = bench.ask(f"x{scale:g}", models, [BASE, *arms] if scale == 1 else arms)
    asked["controls"] = bench.ask("controls", models, controls(c, models, main))
    if domain := [question for question in bench.questions if question.domain]:
        arms = [BASE, *(scaled(step, 1.0) for step in steps)]
        asked["domain"] = bench.ask("domain", models, arms, questions=domain)
    return asked


def scales(config: PhasesConfig, course: Course) -> tuple[float, ...]:
    """The factors; whole models have no adapter to scale."""
    return tuple(sorted(config.scales, key=lambda scale: scale != 1)) if course.adapters else (1.0,)


def controls(config: PhasesConfig, models: Variants, main: Course) -> list[Condition]:
    """What should not misalign: the last adapter times 0, a random one of its norm, the fine-tune on correct data."""
    last = f"step-{main.last}"
    arms = [Condition("off", "last adapter x 0", last, (Scaled(others=0.0),), control=True)] if main.adapters else []
    for variant, label in (("random", "random adapter of the same norm"), ("control", "fine-tune on correct data")):
        if variant in models.fine_tunes:
            arms += [
                Condition(f"{variant} x{s:g}", f"{label} x {s:g}", variant, (Scaled(others=s),), control=True)
                for s in sorted(scales(config, main))
            ]
    return arms


def read_states(
    bench: Bench[PhasesConfig], models: Variants, main: Course, behaviour: Mapping[str, Asked]
) -> tuple[States, list[str]]:
    """Drift of the activations over the steps, with the misalignment direction where there is one; and notes."""
    c = bench.config
    layer = round(0.75 * (bench.n_layers - 1)) if c.state_layer is None else c.state_layer
    steps = c.answering(sorted(main.folders))
    first = behaviour.get("x1") or behaviour["base"]
    variants = [BASE_VARIANT, *(f"step-{step}" for step in steps)]
    states = bench.run.cached(
        activations, "states", models=models, answers=first.answers, questions=[q.id for q in bench.open_questions],
        samples=c.state_samples, variants=variants, layer=layer, how=bench.convention,
    )  # fmt: skip
    direction = bench.find_direction(models, first, f"step-{main.last}") if "x1" in behaviour else None
    why = "nothing was judged" if direction is None else refusal(direction)
    known = None if direction is None or why else direction.value.direction
    b = b_on_direction(main, known) if known is not None and main.adapters else []
    drift = drift_of(states.part("means").value, [0, *steps], known, layer, c.seed, b)
    return drift, [f"no misalignment direction of the last checkpoint: {why}"] if why else []


def report(
    bench: Bench[PhasesConfig],
    models: Variants,
    courses: Sequence[Course],
    weights: Mapping[str, Weights],
    behaviour: Mapping[str, Asked],
    states: tuple[States, list[str]],
) -> Path:
    """Findings and the report."""
    c, main = bench.config, courses[0]
    series = curves(bench, main, behaviour)
    part = Phases(
        training=main.facts.get("settings", {}),
        steps=tuple(sorted(main.folders)),
        noise=c.noise,
        weights=weights["main"],
        others=tuple(OtherFineTune(name=name, weights=w) for name, w in weights.items() if name != "main"),
        behaviour=tuple(behaviour_curve(one, bench.thresholds, c.seed) for one in series),
        states=states[0],
        controls=control_rows(bench, models, main, behaviour),
        robustness=tuple(row for one in series if one.name == "open" for row in robustness(one, c.seed)),
    )
    part = replace(part, turns=turns(part))
    part = replace(part, differences=differences(part, bench.explanations))
    lost = part.weights.local.missing if part.weights.local else ()
    notes = [f"no local cosine for k = {k}: no checkpoint has another {k} steps before and after it" for k in lost]
    notes += [*states[1], *main.facts.get("notes", [])]
    if not main.adapters:
        notes.append("whole models: no A and B to follow and nothing to scale; gradient, answers and activations only")
    parts = {"phases": part, "published": None, "notes": notes}
    return bench.report("phases", "The course of a fine-tune", verdict(part), parts)


def curves(bench: Bench[PhasesConfig], main: Course, behaviour: Mapping[str, Asked]) -> list[Series]:
    """The curves of answers over steps: open questions at each factor, each domain at factor 1."""
    steps = bench.config.answering(sorted(main.folders))
    series: list[Series] = []
    for scale in sorted(scales(bench.config, main)):
        if f"x{scale:g}" in behaviour:
            arms = {0: "base", **{step: arm_name(step, scale) for step in steps}}
            base = behaviour["x1"].judged.arm("base")
            tuned = behaviour[f"x{scale:g}"].judged.where(lambda a: a.arm != "base")
            both = Judged(base.answers + tuned.answers, base.verdicts + tuned.verdicts)
            series.append(Series("open", scale, arms, both, bench.open_questions))
    if "domain" in behaviour:
        arms = {0: "base", **{step: arm_name(step, 1.0) for step in steps}}
        for domain in dict.fromkeys(q.domain for q in bench.questions if q.domain):
            asked = [q for q in bench.questions if q.domain == domain]
            series.append(Series(str(domain), 1.0, arms, behaviour["domain"].judged, asked))
    return series


def control_rows(
    bench: Bench[PhasesConfig], models: Variants, main: Course, behaviour: Mapping[str, Asked]
) -> tuple[Control, ...]:
    """What the controls answer."""
    if "controls" not in behaviour:
        return ()
    judged = behaviour["controls"].judged
    return tuple(
        Control(arm=arm.name, label=arm.label, **vars(effect_of(judged.arm(arm.name), bench.thresholds)))
        for arm in controls(bench.config, models, main)
    )


def report_tensors(bench: Bench[PhasesConfig]) -> Path:
    """Findings and report of published vectors by step."""
    file = bench.config.tensors
    path = bench.run.cached(published_path, "tensors", file=file).value
    parts = {
        "phases": None,
        "published": path,
        "notes": [],
        "model": ModelFacts(base=f"none: {path.file}", layers=None, dtype=None),
        "settings": {"tensors": file},
    }
    return bench.report("phases", f"The course of {path.file}", verdict_of_published(path), parts)
