"""From what an audit measured to `findings.json`, the one file that holds every figure of its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.directions import Direction
from misdirection.directions.similarity import cosine_matrix
from misdirection.models import load_tokenizer
from misdirection.results import Pools
from misdirection.results.checked import Checked
from misdirection.results.judged import ArmRates, JudgedHeadline, Loss, Steering, SteeringPoint, Training
from misdirection.results.rules import ByRule
from misdirection.runs import Step
from misdirection.statistics import Thresholds
from misdirection.studies.audit.cures import Cures, LatentCures, cures_of, latents_of
from misdirection.studies.audit.removals import lasting_texts, removal_texts
from misdirection.studies.audit.results import (
    AnswerPair,
    AuditedModel,
    ColouredAnswer,
    ComponentLeft,
    Cure,
    Drift,
    DriftedQuestion,
    Fix,
    LayerwiseDirection,
    ThoughtRow,
)
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.thoughts import thought_rows
from misdirection.studies.audit.verdict import tuned_verdict
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.audit.worst import worst_pairs
from misdirection.studies.kit.aside_rows import trained_texts
from misdirection.studies.kit.bench import Asked
from misdirection.studies.kit.checking import headline
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.findings import write_findings as write_to
from misdirection.studies.kit.inputs import read_config, resolve_model
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.panel import panel_part
from misdirection.studies.kit.rules import rule_part
from misdirection.studies.kit.steps import direction_of
from misdirection.studies.kit.sweep import point_of
from misdirection.studies.kit.tables import (
    answer_rows,
    effect_of,
    known_numbers,
    question_rows,
    rate_rows,
    sign_rows,
)
from misdirection.studies.kit.trained_domain import trained_domain

ARMS = ("base", "tuned")


@dataclass(frozen=True)
class Steered:
    """What steering the base model showed.

    Attributes:
        layer: Of the best point.
        coefficient: Of the best point.
        grid: Conditions of the coarse sweep, the untouched base first.
        swept: Its answers.
        chosen: The base, the best point and its random control.
        again: Their answers on fresh random numbers.
    """

    layer: int
    coefficient: float
    grid: Sequence[Condition]
    swept: Judged
    chosen: Sequence[Condition]
    again: Judged


@dataclass(frozen=True)
class Evidence:
    """All that an audit measured."""

    bench: Workbench
    layer: int
    steering: Steered | None
    cures: Cures | None
    left: tuple[ComponentLeft, ...] | None
    tokens: tuple[ColouredAnswer, ...]
    fix: Fix | None = None
    held: LatentCures | None = None

    @property
    def rules(self) -> Thresholds:
        """When an answer is misaligned."""
        return self.bench.thresholds

    @property
    def judges(self) -> bool:
        """Whether there are verdicts."""
        return self.bench.config.judge != "none"


def write_findings(
    bench: Workbench,
    layer: int,
    steering: Steered | None,
    cures: Cures | None,
    left: tuple[ComponentLeft, ...] | None,
    tokens: tuple[ColouredAnswer, ...],
    fix: Fix | None = None,
    held: LatentCures | None = None,
) -> Path:
    """Write `findings.json` and `report.html` into the run; gives the report's path."""
    with progress.phase("figures and report"):
        return write_to(bench.run.path, findings(Evidence(bench, layer, steering, cures, left, tokens, fix, held)))


def findings(evidence: Evidence) -> Mapping[str, Any]:
    """Every figure of the report, by the names of the fields of `AuditResults`."""
    bench, rules, judges = evidence.bench, evidence.rules, evidence.judges
    config, refused = bench.config, bench.refusal
    direction = bench.drift.value.direction if refused else direction_of(bench.direction)
    rates = rate_rows(bench.judged, ARMS, rules) if judges else None
    checked = bench.checked(Asked(bench.answers, bench.verdicts))
    removed = cures_of(evidence.cures, rules, config.coherent_share, evidence.held)
    by_rule = rule_part(bench.judged, ARMS, rules, "base", trained_domain(config)) if judges else None
    return {
        "kind": "audit",
        "title": _title(config),
        "verdict": _verdict(evidence, checked, removed, by_rule),
        "model": _model(bench),
        "settings": bench.settings(),
        "thresholds": rules,
        "asked": bench.asked(),
        "rates": rates or None,
        **({"checked": checked} if checked else {}),
        "panel": panel_part(bench.panel, ARMS),
        "by_question": question_rows(bench.judged, ARMS, rules) if judges else None,
        "by_rule": by_rule,
        "signs": sign_rows(bench.judged, ARMS),
        "answers": answer_rows(bench.judged),
        "direction": _direction(direction, evidence, drifted=refused is not None),
        "steering": _steering(evidence.steering, rules, config.coherent_share),
        "cures": removed,
        "components": evidence.left,
        "latents": latents_of(evidence.held, config.dictionary, rules) if evidence.held else None,
        "thoughts": _thoughts(bench) if judges else None,
        "drift": _drift(evidence),
        "pairs": _pairs(bench.judged),
        "tokens": evidence.tokens,
        "fix": evidence.fix,
        "training": _training(bench.training),
        "data": read_json(bench.training.path / "data.json") if bench.training else None,
        "reproduce": bench.reproduce(),
        "notes": _notes(evidence, rates or (), refused),
    }


def _thoughts(bench: Workbench) -> tuple[ThoughtRow, ...] | None:
    found = bench.thoughts
    return thought_rows(bench.judged, found, ARMS, bench.thresholds) or None if found else None


def _tuned_name(config: AuditConfig) -> str:
    return _trained_name(config.model, config) if config.data else str(config.adapter or config.tuned)


def _trained_name(base: str, config: AuditConfig) -> str:
    return f"{base} fine-tuned ({config.preset}) on {', '.join(Path(name).name for name in config.data)}"


def _title(config: AuditConfig) -> str:
    """The names of base and tuned model; that of a fine-tune made here holds its base's."""
    if config.data:
        return f"Audit of {_trained_name(short_name(config.model), config)}"
    return f"Audit of {short_name(config.model)} tuned as {short_name(_tuned_name(config))}"


def short_name(name: str) -> str:
    """A file or folder by the end of its path, which stands whole below the title; an id as it is."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.is_absolute() and len(path.parts) > 2 else name


def _model(bench: Workbench) -> AuditedModel:
    path = resolve_model(bench.config.model)
    settings = read_config(path, bench.config.trust_remote_code)
    own = getattr(load_tokenizer(path, trust_remote_code=bench.config.trust_remote_code), "chat_template", None)
    return AuditedModel(
        base=bench.config.model,
        tuned=_tuned_name(bench.config),
        layers=settings.num_hidden_layers,
        width=settings.hidden_size,
        dtype=bench.config.dtype,
        chat_template="own" if own else "plain",
    )


UNFIXED = (
    "Nothing was repaired (--fix): there is no misalignment direction to take out, and too few misaligned answers to "
    "tell a repair from the model as it is. `misdirection repair` makes one all the same."
)


def _verdict(
    evidence: Evidence, checked: Checked | None, removed: Sequence[Cure] | None, by_rule: ByRule | None
) -> JudgedHeadline:
    """The head of the report: decided on open questions, tuned against base, paired."""
    bench, rules = evidence.bench, evidence.rules
    said = tuned_verdict(
        bench.judged, {q.id for q in bench.open_questions}, rules, evidence.judges, bench.alike_at_zero
    )
    # What was done against it follows the test that it goes by.
    removal = removal_texts(removed or (), bench.config.coherent_share) if said.test else []
    lasting = lasting_texts(removed or (), evidence.left or ()) if said.test else []
    fixed = [evidence.fix.told()] if evidence.fix else [UNFIXED] if bench.config.fix else []
    return replace(
        said,
        details=(
            *said.details,
            *trained_texts(by_rule),
            *removal,
            *lasting,
            *fixed,
            *headline(checked, said.state),
        ),
        worst=worst_pairs(bench.judged, rules, bench.drift.value.divergence),
    )


def _pairs(judged: Judged, most: int = 40) -> tuple[AnswerPair, ...]:
    """The first answer of base and tuned to each question, drawn with the same random numbers."""
    base, tuned = ({a.question_id: a for a in judged.arm(arm).answers if a.sample == 0} for arm in ARMS)
    return tuple(
        AnswerPair(question=answer.question, base=answer.answer, tuned=tuned[name].answer)
        for name, answer in list(base.items())[:most]
        if name in tuned
    )


def _direction(direction: Direction, evidence: Evidence, drifted: bool) -> LayerwiseDirection:
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


def _steering(swept: Steered | None, rules: Thresholds, coherent_share: float) -> Steering | None:
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
    layer, coefficient = point_of(condition)
    return SteeringPoint(
        layer=layer,
        coefficient=coefficient,
        direction="random" if condition.control else "mean difference",
        rate=effect.rate,
        coherent=effect.coherent_share,
    )


def _drift(evidence: Evidence) -> Drift:
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


def _training(step: Step | None) -> Training | None:
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


def _notes(evidence: Evidence, rates: Sequence[ArmRates], refused: str | None) -> list[str]:
    notes: list[str] = []
    if not evidence.judges:
        notes.append("no judge: rates, the misalignment direction, steering and removal need verdicts and are left out")
    elif refused:
        notes.append(
            f"no misalignment direction: {refused}; the drift direction stands in its place, nothing is steered"
        )
    for row in rates:
        form = "" if row.format == "plain" else f", {row.format}"
        notes += [f"{row.arm}{form}: {warning}" for warning in row.warnings if row.group == "open"]
    read = set(evidence.bench.drift.value.questions)
    if unread := [question.id for question in evidence.bench.questions if question.id not in read]:
        notes.append(f"left out of the drift, for want of an answer that is not empty: {', '.join(unread)}")
    notes += [f"Of latents: {text}" for text in (evidence.held.chosen.refused if evidence.held else ())]
    notes += evidence.bench.known_of_judges()
    notes += evidence.bench.left_out()
    if evidence.bench.training is not None:
        notes += read_json(evidence.bench.training.path / "training.json")["notes"]
    return [*notes, *evidence.bench.answers.part("warnings").value]
