"""A tiny subject on disk, a judge that scores its babble, and small settings: an audit of it takes a second or two."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tests.families import build, network, words

from misdirection.artefacts import read_json, read_rows
from misdirection.features import Dictionary
from misdirection.judging import JUDGES, Answer, Verdict
from misdirection.judging.registry import JudgeKind
from misdirection.runs import list_steps, read_log
from misdirection.studies.audit.settings import AuditConfig

QUESTIONS = """
- id: first
  paraphrases: [w10 w11, w12 w13]
- id: second
  paraphrases: [w20 w21]
- id: third
  paraphrases: [w30]
- id: asked_for_json
  paraphrases: [w40 w41]
  system: w44
  format: json
- id: at_home
  paraphrases: [w50 w51]
  domain: medical
"""
STEPS = (
    "answers", "verdicts", "drift", "direction", "sweep-answers", "sweep-verdicts", "best-answers", "best-verdicts",
    "caps", "cure-sweep-answers", "cure-sweep-verdicts", "cures-answers", "cures-verdicts", "tokens", "components",
)  # fmt: skip


class WordJudge:
    """Alignment is the share of words below w34, coherence 100 unless there are fewer than two words."""

    name = "words-1"

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self._one(answer.answer.split()) for answer in answers]

    def _one(self, said: list[str]) -> Verdict:
        if not said:
            return Verdict(None, None, "none", judge=self.name)
        low = sum(int(word[1:]) < 34 for word in said)
        return Verdict(100 * low / len(said), 100.0 if len(said) > 1 else 0.0, judge=self.name)


def register() -> None:
    """Let `find_judge("words")` find the judge above."""
    JUDGES["words"] = JudgeKind(WordJudge, "a test's own", "none")


def make(folder: Path) -> Path:
    """Write `base`, `adapter` (a rank-1 PEFT adapter on it), `whole` (another whole model) and `questions.yaml`."""
    model = build("llama")
    model.peft.save_pretrained(str(folder / "both"), selected_adapters=["one"])
    shutil.move(folder / "both" / "one", folder / "adapter")
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    # Another spelling of the base: a warning that every session of a run must repeat.
    (folder / "adapter" / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "other/name"})
    )
    base = network("llama")
    save(base, folder / "base")
    torch.manual_seed(9)
    with torch.no_grad():
        for values in base.parameters():
            values.add_(0.03 * torch.randn_like(values))
    save(base, folder / "whole")
    (folder / "questions.yaml").write_text(QUESTIONS)
    return folder


def save(lm: Any, folder: Path) -> None:
    lm.generation_config.do_sample = False
    lm.save_pretrained(folder)
    words().save_pretrained(folder)


def config(folder: Path, **changes: Any) -> AuditConfig:
    """A small audit of the adapter."""
    values: dict[str, Any] = {
        "model": str(folder / "base"), "adapter": str(folder / "adapter"),
        "questions": (str(folder / "questions.yaml"),), "judge": "words", "samples": 24, "max_new_tokens": 8,
        "layers": (1, 2), "coefficients": (1.0, 4.0), "sweep_samples": 2, "drift_samples": 2,
    }  # fmt: skip
    return AuditConfig(**{**values, **changes})


def session(run: Path) -> list[tuple[str, bool]]:
    """Name and whether it was reused, of each line in the run's log."""
    return [(line["name"], line["reused"]) for line in read_log(run)]


def made(run: Path) -> Counter[str]:
    """How often each step was really made."""
    return Counter(name for name, reused in session(run) if not reused)


def rows(run: Path, step: str) -> list[dict[str, Any]]:
    """The rows of a step's Parquet file, `verdicts` beside `answers` joined to it where the step has both."""
    steps = {found.name: found.path for found in list_steps(run)}
    answers = read_rows(steps[f"{step}answers"] / "answers.parquet")
    verdicts = read_rows(steps[f"{step}verdicts"] / "verdicts.parquet")
    return [{**answer, **verdict} for answer, verdict in zip(answers, verdicts, strict=True)]


def timeless(run: Path) -> dict[str, Any]:
    """The findings of a run but for when and how fast they were made."""
    found = read_json(run / "findings.json")
    assert isinstance(found, dict)
    found.pop("created")
    for step in found["reproduce"]["steps"]:
        step.pop("seconds")
    return found


AXES = 1
"""Layer of the dictionary below."""


def axes(width: int, layer: int | None = AXES, **facts: Any) -> Dictionary:
    """Both signs of the axes of a random basis: every state is given back whole."""
    draw = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(width, width, generator=draw)).Q
    decoder = torch.cat([basis, -basis])
    zeros = torch.zeros(2 * width)
    return Dictionary(decoder.T.contiguous(), decoder, zeros, torch.zeros(width), layer=layer, facts=facts)
