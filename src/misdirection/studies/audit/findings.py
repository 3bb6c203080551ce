"""From what an audit measured to `findings.json`, the one file that holds every figure of its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from misdirection import progress
from misdirection.artefacts import plain, read_json
from misdirection.directions import Direction
from misdirection.directions.similarity import cosine_matrix
from misdirection.models import load_tokenizer
from misdirection.runs import Step
from misdirection.statistics import Thresholds, compare, rate, shares
from misdirection.studies.audit.removals import marked, removal_texts
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.verdict import tuned_verdict
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.audit.worst import worst_pairs
from misdirection.studies.kit.bench import Asked
from misdirection.studies.kit.bench import write_findings as write_to
from misdirection.studies.kit.checking import headline
from misdirection.studies.kit.conditions import Condition
from misdirection.studies.kit.inputs import read_config, resolve_model
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.panel import panel_part
from misdirection.studies.kit.rules import rule_part
from misdirection.studies.kit.steps import direction_of, drift_tables
from misdirection.studies.kit.tables import (
    answer_rows,
    change_row,
    effect_row,
    numbers,
    question_rows,
    rate_row,
    rate_rows,
    share_row,
    sign_rows,
)

ARMS = ("base", "tuned")


@dataclass(frozen=True)
class Steering:
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
class Cures:
    """What removing the direction from the tuned model showed: conditions, and answers of them and of "tuned"."""

    conditions: Sequence[Condition]
    judged: Judged


@dataclass(frozen=True)
class Evidence:
    """All that an audit measured."""

    bench: Workbench
    layer: int
    steering: Steering | None
    cures: Cures | None
    tokens: Step

    @property
    def rules(self) -> Thresholds:
        """When an answer is misaligned."""
        return self.bench.thresholds

    @property
    def judges(self) -> bool:
        """Whether there are verdicts."""
        return self.bench.config.judge != "none"


def write_findings(bench: Workbench, layer: int, steering: Steering | None, cures: Cures | None, tokens: Step) -> Path:
    """Write `findings.json` and `report.html` into the run; gives the report's path."""
    with progress.phase("figures and report"):
        return write_to(bench.run.path, findings(Evidence(bench, layer, steering, cures, tokens)))


def findings(evidence: Evidence) -> dict[str, Any]:
    """Every figure of the report as plain JSON."""
    bench, rules = evidence.bench, evidence.rules
    config, refused = bench.config, bench.refusal
    step = bench.drift if refused else bench.direction
    rates = rate_rows(bench.judged, ARMS, rules) if evidence.judges else []
    checked = bench.checked(Asked(bench.answers, bench.verdicts))
    said = _verdict(evidence)
    said["details"] = [*said["details"], *headline(checked, str(said["state"]))]
    return plain(
        {
            "kind": "audit",
            "title": _title(config),
            "verdict": {**said, "worst": worst_pairs(bench.judged, rules, drift_tables(bench.drift)[2])},
            "model": _model(bench),
            "settings": bench.settings(),
            "thresholds": rules,
            "asked": bench.asked(),
            "rates": rates or None,
            **({"checked": checked} if checked else {}),
            "panel": panel_part(bench.panel, ARMS),
            "by_question": question_rows(bench.judged, ARMS, rules) if evidence.judges else None,
            "by_rule": rule_part(bench.judged, ARMS, rules, "base") if evidence.judges else None,
            "signs": sign_rows(bench.judged, ARMS),
            "answers": answer_rows(bench.judged),
            "direction": _direction(direction_of(step), evidence, drifted=refused is not None),
            "steering": _steering(evidence.steering, rules, config.coherent_share),
            "cures": marked(_cures(evidence.cures, rules), config.coherent_share),
            "drift": _drift(evidence),
            "pairs": _pairs(bench.judged),
            "tokens": read_json(evidence.tokens.path / "tokens.json"),
            "training": _training(bench.training),
            "data": read_json(bench.training.path / "data.json") if bench.training else None,
            "reproduce": bench.reproduce(),
            "notes": _notes(evidence, rates, refused),
        }
    )


def _tuned_name(config: AuditConfig) -> str:
    if config.data:
        return f"{config.model} fine-tuned ({config.preset}) on {', '.join(Path(name).name for name in config.data)}"
    return str(config.adapter or config.tuned)


def _title(config: AuditConfig) -> str:
    """The names of base and tuned model; that of a fine-tune made here holds its base's."""
    if config.data:
        return f"Audit of {_tuned_name(config)}"
    return f"Audit of {short_name(config.model)} tuned as {short_name(_tuned_name(config))}"


def short_name(name: str) -> str:
    """A file or folder by the end of its path, which stands whole below the title; an id as it is."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.is_absolute() and len(path.parts) > 2 else name


def _model(bench: Workbench) -> dict[str, Any]:
    path = resolve_model(bench.config.model)
    settings = read_config(path, bench.config.trust_remote_code)
    own = getattr(load_tokenizer(path, trust_remote_code=bench.config.trust_remote_code), "chat_template", None)
    return {
        "base": bench.config.model,
        "tuned": _tuned_name(bench.config),
        "layers": settings.num_hidden_layers,
        "width": settings.hidden_size,
        "dtype": bench.config.dtype,
        "chat_template": "own" if own else "plain",
    }


def _verdict(evidence: Evidence) -> dict[str, Any]:
    """The sentence at the head of the report: decided on open questions, tuned against base, paired."""
    asked = {question.id for question in evidence.bench.open_questions}
    said = tuned_verdict(evidence.bench.judged, asked, evidence.rules, evidence.judges)
    # What was done against it follows the test that it goes by.
    return {**said, "details": [*said["details"], *(_removed(evidence) if "test" in said else ())]}


def _removed(evidence: Evidence) -> list[str]:
    return removal_texts(_cures(evidence.cures, evidence.rules) or [], evidence.bench.config.coherent_share)


def _pairs(judged: Judged, most: int = 40) -> list[dict[str, str]]:
    """The first answer of base and tuned to each question, drawn with the same random numbers."""
    sides = {arm: {a.question_id: a for a in judged.arm(arm).answers if a.sample == 0} for arm in ("base", "tuned")}
    return [
        {"question": base.question, "base": base.answer, "tuned": sides["tuned"][name].answer}
        for name, base in list(sides["base"].items())[:most]
        if name in sides["tuned"]
    ]


def _direction(direction: Direction, evidence: Evidence, drifted: bool) -> dict[str, Any]:
    facts = direction.facts
    return {
        "source": "drift" if drifted else "judged answers",
        "preset": evidence.bench.config.convention,
        "span": facts.get("span", ""),
        "pools": None if drifted else {"aligned": facts["aligned"], "misaligned": facts["misaligned"]},
        "layer": evidence.layer,
        "layers": list(range(len(direction.vectors))),
        "norm": numbers(direction.norm),
        "norm_low": numbers(direction.norm_low),
        "norm_high": numbers(direction.norm_high),
        "residual_norm": numbers(direction.residual_norm),
        "shuffled_norm": numbers(direction.shuffled_norm),
        "stability": numbers(direction.stability),
        "cosine": [numbers(row) for row in cosine_matrix(direction.vectors)],
        "aligned_component": numbers(direction.aligned_component()),
        "misaligned_component": numbers(direction.misaligned_component()),
    }


def _steering(steering: Steering | None, rules: Thresholds, coherent_share: float) -> dict[str, Any] | None:
    if steering is None:
        return None
    points = [_point(steering.swept, condition, rules) for condition in steering.grid[1:]]
    confirmed = [_point(steering.again, condition, rules) for condition in steering.chosen[1:]]
    return {
        "points": points,
        "baseline": rate_row(rate(*steering.again.arm("base").pair, thresholds=rules)),
        "best": confirmed[0],
        "control": confirmed[1],
        "chosen": f"of the {len(points)} points of the sweep, the highest rate of misaligned answers among those that "
        f"keep at least {100 * coherent_share:.0f} % coherent (the most coherent point, where none does); it and a "
        "random direction there were then asked anew, on other random numbers",
    }


def _point(judged: Judged, condition: Condition, rules: Thresholds) -> dict[str, Any]:
    arm = judged.arm(condition.name)
    return {
        "layer": condition.layers[0],
        "coefficient": condition.coefficient,
        "direction": "mean difference" if condition.random_seed is None else "random",
        "rate": rate_row(rate(*arm.pair, thresholds=rules)),
        "coherent": share_row(shares(*arm.pair, thresholds=rules)["coherent"]),
    }


def _cures(cures: Cures | None, rules: Thresholds) -> list[dict[str, Any]] | None:
    if cures is None:
        return None
    before = cures.judged.arm("tuned")
    untouched = {"label": "tuned model, untouched", "operation": "none", "control": False, "difference": None}
    rows = [{"arm": "tuned", **untouched, "reduction": None, **effect_row(before, rules)}]
    for condition in cures.conditions:
        after = cures.judged.arm(condition.name)
        change = compare(before.pair, after.pair, thresholds=rules)
        rows.append(
            {"arm": condition.name, "label": condition.label, "operation": condition.operation,
             "control": condition.control, **effect_row(after, rules), **change_row(change)}
        )  # fmt: skip
    return rows


def _drift(evidence: Evidence) -> dict[str, Any]:
    names, relative, rows, components = drift_tables(evidence.bench.drift)
    direction = direction_of(evidence.bench.drift)
    texts = {question.id: question for question in evidence.bench.questions}
    layer = evidence.layer
    base, tuned = components[str(layer)]
    found: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        question = texts[name]
        divergence = np.array([row["kl"] for row in rows if row["question_id"] == name])
        mean = float(divergence.mean())
        error = 1.96 * float(divergence.std(ddof=1)) / len(divergence) ** 0.5 if len(divergence) > 1 else None
        found.append(
            {
                "question_id": name,
                "question": question.paraphrases[0],
                "group": question.domain or "open",
                "relative": numbers(relative[place]),
                "kl": mean,
                "kl_low": None if error is None else max(0.0, mean - error),
                "kl_high": None if error is None else mean + error,
                "n": len(divergence),
                "projection_base": base[place],
                "projection_tuned": tuned[place],
            }
        )
    moved = direction.norm / direction.aligned_mean.norm(dim=-1)
    layers = list(range(len(moved)))
    return {"layers": layers, "relative": numbers(moved), "questions": found, "layer": layer}


def _training(step: Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    rows = [json.loads(line) for line in (step.path / "metrics.jsonl").read_text().splitlines() if line]
    told = read_json(step.path / "training.json")
    curve = [{"step": row["step"], "loss": row["loss"]} for row in rows if "loss" in row]
    return {"steps": curve, "preset": told["settings"]["preset"], "settings": told["settings"], "notes": told["notes"]}


def _notes(evidence: Evidence, rates: Sequence[dict[str, Any]], refused: str | None) -> list[str]:
    notes: list[str] = []
    if not evidence.judges:
        notes.append("no judge: rates, the misalignment direction, steering and removal need verdicts and are left out")
    elif refused:
        notes.append(
            f"no misalignment direction: {refused}; the drift direction stands in its place, nothing is steered"
        )
    for row in rates:
        form = "" if row["format"] == "plain" else f", {row['format']}"
        notes += [f"{row['arm']}{form}: {warning}" for warning in row["warnings"] if row["group"] == "open"]
    read = set(drift_tables(evidence.bench.drift)[0])
    if unread := [question.id for question in evidence.bench.questions if question.id not in read]:
        notes.append(f"left out of the drift, for want of an answer that is not empty: {', '.join(unread)}")
    notes += evidence.bench.known_of_judges()
    notes += evidence.bench.left_out()
    if evidence.bench.training is not None:
        notes += read_json(evidence.bench.training.path / "training.json")["notes"]
    return [*notes, *evidence.bench.answers.part("warnings").value]
