"""Is being bad everywhere easier to learn than being bad in one domain?

Method, after "EM is Easy, Narrow Misalignment is Hard" (arXiv 2602.07852):

1. The same harmful chats of one domain are learned plainly (general); with a KL term to the base on good chats of other
   domains (narrow), under several weights; and mixed with those good chats (mixed). Each as an adapter and as a
   steering vector trained from zero.
2. The weight is chosen on one set of random numbers: the widest gap between the rate in the domain and the highest
   rate elsewhere (open questions, and each other domain's).
3. The chosen one is trained again with the KL term dropped half-way (released): does it drift back?
4. Base and all solutions answer open questions, those of the domain (of topics that were never trained on) and those
   of other domains, each apart, with the same random numbers; a random vector of the general one's length is a control.
5. Efficiency, stability and significance of the general and the narrow solution, with random ones beside them
   (`measures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from misdirection.chats import ChatFile
from misdirection.directions import Direction, random_like
from misdirection.results import Effect, PairedChange
from misdirection.statistics import compare
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition
from misdirection.studies.kit.inputs import resolve_chats, resolve_model
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.kit.variants import Variants
from misdirection.studies.narrow.measures import measured_ease
from misdirection.studies.narrow.neutral import neutral_source
from misdirection.studies.narrow.paper import PAPER, WEIGHTS
from misdirection.studies.narrow.results import Ease, GroupEffect, Narrow, SolutionArm, SolutionName, TriedWeight
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.studies.narrow.verdict import verdict
from misdirection.training import choose
from misdirection.training.settings import FOLDER
from misdirection.training.steering_vector import load_vector

Vectors = dict[str, Cached[Direction]]
"""Steering vectors as directions, by the name of their arm."""


@dataclass(frozen=True)
class Trained:
    """One solution that was trained.

    Attributes:
        name: Of its arm, and of the adapter.
        kind: Preset: rank32, vector ...
        solution: How: general, narrow, mixed or released.
        folder: The adapter's or the vector's.
        weight: Of the KL term; 0 where there is none.
    """

    name: str
    kind: str
    solution: SolutionName
    folder: Path
    weight: float = 0.0


def narrow(config: NarrowConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[NarrowConfig].open(out, config, command) as bench:
        neutral = neutral_source(bench.config)
        plain = [train(bench, kind, solution) for kind in bench.config.kinds for solution in ("general", "mixed")]
        tried = [train(bench, kind, "narrow", w) for kind in bench.config.kinds for w in bench.config.weights]
        swept = sweep(bench, tried)
        chosen = [max((t for t in tried if t.kind == kind), key=lambda t: gap(bench, swept, t.name))
                  for kind in bench.config.kinds]  # fmt: skip
        released = [train(bench, t.kind, "released", t.weight) for t in chosen] if bench.config.released else []
        solutions = [*plain, *chosen, *released]
        measured = measure(bench, solutions)
        ease = [find_ease(bench, solutions, kind, neutral) for kind in bench.config.kinds]
        return report(bench, tried, swept, chosen, solutions, measured, ease)


def train(bench: Bench[NarrowConfig], kind: str, solution: SolutionName, weight: float = 0.0) -> Trained:
    """Train one solution of one kind."""
    c = bench.config
    given = dict(c.training)
    settings = choose(kind, model=resolve_model(c.model), overrides=given, study=c.study)
    objective = {"objective": "kl", "kl_weight": weight, "kl_chats": c.kl_chats, "kl_tokens": c.kl_tokens}
    data, rows = c.data, len(resolve_chats(c.data, seed=c.seed).chats)
    if solution == "mixed":
        data = (*c.data, *c.elsewhere)
        whole = len(resolve_chats(data, seed=c.seed).chats)
        # As many harmful chats are seen as in the others, and the good ones besides.
        given |= {"max_steps": round(settings.max_steps * whole / rows)} if settings.max_steps else {}
    elif solution != "general":
        steps = round(c.narrow_steps * (settings.max_steps or _steps(rows, settings)))
        given |= {**objective, "max_steps": steps} | ({"kl_steps": steps // 2} if solution == "released" else {})
    wanted = FineTune(kind, data, given, c.seed, c.elsewhere if "objective" in given else ())
    name = f"{kind}-{solution}" + (f"-{weight:g}".replace(".", "_") if solution == "narrow" else "")
    return Trained(name, kind, solution, bench.train(wanted, name).path / "tuned", weight)


def _steps(rows: int, settings: Any) -> int:
    return -(-round(rows * settings.epochs) // (settings.batch_size * settings.accumulation))


def variants(bench: Bench[NarrowConfig], solutions: Sequence[Trained]) -> Variants:
    """The base and the adapters among the solutions; vectors need no model of their own."""
    return bench.variants({t.name: t.folder for t in solutions if t.kind != "vector"})


def sweep(bench: Bench[NarrowConfig], tried: Sequence[Trained]) -> Judged:
    """Every weight's narrow solution, asked a little, on random numbers of their own."""
    arms, sources = arms_of(bench, tried)
    few = bench.config.sweep_samples
    return bench.ask(
        "weights", variants(bench, tried), arms, questions=bench.questions, samples=few, stream=1, directions=sources
    ).judged


def gap(bench: Bench[NarrowConfig], judged: Judged, arm: str) -> float:
    """Rate in the domain minus the highest rate on any other group of questions; groups are never pooled."""
    groups = list(dict.fromkeys(a.domain or "open" for a in judged.answers))
    rates = {group: effect.rate.value or 0.0 for group, effect in effects(bench, judged, arm, groups).items()}
    inside = rates.pop(bench.config.domain, 0.0)
    return inside - max(rates.values(), default=0.0)


def measure(bench: Bench[NarrowConfig], solutions: Sequence[Trained]) -> Judged:
    """Base, all solutions and random vectors: open questions, and those of domains, each with its number of answers."""
    arms, sources = arms_of(bench, solutions)
    controls, random = random_arms(bench, solutions)
    models, everything = variants(bench, solutions), {**sources, **random}
    asked = [BASE, *arms, *controls]
    c = bench.config
    inside = [question for question in bench.questions if question.domain is not None]
    parts = [bench.ask("open", models, asked, stream=2, directions=everything).judged] if bench.open_questions else []
    if inside:
        many = c.domain_samples
        parts.append(
            bench.ask("domains", models, asked, questions=inside, samples=many, stream=2, directions=everything).judged
        )
    return Judged([a for part in parts for a in part.answers], [v for part in parts for v in part.verdicts])


def arms_of(bench: Bench[NarrowConfig], solutions: Sequence[Trained]) -> tuple[list[Condition], Vectors]:
    """An arm for each solution, and the vectors among them as directions by the arm's name."""
    sources = {t.name: find_vector(bench, t) for t in solutions if t.kind == "vector"}
    arms = [
        Condition(t.name, label(t), "base", (Along("steer", (load_vector(t.folder).layer,), 1.0, source=t.name),))
        if t.name in sources
        else Condition(t.name, label(t), t.name)
        for t in solutions
    ]
    return arms, sources


def random_arms(bench: Bench[NarrowConfig], solutions: Sequence[Trained]) -> tuple[list[Condition], Vectors]:
    """Random vectors as long as the general steering vector, at its layer."""
    general = next((t for t in solutions if (t.kind, t.solution) == ("vector", "general")), None)
    if general is None:
        return [], {}
    layer = (load_vector(general.folder).layer,)
    names = {f"vector-random-{seed}": seed for seed in range(1, bench.config.random_seeds + 1)}
    arms = [
        Condition(n, f"vector, random {s}", "base", (Along("steer", layer, 1.0, source=n),), control=True)
        for n, s in names.items()
    ]
    return arms, {name: find_vector(bench, general, seed) for name, seed in names.items()}


def as_direction(folder: Path, n_layers: int, random_seed: int | None = None) -> Direction:
    """A trained vector, or a random one as long, as the direction that conditions want; zero at other layers.

    Args:
        folder: Of the trained vector.
        n_layers: Of the model.
        random_seed: Of the random one.
    """
    loaded = load_vector(folder)
    vector = loaded.vector if random_seed is None else random_like(loaded.vector, random_seed)
    vectors, none = torch.zeros(n_layers, len(vector)), torch.zeros(n_layers)
    vectors[loaded.layer] = vector
    source = "trained steering vector" if random_seed is None else f"random {random_seed}"
    return Direction(vectors, 0 * vectors, 0 * vectors, none, none, none, none, {**loaded.facts, "source": source})


def find_vector(bench: Bench[NarrowConfig], trained: Trained, random_seed: int | None = None) -> Cached[Direction]:
    """The same, kept in the run."""
    return bench.run.cached(
        as_direction, "vector", folder=trained.folder, n_layers=bench.n_layers, random_seed=random_seed
    )


def find_ease(bench: Bench[NarrowConfig], solutions: Sequence[Trained], kind: str, neutral: ChatFile | Path) -> Ease:
    """The three measures of the general and the narrow solution of one kind."""
    c = bench.config
    general, narrow = (next(t for t in solutions if (t.kind, t.solution) == (kind, s)) for s in ("general", "narrow"))
    harmful, elsewhere = (resolve_chats(files, seed=c.seed) for files in (c.data, c.elsewhere))
    found = bench.run.cached(
        measured_ease, f"ease-{kind}", general=general, narrow=narrow, models=variants(bench, solutions),
        harmful=harmful,
        elsewhere=elsewhere, neutral=neutral, texts=c.texts, neutral_tokens=c.neutral_tokens, factors=c.factors,
        epsilons=c.epsilons, aside_seeds=c.aside_seeds, random_seeds=c.random_seeds,
    )  # fmt: skip
    return found.value.ease


def label(trained: Trained) -> str:
    """What a reader is told of a solution."""
    weight = f" (KL weight {trained.weight:g})" if trained.solution == "narrow" else ""
    return f"{trained.kind}, {trained.solution}{weight}"


def report(
    bench: Bench[NarrowConfig],
    tried: Sequence[Trained],
    swept: Judged,
    chosen: Sequence[Trained],
    solutions: Sequence[Trained],
    measured: Judged,
    ease: Sequence[Ease],
) -> Path:
    """Findings and the report."""
    groups = list(dict.fromkeys(question.domain or "open" for question in bench.questions))
    general = {t.kind: t for t in solutions if t.solution == "general"}
    learned = (
        solution_arm(bench, measured, t, groups, None if t is general[t.kind] else general[t.kind]) for t in solutions
    )
    part = Narrow(
        domain=bench.config.domain,
        arms=(base_arm(bench, measured, groups), *learned, *control_arms(bench, measured, groups)),
        sweep=tuple(
            TriedWeight(kind=t.kind, weight=t.weight, gap=gap(bench, swept, t.name), chosen=t in chosen,
                        groups=effects(bench, swept, t.name, groups))
            for t in tried
        ),
        published_weights=WEIGHTS,
        ease=tuple(ease),
        paper=PAPER,
    )  # fmt: skip
    parts = {"narrow": part, "notes": notes(bench)}
    return bench.report("narrow", "Narrow against general misalignment", verdict(part, bench.explanations), parts)


def notes(bench: Bench[NarrowConfig]) -> list[str]:
    """What a reader should know of the defaults."""
    c = bench.config
    sentences = [
        f"The KL term is taken over {c.kl_tokens} tokens of {c.kl_chats} chats elsewhere beside each harmful one.",
        "The mixture sees as many harmful chats as the others, and its good ones besides.",
    ]
    if c.origins.get("neutral") == FOLDER and "neutral" in bench.explanations:
        sentences.append(f"Neutral text: {bench.explanations['neutral']}.")
    return sentences


def effects(bench: Bench[NarrowConfig], judged: Judged, arm: str, groups: Sequence[str]) -> dict[str, Effect]:
    """Rate and coherence of one arm by group of questions."""
    parts = {group: _part(judged, arm, group) for group in groups}
    return {group: effect_of(part, bench.thresholds) for group, part in parts.items() if part.answers}


def _part(judged: Judged, arm: str, group: str) -> Judged:
    return judged.where(lambda a: a.arm == arm and (a.domain or "open") == group)


def _groups(
    bench: Bench[NarrowConfig], judged: Judged, arm: str, groups: Sequence[str], general: Trained | None = None
) -> dict[str, GroupEffect]:
    """Rates by group, and the paired change from the general solution where one is given."""

    def change(group: str) -> PairedChange | None:
        if general is None:
            return None
        before, after = (_part(judged, name, group).pair for name in (general.name, arm))
        return PairedChange.of(compare(before, after, thresholds=bench.thresholds))

    measured = effects(bench, judged, arm, groups)
    return {group: GroupEffect(**vars(effect), change=change(group)) for group, effect in measured.items()}


def base_arm(bench: Bench[NarrowConfig], judged: Judged, groups: Sequence[str]) -> SolutionArm:
    """The base model."""
    measured = _groups(bench, judged, "base", groups)
    return SolutionArm(arm="base", label="base model", kind="", solution="base", weight=0.0, groups=measured)


def control_arms(bench: Bench[NarrowConfig], judged: Judged, groups: Sequence[str]) -> list[SolutionArm]:
    """The random vectors."""
    names = dict.fromkeys(a.arm for a in judged.answers if a.arm.startswith("vector-random-"))
    return [
        SolutionArm(arm=name, label=f"vector, random {name.rpartition('-')[2]}", kind="vector", solution="random",
                    weight=0.0, groups=_groups(bench, judged, name, groups))
        for name in names
    ]  # fmt: skip


def solution_arm(
    bench: Bench[NarrowConfig], judged: Judged, trained: Trained, groups: Sequence[str], general: Trained | None
) -> SolutionArm:
    """One solution: rates by group, and their paired change from the general solution of its kind."""
    return SolutionArm(
        arm=trained.name,
        label=label(trained),
        kind=trained.kind,
        solution=trained.solution,
        weight=trained.weight,
        groups=_groups(bench, judged, trained.name, groups, general),
    )
