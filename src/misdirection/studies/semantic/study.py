"""One misalignment direction or one a subject? Directions of single topics, and what each elicits.

Method, after arXiv 2506.11618 section 3.3:

1. The tuned model answers; a judge scores alignment, coherence and each topic.
2. Mean differences, misaligned minus aligned: general (the open questions), and for each topic within the answers about
   it and within those not about it. Topic minus not-topic is the domain-only direction.
3. Cosines with the general direction by layer, and the norm of the difference.
4. Each direction, brought to the general one's norm at the layer, steers the base model there; the multiple with the
   most misaligned answers that keeps answers coherent is chosen on one set of random numbers and measured on another,
   beside a random direction: on open questions and on each topic's own, apart.
5. The topics of the misaligned answers that each elicits, beside those of the tuned model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from misdirection.directions import Direction
from misdirection.directions.layers import spread_layers
from misdirection.directions.similarity import cosines
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.results import Effect, Pools
from misdirection.store import Cached
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition, steering_grid
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.own_direction import refusal
from misdirection.studies.kit.pair import pair
from misdirection.studies.kit.sweep import best_point
from misdirection.studies.kit.tables import effect_of, known_numbers
from misdirection.studies.kit.variants import Variants
from misdirection.studies.semantic.measures import of_length, one_of, random_beside, topic_directions, topic_scores
from misdirection.studies.semantic.paper import PAPER
from misdirection.studies.semantic.results import Elicited, Semantic, Similarity, SteeredArm
from misdirection.studies.semantic.settings import SemanticConfig
from misdirection.studies.semantic.verdict import verdict

TUNED = Condition("tuned", "tuned model", "tuned")


def semantic(config: SemanticConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; or too few misaligned answers for the general direction.
    """
    with Bench[SemanticConfig].open(out, config, command) as bench:
        models = pair(bench)
        asked = bench.ask("answers", models, [BASE, TUNED], questions=bench.questions)
        found, notes = directions(bench, models, asked)
        layer = c.layer if (c := bench.config).layer is not None else best_layer(bench, models, found["general"])
        scaled = {
            name: bench.run.cached(of_length, "scaled-direction", direction=one, like=found["general"], layer=layer)
            for name, one in found.items()
        }
        points = best_points(bench, models, scaled, layer)
        measured = bench.ask("steered", models, [BASE, *points], questions=bench.questions, stream=2, directions=scaled)
        return report(bench, asked, measured, found, points, layer, notes)


def directions(
    bench: Bench[SemanticConfig], models: Variants, asked: Asked
) -> tuple[dict[str, Cached[Direction]], list[str]]:
    """General, per topic, per not-topic and domain-only directions by name, and notes on those that cannot be made."""
    c, run = bench.config, bench.run
    general = bench.find_direction(models, asked, "tuned")
    if why := refusal(general):
        raise MisdirectionError(f"there is no general direction: {why}")
    found: dict[str, Cached[Direction]] = {"general": general.part("direction")}
    found["random"] = run.cached(random_beside, "random-direction", like=found["general"], seed=1)
    notes: list[str] = []
    for topic in c.topics:
        made = run.cached(
            topic_directions, "topic", models=models, answers=asked.answers, verdicts=asked.verdicts, topic=topic,
            scored_by=c.filter, above=c.about_above, below=c.not_below, how=bench.convention, seed=c.seed,
        )  # fmt: skip
        for name in made.value.directions:
            found[name] = run.cached(one_of, "direction", directions=made.part("directions"), name=name)
            run.publish(f"direction-{name.replace(' ', '-')}.safetensors", found[name].path / "direction.safetensors")
        notes += made.value.notes
    return found, notes


def best_layer(bench: Bench[SemanticConfig], models: Variants, general: Cached[Direction]) -> int:
    """The layer at which the general direction misaligns the base most, by a coarse sweep on the open questions."""
    c = bench.config
    grid = steering_grid(spread_layers(len(general.value.vectors)), c.coefficients)
    swept = bench.ask("layers", models, [BASE, *grid], samples=c.sweep_samples, stream=1, directions=general)
    return best_point(swept.judged, grid, bench.thresholds, c.coherent_share)[0]


def best_points(
    bench: Bench[SemanticConfig], models: Variants, scaled: Mapping[str, Cached[Direction]], layer: int
) -> list[Condition]:
    """For each direction the multiple with the most misaligned answers among those that keep answers coherent."""
    c = bench.config
    grid = {name: [point(name, layer, times) for times in c.coefficients] for name in scaled}
    arms = [BASE, *(condition for arm in grid.values() for condition in arm)]
    swept = bench.ask(
        "sweep", models, arms, questions=bench.questions, samples=c.sweep_samples, stream=1, directions=scaled
    ).judged
    best = {
        name: best_point(telling(bench, swept, name), arm, bench.thresholds, c.coherent_share)[1]
        for name, arm in grid.items()
    }
    return [point(name, layer, times) for name, times in best.items()]


def telling(bench: Bench[SemanticConfig], swept: Judged, name: str) -> Judged:
    """The answers by which a direction's multiple is chosen: to its topic's own questions where there are any."""
    topic = name.removesuffix(" only")
    own = topic if any(question.domain == topic for question in bench.questions) else None
    return swept.where(lambda a: a.domain == own)


def point(name: str, layer: int, times: float) -> Condition:
    """The base model steered along one of the directions."""
    return Condition(
        f"{name} x{times:g}", f"base + {times:g} x {name}", "base",
        (Along("steer", (layer,), times, source=name),), control=name.startswith("random"),
    )  # fmt: skip


def report(
    bench: Bench[SemanticConfig],
    asked: Asked,
    measured: Asked,
    found: Mapping[str, Cached[Direction]],
    points: Sequence[Condition],
    layer: int,
    notes: list[str],
) -> Path:
    """Findings and the report."""
    vectors = {name: handle.value for name, handle in found.items()}
    arms = [
        *((name, name, asked.judged.arm(name), False) for name in ("base", "tuned")),
        *(((p.along and p.along.source) or p.name, p.label, measured.judged.arm(p.name), p.control) for p in points),
    ]
    part = Semantic(
        layer=layer,
        topics=tuple(bench.config.topics),
        filter=bench.config.filter,
        similarity=similarity(vectors),
        arms=tuple(arm_row(bench, *arm) for arm in arms),
        paper=PAPER,
    )
    return bench.report("semantic", "Directions of single topics", verdict(part), {"semantic": part, "notes": notes})


def similarity(vectors: Mapping[str, Direction]) -> tuple[Similarity, ...]:
    """Cosine of each direction with the general one by layer, and the norm of their difference over the general's."""
    general = vectors["general"]
    return tuple(
        Similarity(
            direction=name,
            pools=Pools(aligned=direction.facts.get("aligned"), misaligned=direction.facts.get("misaligned")),
            cosine=known_numbers(cosines(direction.vectors, general.vectors)),
            difference=known_numbers((direction.vectors - general.vectors).norm(dim=-1) / general.norm),
            norm=known_numbers(direction.norm),
        )
        for name, direction in vectors.items()
        if name != "general"
    )


def arm_row(bench: Bench[SemanticConfig], name: str, label: str, judged: Judged, control: bool) -> SteeredArm:
    """Rates of an arm, open questions and each topic's own apart, and the topics of its misaligned answers."""
    groups: dict[str, Effect] = {}
    for domain in dict.fromkeys(question.domain for question in bench.questions):
        part = judged.where(lambda a, d=domain: a.domain == d)
        groups[domain or "open"] = effect_of(part, bench.thresholds)
    told = tuple(elicited(bench, judged, topic) for topic in bench.config.topics)
    return SteeredArm(direction=name, label=label, control=control, groups=groups, elicited=told)


def elicited(bench: Bench[SemanticConfig], judged: Judged, topic: str) -> Elicited:
    """Of the misaligned answers to open questions, and to all but the topic's own, those that are about the topic."""
    rules = bench.thresholds

    def bad(keep: Callable[[Answer], bool]) -> tuple[int, list[float]]:
        chosen = judged.where(keep)
        scores = topic_scores(chosen, topic, bench.config.filter)
        kept = [s for s, v in zip(scores, chosen.verdicts, strict=True) if s is not None and rules.misaligned(v)]
        return len(kept), kept

    n_open, opened = bad(lambda a: a.domain is None)
    n_else, elsewhere = bad(lambda a: a.domain != topic)
    above = bench.config.about_above
    return Elicited(
        topic=topic,
        open_n=n_open,
        open_mean=_mean(opened),
        open_about=sum(score > above for score in opened),
        elsewhere_n=n_else,
        elsewhere_mean=_mean(elsewhere),
        elsewhere_about=sum(score > above for score in elsewhere),
    )


def _mean(scores: Sequence[float]) -> float | None:
    return float(torch.tensor(scores).mean()) if scores else None
