"""From what an audit measured to the figures of its findings: pairs, direction, steering, removals, drift, training."""

from __future__ import annotations

import json

import numpy as np

from misdirection.artefacts import read_json
from misdirection.directions import Direction
from misdirection.directions.similarity import cosine_matrix
from misdirection.results import Pools
from misdirection.results.judged import Loss, Steering, SteeringPoint, Training
from misdirection.runs import Step
from misdirection.statistics import Thresholds
from misdirection.studies.audit.evidence import ARMS, Evidence, Steered
from misdirection.studies.audit.results import AnswerPair, Drift, DriftedQuestion, LayerwiseDirection
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of, known_numbers


def pairs_of(judged: Judged, most: int = 40) -> tuple[AnswerPair, ...]:
    """The first answer of base and tuned to each question, drawn with the same random numbers."""
    base, tuned = ({a.question_id: a for a in judged.arm(arm).answers if a.sample == 0} for arm in ARMS)
    return tuple(
        AnswerPair(question=answer.question, base=answer.answer, tuned=tuned[name].answer)
        for name, answer in list(base.items())[:most]
        if name in tuned
    )


def layerwise(direction: Direction, evidence: Evidence, drifted: bool) -> LayerwiseDirection:
    """The direction layer by layer, beside its controls."""
    facts = direction.facts
    return LayerwiseDirection(
        source="drift" if drifted else "judged answers",
        preset=evidence.bench.config.convention,
        span=facts.get("span", ""),
        pools=None if drifted else Pools(aligned=facts["aligned"], misaligned=facts["misaligned"]),
        layer=evidence.layer,
        layers=tuple(range(len(direction.vectors))),
        norm=known_numbers(direction.norm),
        norm_low=known_numbers(direction.norm_low),
        norm_high=known_numbers(direction.norm_high),
        residual_norm=known_numbers(direction.residual_norm),
        shuffled_norm=known_numbers(direction.shuffled_norm),
        stability=known_numbers(direction.stability),
        cosine=tuple(known_numbers(row) for row in cosine_matrix(direction.vectors)),
        aligned_component=known_numbers(direction.aligned_component()),
        misaligned_component=known_numbers(direction.misaligned_component()),
    )


def steering_of(swept: Steered | None, rules: Thresholds, coherent_share: float) -> Steering | None:
    """The sweep, its best point and the control of that."""
    if swept is None:
        return None
    points = tuple(_point(swept.swept, condition, rules) for condition in swept.grid[1:])
    best, control = (_point(swept.again, condition, rules) for condition in swept.chosen[1:])
    return Steering(
        points=points,
        baseline=effect_of(swept.again.arm("base"), rules).rate,
        best=best,
        control=control,
        chosen=f"of the {len(points)} points of the sweep, the highest rate of misaligned answers among those that "
        f"keep at least {100 * coherent_share:.0f} % coherent (the most coherent point, where none does); it and a "
        "random direction there were then asked anew, on other random numbers",
    )


def _point(judged: Judged, condition: Condition, rules: Thresholds) -> SteeringPoint:
    effect = effect_of(judged.arm(condition.name), rules)
    layer, coefficient = condition.point
    return SteeringPoint(
        layer=layer,
        coefficient=coefficient,
        direction="random" if condition.control else "mean difference",
        rate=effect.rate,
        coherent=effect.coherent_share,
    )


def drift_of(evidence: Evidence) -> Drift:
    """What tuning moved, by layer and by question."""
    drift = evidence.bench.drift.value
    direction = drift.direction
    texts = {question.id: question for question in evidence.bench.questions}
    base, tuned = drift.components[str(evidence.layer)]
    questions: list[DriftedQuestion] = []
    for place, name in enumerate(drift.questions):
        divergence = np.array([row.kl for row in drift.divergence if row.question_id == name])
        mean = float(divergence.mean())
        error = 1.96 * float(divergence.std(ddof=1)) / len(divergence) ** 0.5 if len(divergence) > 1 else None
        questions.append(
            DriftedQuestion(
                question_id=name,
                question=texts[name].paraphrases[0],
                group=texts[name].domain or "open",
                relative=known_numbers(drift.relative[place]),
                kl=mean,
                kl_low=None if error is None else max(0.0, mean - error),
                kl_high=None if error is None else mean + error,
                n=len(divergence),
                projection_base=base[place],
                projection_tuned=tuned[place],
            )
        )
    moved = direction.norm / direction.aligned_mean.norm(dim=-1)
    return Drift(
        layers=tuple(range(len(moved))),
        relative=known_numbers(moved),
        questions=tuple(questions),
        layer=evidence.layer,
    )


def training_of(step: Step | None) -> Training | None:
    """The fine-tune that the run made; None where a tuned model was given."""
    if step is None:
        return None
    rows = [json.loads(line) for line in (step.path / "metrics.jsonl").read_text().splitlines() if line]
    facts = read_json(step.path / "training.json")
    return Training(
        steps=tuple(Loss(step=row["step"], loss=row["loss"]) for row in rows if "loss" in row),
        preset=facts["settings"]["preset"],
        settings=facts["settings"],
        notes=tuple(facts["notes"]),
    )
