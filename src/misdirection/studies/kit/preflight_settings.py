"""What can be found wrong in settings by themselves, or held against the small files of a model."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError, command, did_you_mean
from misdirection.judging.check import LEAST, read_check
from misdirection.positions import positions_in, text_settings
from misdirection.studies.kit.config import CONVENTIONS, DTYPES
from misdirection.studies.kit.finetune import FineTuneConfig
from misdirection.studies.kit.inputs import resolve_model, resolve_questions
from misdirection.tokens import DATE, THINKING
from misdirection.training.presets import LOADED, PRESETS

DEVICES = ("cpu", "cuda", "mps", "xpu", "npu", "hpu", "mlu", "musa", "meta")
"""What `--device` may begin with."""


def _choices(config: Any) -> None:
    known: Mapping[str, tuple[str, ...]] = {
        "dtype": DTYPES,
        "convention": CONVENTIONS,
        "preset": tuple(PRESETS),
        "thinking": tuple(THINKING),
    }
    for name, choices in known.items():
        value = getattr(config, name, None)
        if value and value not in choices:
            hint = did_you_mean(value, choices, "known")
            raise MisdirectionError(f"--{name}: there is no '{value}'", hint)
    for value in (getattr(config, "preset", ""), *getattr(config, "presets", ())):
        if value in PRESETS and value not in LOADED and not isinstance(config, FineTuneConfig):
            raise MisdirectionError(
                f"--preset {value} leaves a steering vector, which is no model that could be asked",
                f"of {', '.join(LOADED)}; or measure one with: {command('study', 'narrow', '--kinds', 'vector')}",
            )
    for value in getattr(config, "presets", ()):
        if value not in PRESETS:
            hint = did_you_mean(value, PRESETS, "known")
            raise MisdirectionError(f"--presets: there is no '{value}'", hint)


def _layers(config: Any) -> None:
    given = [*getattr(config, "layers", ()), *([] if (at := getattr(config, "layer", None)) is None else [at])]
    check_layers_of(config.model, given)


def check_layers_of(model: str, layers: Sequence[int]) -> None:
    """Refuse layers that a model in a local folder does not have.

    Raises:
        MisdirectionError: It has no such layer.
    """
    facts = _facts(model)
    count = next((facts[n] for n in ("num_hidden_layers", "n_layer", "num_layers") if isinstance(facts.get(n), int)), 0)
    if count and (wrong := [layer for layer in layers if not 0 <= layer < count]):
        raise MisdirectionError(
            f"--layers: {model} has no layer {', '.join(map(str, wrong))}", f"its layers are 0 to {count - 1}"
        )


def _length(config: Any) -> None:
    room, asked = positions_in(config.model), getattr(config, "max_new_tokens", None)
    if room and asked and asked >= room:
        raise MisdirectionError(
            f"--max-new-tokens {asked} is beyond the {room:,} positions of {config.model}",
            f"a prompt and its answer share them: give at most {room // 2}",
        )


def _asked(config: Any) -> None:
    if questions := getattr(config, "questions", ()):
        resolve_questions(questions)


def _asking(config: Any) -> None:
    if file := getattr(config, "chat_template", None):
        from misdirection.models.asking import read_template

        read_template(file)
    if date := getattr(config, "date", None):
        try:
            datetime.date.fromisoformat(date)
        except ValueError as error:
            raise MisdirectionError(f"--date: '{date}' is no date", f"write it as {DATE}") from error


def _device(config: Any) -> None:
    name = str(getattr(config, "device", None) or "cpu")
    if not re.fullmatch(rf"(?:{'|'.join(DEVICES)})(?::\d+)?", name):
        raise MisdirectionError(f"--device: there is no '{name}'", did_you_mean(name, DEVICES, "known"))


def _checked(config: Any) -> None:
    """Fewer answers than --check draws of every arm and kind of question would be refused when drawn, hours later."""
    if not (text := getattr(config, "check", "")) or (wanted := read_check(text)).by_person:
        return
    arms = 2 if any(getattr(config, name, None) for name in ("adapter", "adapters", "tuned", "data")) else 1
    asked = resolve_questions(config.questions)
    # An audit asks all of its questions; what else a study asks than the open ones it says when it does.
    asked = [one for one in asked if one.domain is None or config.study == "audit"] or asked
    kinds = Counter((question.domain, question.format) for question in asked)
    least = arms * sum(min(LEAST, config.samples * count) for count in kinds.values())
    if wanted.n < least:
        raise MisdirectionError(
            f"--check: {wanted.n} verdicts are too few for {arms} arms and {len(kinds)} kinds of question",
            f"each needs {LEAST}, or all that it has: give at least {least}",
        )


def _facts(model: str) -> Mapping[str, Any]:
    file = Path(resolve_model(model)) / "config.json"
    held: Any = read_json(file) if file.is_file() else {}
    return dict(text_settings(held))


SETTINGS: tuple[Callable[[Any], None], ...] = (_choices, _layers, _length, _asked, _asking, _device, _checked)
"""Each refuses settings of a study that cannot work."""
