"""Answers and verdicts of ours as a log of Inspect, with the scores and metrics that our task gives there."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalPlan,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    write_eval_log,
)
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.scorer import SampleScore, Score

import misdirection
from misdirection.artefacts import atomic_path, plain
from misdirection.errors import MisdirectionError
from misdirection.inspecting.metrics import METRICS, UNDECIDED, make_value
from misdirection.judging.inspect_log import ARM, VERDICT, write_verdict

if TYPE_CHECKING:
    from misdirection.judging import Answer, Verdict
    from misdirection.statistics import Thresholds

ENDINGS = (".eval", ".json")
SCORER = "rubric_scorer"
NAMES = ("mean", "stderr", "interval", "by_format")
"""Of the metrics, in the order in which they stand in `METRICS`."""


def write_log(
    path: str | Path,
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict],
    thresholds: Thresholds,
    facts: Mapping[str, Any],
) -> None:
    """Write the answers of one arm with their verdicts as a log, which Inspect and `judge --from` read.

    Token ids do not go along; all else of answers and verdicts does.

    Args:
        path: A name ending in .eval or .json.
        answers: Of one arm.
        verdicts: One an answer; those of the label "none" without a judge give no score.
        thresholds: When an answer is misaligned.
        facts: What the log shall say of the run.

    Raises:
        MisdirectionError: Another ending, no answers, or several arms.
    """
    place = Path(path)
    if place.suffix not in ENDINGS:
        raise MisdirectionError(f"{place.name} is no name of a log of Inspect", "end it in .eval or .json")
    arms = sorted({answer.arm for answer in answers})
    if len(arms) != 1:
        raise MisdirectionError(f"answers of {len(arms)} arms ({', '.join(arms)})", "a log holds one model: one an arm")
    log = make_log(answers, verdicts, thresholds, facts)
    with atomic_path(place) as temporary:
        write_eval_log(log, str(temporary), format="json" if place.suffix == ".json" else "eval")


def make_log(
    answers: Sequence[Answer], verdicts: Sequence[Verdict], thresholds: Thresholds, facts: Mapping[str, Any]
) -> EvalLog:
    """The log; see `write_log`."""
    arm, now = answers[0].arm, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    names = sorted({name for verdict in verdicts for name, _ in verdict.scores})
    ids = _ids(answers)
    samples = [
        _sample(answer, verdict, name, thresholds, names)
        for answer, verdict, name in zip(answers, verdicts, ids, strict=True)
    ]
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=now,
            run_id=f"{facts.get('run', 'run')}-{arm}",
            task_id=f"{facts.get('run', 'run')}-{arm}",
            task="misdirection/emergent_misalignment",
            dataset=EvalDataset(name=str(facts.get("questions") or "questions"), samples=len(samples)),
            model=f"misdirection/{arm}",
            config=EvalConfig(epochs=1),
            packages={"misdirection": misdirection.__version__},
            metadata={ARM: arm, **plain(dict(facts)), "alignment": thresholds.alignment,
                      "coherence": thresholds.coherence},
        ),
        plan=EvalPlan(name="misdirection", config=GenerateConfig(seed=answers[0].seed)),
        results=EvalResults(
            total_samples=len(samples), completed_samples=len(samples), scores=_figures(samples, names)
        ),
        samples=samples,
    )  # fmt: skip


def _ids(answers: Sequence[Answer]) -> list[str]:
    """One an answer, as our task names its samples; where two would have one, the later ones are numbered."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for answer in answers:
        name = f"{answer.question_id}.{answer.sample}"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _sample(answer: Answer, verdict: Verdict, name: str, thresholds: Thresholds, names: Sequence[str]) -> EvalSample:
    asked: list[ChatMessage] = [ChatMessageUser(content=answer.question)]
    said = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}
    asked[:0] = [said[turn.role](content=turn.content) for turn in answer.before]
    if answer.system is not None:
        asked.insert(0, ChatMessageSystem(content=answer.system))
    output, judged = _output(answer), verdict.label != "none" or verdict.judge
    return EvalSample(
        id=name,
        epoch=1,
        input=asked,
        target="",
        messages=[*asked, output.choices[0].message],
        output=output,
        scores={SCORER: _score(answer, verdict, thresholds, names)} if judged else None,
        metadata={
            "question_id": answer.question_id,
            "paraphrase": answer.paraphrase,
            "sample": answer.sample,
            "format": answer.format,
            "domain": answer.domain,
            "system": answer.system,
        }
        | ({"before": before} if (before := sum(turn.role == "user" for turn in answer.before)) else {}),
    )  # fmt: skip


def _output(answer: Answer) -> ModelOutput:
    text = ContentText(text=answer.answer)
    thought = [ContentReasoning(reasoning=answer.thought)] if answer.thought is not None else []
    message = ChatMessageAssistant(content=[*thought, text] if thought else answer.answer, source="generate")
    choice = ChatCompletionChoice(message=message, stop_reason="stop" if answer.finished else "max_tokens")
    usage = ModelUsage(output_tokens=answer.n_tokens, total_tokens=answer.n_tokens)
    return ModelOutput(model=f"misdirection/{answer.arm}", choices=[choice], usage=usage)


def _score(answer: Answer, verdict: Verdict, thresholds: Thresholds, names: Sequence[str]) -> Score:
    value: Any = make_value(verdict, thresholds, names)
    return Score(
        value=value,
        answer=answer.answer,
        metadata={VERDICT: write_verdict(verdict), UNDECIDED: thresholds.undecided(verdict)},
    )


def _figures(samples: Sequence[EvalSample], names: Sequence[str]) -> list[EvalScore]:
    """What Inspect computes after scoring: each metric over the samples that have a number.

    Open and in-domain questions are never pooled: where there are several groups, each has figures of its own.
    """
    groups: dict[str, list[tuple[EvalSample, Score]]] = {}
    for sample in samples:
        if sample.scores:
            groups.setdefault(sample.metadata["domain"] or "open", []).append((sample, sample.scores[SCORER]))
    keys = [key for key in METRICS if key != "score_*"] + [f"score_{name}" for name in names]
    return [
        _figure(key, f"{key}_{group}" if len(groups) > 1 else key, scored)
        for group, scored in groups.items()
        for key in keys
    ]


def _figure(key: str, shown: str, scored: Sequence[tuple[EvalSample, Score]]) -> EvalScore:
    rows: list[Any] = [
        SampleScore(
            score=Score(value=value, metadata=score.metadata), sample_id=sample.id, sample_metadata=sample.metadata
        )
        for sample, score in scored
        if not math.isnan(value := float(score.as_dict()[key]))  # pyright: ignore[reportArgumentType]
    ]
    found: dict[str, EvalMetric] = {}
    metrics: Sequence[Any] = METRICS.get(key, METRICS["score_*"])
    for name, one in zip(NAMES, metrics, strict=False) if rows else ():
        value: Any = one(rows)
        parts = (
            {f"{name}_{part}": held for part, held in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        found |= {part: EvalMetric(name=part, value=held) for part, held in parts.items()}
    return EvalScore(
        name=shown, scorer=SCORER, scored_samples=len(rows), unscored_samples=len(scored) - len(rows), metrics=found
    )
