"""What a report says of how it was made: the command, the versions, and the steps of this session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from misdirection.artefacts import read_json
from misdirection.judging import Answer
from misdirection.judging.standing import ERROR, standing
from misdirection.results import Reproduce, StepFacts
from misdirection.runs import MANIFEST, Run, read_log
from misdirection.store.values import VALUE
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.recall import recommended_values

LEFT_OUT = "left_out"
"""Of a step: how many answers could not be read back, by reason; in that of a measurement its field `left_out`."""


@dataclass(frozen=True)
class LeftOut:
    """Answers that could not be read back: of how many, and how many for each reason."""

    of: int
    aside: Mapping[str, int]


def left_blank(answers: Sequence[Answer]) -> LeftOut | None:
    """The blank answers that a measurement does without; None where there are none."""
    return LeftOut(len(answers), told) if (told := blank(answers)) else None


def blank(answers: Sequence[Answer]) -> dict[str, int]:
    """How many answers hold nothing to read, by reason."""
    # Torch comes along with it, and runs of tables have none.
    from misdirection.answers import why_unread

    return dict(Counter(why_unread(answer) for answer in answers if not answer.answer.strip()))


def blank_told(answers: Sequence[Answer], what: str) -> list[str]:
    """A sentence on the blank answers that a part of a study does without, where there are any.

    Args:
        answers: All that the part would have read.
        what: The part, as in "the drift".
    """
    told = blank(answers)
    why = ", ".join(f"{count:,} {reason}" for reason, count in told.items())
    count = f"{sum(told.values()):,} of {len(answers):,} answers could not be read back ({why})"
    return [f"{count} and are left out of {what}"] if told else []


def left_out(run: Run, logged: int) -> list[str]:
    """A sentence for every number of answers that could not be read back, and the steps that do without them."""
    used = {line["key"] for line in read_log(run.path)[logged:]}
    steps: dict[str, list[str]] = {}
    for step in run.steps():
        if step.key in used and (told := _noted(step.path, LEFT_OUT)):
            aside = told["aside"]
            why = ", ".join(f"{count:,} {reason}" for reason, count in aside.items())
            count = f"{sum(aside.values()):,} of {told['of']:,} answers could not be read back ({why})"
            steps.setdefault(count, []).append(step.name)
    return [f"{count} and are left out of: {', '.join(dict.fromkeys(names))}" for count, names in steps.items()]


def told_settings(config: StudyConfig, judge: str) -> dict[str, Any]:
    """The settings of a study as a reader is told them; `judge` is the name of who scores the answers."""
    c, others = config, getattr(config, "panel", ())
    misaligned = f"alignment < {c.alignment_below:g} and coherence > {c.coherence_above:g}"
    return {
        "judge": judge if judge.startswith(f"{c.judge}@") else c.judge,
        **({"checked by": c.check} if c.check else {}),
        **({"beside it": ", ".join(others)} if others else {}),
        **({ERROR: told} if (told := standing([c.judge, *others])) else {}),
        **({"answers served by": ", ".join(served)} if (served := getattr(c, "serve", ())) else {}),
        **({} if "alignment_below" in c.unfollowed else {"misaligned": misaligned}),
        "questions": ", ".join(c.questions),
        "samples per question": c.samples,
        "max new tokens": c.answer_tokens,
        "temperature": c.temperature,
        "seed": c.seed,
        **({} if "convention" in c.unfollowed else {"convention": c.convention}),
        **({"recommended by the model's folder": said} if (said := recommended_values(c)) else {}),
    }


def asked_as(run: Run) -> dict[str, str]:
    """How the models of a run were asked, as the rows of a table; empty where nothing was asked.

    Where models were asked differently, a row holds what is true of each.
    """
    rows: dict[str, dict[str, None]] = {}
    for asked in (asked for step in run.steps() for asked in (_noted(step.path, "asked") or {}).values()):
        for name, text in _words(asked).items():
            rows.setdefault(name, {})[text] = None
    return {name: "; or ".join(texts) for name, texts in rows.items()}


def _noted(folder: Path, name: str) -> Any:
    """What a step notes for the report: a field of its value; None where there is none."""
    value = read_json(folder / VALUE) if (folder / VALUE).exists() else None
    return cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None


def _words(asked: Mapping[str, Any]) -> dict[str, str]:
    if "server" in asked:
        return {"chat template": f"that of the server {asked['server']}"}
    own = {
        "plain": "plain (User: ... Assistant: ...), as the model has none",
        "the model's own": "the model's own",
    }
    thoughts = {None: "as the template has it", True: "on", False: "off"}[asked["thinking"]]
    found = {
        "chat template": f"{own.get(asked['template'], 'that of ' + asked['template'])} ({asked['sha256']})",
        "answers end at": " ".join(asked["ends"]) or "no token",
        "thoughts": thoughts,
    }
    if asked["date"]:
        found["today"] = asked["date"]
    if asked["system"]:
        found["system prompt of the template"] = asked["system"]
    return found


def reproduce(run: Run, logged: int, command: str, seed: int) -> Reproduce:
    """The command, versions, seed, and the steps behind line `logged` of the run's log.

    What a step took stands in its own manifest: one that was reused took no time in this session.
    """
    versions = read_json(run.path / "run.json").get("versions", {})
    by_key = {step.key: step for step in run.steps()}
    used = [by_key[line["key"]] for line in read_log(run.path)[logged:]]
    steps = tuple(
        StepFacts(
            name=step.name, key=step.key[:12], seconds=read_json(step.path / MANIFEST)["seconds"], reused=False
        )
        for step in used
    )  # fmt: skip
    return Reproduce(command=command, versions=versions, seed=seed, steps=steps)
