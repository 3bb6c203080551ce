"""The verbs of every study, each a step of a run: keyed by its inputs, written whole, reused when it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from misdirection.answers import encode_answer
from misdirection.artefacts import read_json, read_rows, read_tensors, write_json, write_rows, write_tensors
from misdirection.directions import (
    Convention,
    Source,
    drift_and_divergence,
    load_direction,
    save_direction,
)
from misdirection.engine import Arm, Text, capture_projections
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.runs import Run, Step
from misdirection.studies.kit.drawing import sample_step as sample_step
from misdirection.studies.kit.judged import Judged as Judged
from misdirection.studies.kit.judged import judge_step as judge_step
from misdirection.studies.kit.judged import load_answers, load_judged
from misdirection.studies.kit.own_direction import direction_name as direction_name
from misdirection.studies.kit.own_direction import direction_of as direction_of
from misdirection.studies.kit.own_direction import direction_step as direction_step
from misdirection.studies.kit.own_direction import readable
from misdirection.studies.kit.own_direction import refusal as refusal
from misdirection.studies.kit.record import LEFT_OUT
from misdirection.studies.kit.tuning import train_step as train_step
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import token_texts as token_texts


def drift_step(run: Run, models: Variants, answers: Step, how: Convention, most: int, seed: int) -> Step:
    """What tuning moved on the answers of both arms: the drift direction, its size and the KL divergence by question.

    Args:
        run: Where the step is kept.
        models: Base and tuned model.
        answers: Step with the arms "base" and "tuned".
        how: Tokens and weighting.
        most: Answers of each arm and question that are read.
        seed: Of the intervals.
    """

    def make(folder: Path) -> None:
        asked = [a for a in load_answers(answers) if a.arm in ("base", "tuned") and a.sample < most]
        places, sources = sources_of(models.model("tuned"), asked, folder)
        chosen = [asked[place] for place in places]
        pair = [(models.model(v), Arm(v, models.adapter_of(v))) for v in ("base", "tuned")]
        moved, apart = drift_and_divergence(pair[0], pair[1], sources, how)
        save_direction(folder / "direction.safetensors", moved.direction(seed=seed))
        tensors = {"by_question": moved.by_question, "relative": moved.relative}
        write_tensors(folder / "drift.safetensors", tensors, {"questions": moved.questions})
        rows = [
            {"question_id": a.question_id, "arm": a.arm, "sample": a.sample, "tokens": len(item.divergence),
             "kl": float(item.divergence.mean()), "nll_base": -float(item.first.mean()),
             "nll_tuned": -float(item.second.mean())}
            for a, item in zip(chosen, apart, strict=True)
        ]  # fmt: skip
        write_rows(folder / "divergence.parquet", rows)
        components = {
            str(layer): [part.tolist() for part in moved.component(layer)] for layer in range(len(moved.vectors))
        }
        write_json(folder / "components.json", components)

    inputs = {"subject": models.key, "answers": answers, "how": asdict(how), "most": most, "seed": seed}
    return run.step("drift", inputs, make)


def tokens_step(
    run: Run, models: Variants, answers: Step, verdicts: Step, direction: Step, layer: int, most: int
) -> Step:
    """Component of every token along the unit direction at one layer, for a few answers of each arm; `tokens.json`."""

    def make(folder: Path) -> None:
        chosen = _telling(load_judged(answers, verdicts), most)
        unit = load_direction(direction.path / "direction.safetensors").unit[layer]
        found: list[dict[str, Any]] = []
        for answer, verdict in chosen:
            variant = "tuned" if answer.arm == "tuned" else "base"
            model = models.model(variant)
            encoded = encode_answer(model, answer)
            text = Text(encoded.ids, {}, Arm(variant, models.adapter_of(variant)), encoded.start)
            values = capture_projections(model, [text], {layer: unit})[0][layer][:, 0]
            found.append(
                {"arm": answer.arm, "question": answer.question, "alignment": verdict.alignment,
                 "coherence": verdict.coherence, "layer": layer, "tokens": token_texts(model.tokenizer, encoded.ids),
                 "values": [round(float(value), 4) for value in values], "start": encoded.start}
            )  # fmt: skip
        write_json(folder / "tokens.json", found)

    inputs = {"subject": models.key, "answers": answers, "verdicts": verdicts, "direction": direction}
    return run.step("tokens", {**inputs, "layer": layer, "most": most}, make)


def _telling(judged: Judged, most: int) -> list[tuple[Answer, Verdict]]:
    """A few answers worth reading token by token: the worst and the best of the tuned model, and some of the base."""
    pairs = [(a, v) for a, v in zip(*judged.pair, strict=True) if a.answer.strip()]
    tuned = [pair for pair in pairs if pair[0].arm == "tuned"]
    tuned.sort(key=lambda pair: (pair[1].alignment is None, pair[1].alignment or 0.0))
    base = [pair for pair in pairs if pair[0].arm == "base"]
    half = most // 2
    return [*_spread(tuned[: len(tuned) // 2], half), *_spread(tuned[::-1], most // 4), *_spread(base, most // 4)]


def _spread(pairs: Sequence[tuple[Answer, Verdict]], most: int) -> list[tuple[Answer, Verdict]]:
    """The first answer of each question, up to `most`."""
    seen: dict[str, tuple[Answer, Verdict]] = {}
    for pair in pairs:
        seen.setdefault(pair[0].question_id, pair)
    return list(seen.values())[:most]


def sources_of(model: Model, answers: Sequence[Answer], folder: Path) -> tuple[list[int], list[Source]]:
    """Answers as token ids with the question that clusters each, and the places of those that can be read back.

    The others are counted in `left_out.json` of the step's `folder`; reports name them (`record.left_out`).
    """
    places, held, aside = readable(model, answers)
    if aside:
        write_json(folder / LEFT_OUT, aside)
    return places, held


def drift_tables(step: Step) -> tuple[list[str], torch.Tensor, list[dict[str, Any]], dict[str, Any]]:
    """Questions, relative drift (questions, layers), divergence rows and components by layer of a drift step."""
    tensors, facts = read_tensors(step.path / "drift.safetensors")
    rows = read_rows(step.path / "divergence.parquet")
    return list(facts["questions"]), tensors["relative"], rows, read_json(step.path / "components.json")
