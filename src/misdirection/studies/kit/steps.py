"""The verbs of every study, each a step of a run: keyed by its inputs, written whole, reused when it is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from misdirection import progress, training
from misdirection.answers import ask, encode_answer, read_back
from misdirection.artefacts import read_json, read_rows, read_tensors, write_json, write_rows, write_tensors
from misdirection.chats import write_bad_rows
from misdirection.directions import (
    Convention,
    Direction,
    PoolError,
    Source,
    choose_pools,
    drift_and_divergence,
    load_direction,
    mean_difference,
    save_direction,
)
from misdirection.engine import Arm, SamplingConfig, Text, capture_projections
from misdirection.judging import Answer, Verdict
from misdirection.models import Model, asked_of
from misdirection.questions import Question
from misdirection.runs import Run, Step
from misdirection.studies.kit.conditions import Condition, arm_of
from misdirection.studies.kit.inputs import fingerprint, resolve_chats, resolve_model
from misdirection.studies.kit.judged import Judged as Judged
from misdirection.studies.kit.judged import judge_step as judge_step
from misdirection.studies.kit.judged import load_answers, load_judged
from misdirection.studies.kit.keys import asking_key, questions_key
from misdirection.studies.kit.record import LEFT_OUT
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import token_texts as token_texts
from misdirection.training import choose


def train_step(
    run: Run,
    model: str,
    data: Sequence[str],
    preset: str,
    overrides: Mapping[str, Any],
    seed: int,
    strict: bool = False,
    elsewhere: Sequence[str] = (),
    study: str = "",
) -> Step:
    """Fine-tune; `tuned/` is an ordinary adapter or model, beside it the loss curve, the data's facts and bad rows.

    `elsewhere` names the chats on which the objective "kl" holds the model; `study` is the study that it is for, for
    which the model's folder may recommend settings of its own. A killed fine-tune goes on from its last
    saved state.
    """
    path = resolve_model(model)
    chats = resolve_chats(data, strict=strict, seed=seed)
    settings = choose(preset, model=path, overrides={"seed": seed, **overrides}, study=study)
    told, read = settings.told, training.told_data(chats, settings.turns)
    inputs = {"model": fingerprint(path), "data": chats.sha256, "settings": told}
    inputs["asking"] = asking_key(settings.asking)
    others = resolve_chats(elsewhere, strict=strict, seed=seed) if elsewhere else None
    if others is not None:
        inputs["elsewhere"] = others.sha256

    def make(folder: Path) -> None:
        progress.say(f"  training data: {read}")
        room = run.workspace("train", inputs)
        result = training.train(path, chats.chats, settings, room, elsewhere=others and others.chats, told=read)
        shutil.copytree(result.folder, folder / "tuned")
        if result.checkpoints:
            shutil.copytree(room / "checkpoints", folder / "checkpoints")
        shutil.copy(room / "metrics.jsonl", folder / "metrics.jsonl")
        write_bad_rows(folder / "bad_rows.jsonl", chats.bad)
        facts = {"files": list(data), "rows": len(chats.chats), "bad": len(chats.bad), "summary": read}
        write_json(folder / "data.json", facts)
        notes = {"steps": result.steps, "tokens": result.tokens, "notes": list(result.notes), "kind": result.kind}
        write_json(folder / "training.json", {"settings": told, **notes})

    return run.step("train", inputs, make)


def sample_step(
    run: Run,
    name: str,
    models: Variants,
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    samples: int,
    config: SamplingConfig,
    direction: Step | Mapping[str, Step] | None = None,
) -> Step:
    """Sample every question under every condition; `answers.parquet`, one row an answer.

    Beside it, `models.json` keeps what the models want said of them, for a run that is gone on with later.

    Args:
        run: Where the step is kept.
        name: Of the step.
        models: The variants that the conditions name.
        questions: What is asked.
        conditions: The arms; those of one resident model share one queue and its batches.
        samples: Answers a question and condition.
        config: How answers are drawn.
        direction: Step with the direction that the conditions use, or several by the name in `Condition.source`: a
            step each, or one step with a file each in `directions/`.
    """
    inputs = {
        "subject": models.key,
        "questions": questions_key(questions),
        "conditions": [asdict(condition) for condition in conditions],
        "samples": samples,
        "sampling": {**asdict(config), "budget": None},
        "direction": direction if direction is None or isinstance(direction, Step) else dict(direction),
    }

    def make(folder: Path) -> None:
        vectors = None if direction is None else _directions(direction)
        answers: list[Answer] = []
        warnings: list[str] = []
        asked: dict[str, Any] = {}
        for group in _by_model(models, conditions):
            model = models.model(group[0].variant)
            answers += ask(model, questions, [arm_of(c, models, vectors) for c in group], samples, config)
            warnings += model.facts["warnings"]
            asked[group[0].variant] = asked_of(model)
        write_rows(folder / "answers.parquet", answers)
        write_json(folder / "models.json", {"warnings": list(dict.fromkeys(warnings)), "asked": asked})

    step = run.step(name, inputs, make)
    run.publish(f"{name}.parquet", step.path / "answers.parquet")
    return step


def _directions(steps: Step | Mapping[str, Step]) -> Direction | dict[str, Direction]:
    """The direction of one step; several by name, of several steps or of the files in `directions/` of one."""
    if not isinstance(steps, Step):
        return {name: direction_of(step) for name, step in steps.items()}
    several = sorted((steps.path / "directions").glob("*.safetensors"))
    return {file.stem: load_direction(file) for file in several} or direction_of(steps)


def _by_model(models: Variants, conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Conditions that one resident model serves, together; a whole fine-tune is loaded once, for all of its own."""
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        shared = condition.variant == "base" or models.adapter_of(condition.variant)
        groups.setdefault("base" if shared else condition.variant, []).append(condition)
    return list(groups.values())


def direction_step(
    run: Run,
    models: Variants,
    questions: Sequence[Question],
    answers: Step,
    verdicts: Step,
    how: Convention,
    seed: int,
    variant: str = "tuned",
) -> Step:
    """The mean-difference direction of a fine-tune's own judged answers; `direction.safetensors`.

    Only answers to `questions` (the open ones) count: with in-domain answers most of the misaligned pool would be about
    the domain and most of the aligned pool not, and the direction would point at the models.
    Where the pools are too small, `refused.json` says so instead.

    Args:
        run: Where the step is kept.
        models: The variants.
        questions: Whose answers count.
        answers: Step with the arm `variant`.
        verdicts: Step with their verdicts.
        how: Tokens, pools and weighting.
        seed: Of balancing, resamples and shuffles.
        variant: Whose answers, read in the same model.
    """
    ids = sorted(question.id for question in questions)

    def make(folder: Path) -> None:
        judged = load_judged(answers, verdicts).where(lambda a: a.arm == variant and a.question_id in ids)
        model = models.model(variant)
        places, sources = sources_of(model, judged.answers, folder)
        judged = judged.at(places)
        try:
            pools = choose_pools(judged.verdicts, how, seed=seed)
        except PoolError as error:
            write_json(folder / "refused.json", {"message": error.message, "hint": error.hint})
            return
        arm = Arm(variant, models.adapter_of(variant))
        found = mean_difference(model, arm, sources, pools, how, seed=seed)
        save_direction(folder / "direction.safetensors", found)

    inputs = {"subject": models.key, "questions": ids, "answers": answers, "verdicts": verdicts}
    step = run.step("direction", {**inputs, "how": asdict(how), "seed": seed, "variant": variant}, make)
    name = direction_name(variant)
    if refusal(step):
        run.retract(name)
    else:
        run.publish(name, step.path / "direction.safetensors")
    return step


def direction_name(variant: str = "tuned") -> str:
    """Under which name the direction of a fine-tune lies in a run's folder."""
    return "direction.safetensors" if variant == "tuned" else f"direction-{variant.replace('/', '-')}.safetensors"


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
    found = read_back(model, answers)
    if found.aside:
        write_json(folder / LEFT_OUT, {"of": found.count, "aside": dict(found.aside)})
    held = [Source(one, answers[place].question_id) for place, one in zip(found.places, found.encoded, strict=True)]
    return list(found.places), held


def refusal(step: Step) -> str | None:
    """Why a direction step holds no direction, None where it does."""
    file = step.path / "refused.json"
    if not file.exists():
        return None
    said = read_json(file)
    return f"{said['message']}; {said['hint']}"


def direction_of(step: Step) -> Direction:
    """The direction that a step holds."""
    return load_direction(step.path / "direction.safetensors")


def drift_tables(step: Step) -> tuple[list[str], torch.Tensor, list[dict[str, Any]], dict[str, Any]]:
    """Questions, relative drift (questions, layers), divergence rows and components by layer of a drift step."""
    tensors, facts = read_tensors(step.path / "drift.safetensors")
    rows = read_rows(step.path / "divergence.parquet")
    return list(facts["questions"]), tensors["relative"], rows, read_json(step.path / "components.json")
