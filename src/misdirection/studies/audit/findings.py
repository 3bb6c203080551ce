"""From what an audit measured to `findings.json`, the one file that holds every figure of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.models import load_tokenizer
from misdirection.results.checked import Checked
from misdirection.results.judged import ArmRates, JudgedHeadline
from misdirection.results.rules import ByRule
from misdirection.studies.audit.cures import cures_of, latents_of
from misdirection.studies.audit.evidence import ARMS, Evidence
from misdirection.studies.audit.figures import drift_of, layerwise, pairs_of, steering_of, training_of
from misdirection.studies.audit.removals import lasting_texts, removal_texts
from misdirection.studies.audit.results import AuditedModel, Cure, ThoughtRow
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.thoughts import thought_rows
from misdirection.studies.audit.verdict import tuned_verdict
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.audit.worst import worst_pairs
from misdirection.studies.kit.aside_rows import trained_texts
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.checking import headline
from misdirection.studies.kit.findings import write_findings as write_to
from misdirection.studies.kit.inputs import read_config, resolve_model
from misdirection.studies.kit.own_direction import direction_of
from misdirection.studies.kit.panel import panel_part
from misdirection.studies.kit.rules import rule_part
from misdirection.studies.kit.tables import answer_rows, question_rows, rate_rows, sign_rows
from misdirection.studies.kit.trained_domain import trained_domain


def write_findings(evidence: Evidence) -> Path:
    """Write `findings.json` and `report.html` into the run; gives the report's path."""
    with progress.phase("figures and report"):
        return write_to(evidence.bench.run.path, findings(evidence))


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
        "direction": layerwise(direction, evidence, drifted=refused is not None),
        "steering": steering_of(evidence.steering, rules, config.coherent_share),
        "cures": removed,
        "components": evidence.left,
        "latents": latents_of(evidence.held, config.dictionary, rules) if evidence.held else None,
        "thoughts": _thoughts(bench) if judges else None,
        "drift": drift_of(evidence),
        "pairs": pairs_of(bench.judged),
        "tokens": evidence.tokens,
        "fix": evidence.fix,
        "training": training_of(bench.training),
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
