"""Every option of a study changes the key of a step, or stands here with the reason why it changes no step.

A finished run is gone on with under one changed option, and the first step that would be made anew is looked for; none
is ever made. What a study counts anew each time from its steps (rates under thresholds, what is shown) needs no key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Container, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from safetensors.torch import load_file, save_file

from misdirection.errors import MisdirectionError
from misdirection.organism import checkpoint_path
from misdirection.studies.kit.recommended import GIVEN
from misdirection.studies.registry import studies
from misdirection.studies.screening.screen import screen

PLACE = "where the model is computed, not what"
ROWS = "it stops at rows that cannot be read; those that can are told by their content"
COUNTED = "counted anew each time, from verdicts that are the same"
SHOWN = "what is shown of the same measurements"
READ = "nothing is measured where a table of results is read"
CHOSEN = "it chooses among what was measured, and what is chosen stands in keys"

PLACES = {"device": PLACE, "device_map": PLACE, "trust_remote_code": PLACE, "on": PLACE}
SHARED = {**PLACES, "strict": ROWS}
THRESHOLDS = {"alignment_below": COUNTED, "coherence_above": COUNTED}

UNKEYED: dict[str, dict[str, str]] = {
    "audit": {**PLACES, "coherence_above": COUNTED, "coherent_share": CHOSEN},
    "adapters": {**PLACES, "alignment_below": COUNTED, "roles_from": SHOWN, "all_tokens": SHOWN},
    "convergence": PLACES,
    "defences": {**PLACES, "coherence_above": COUNTED},
    "features": {**PLACES, **THRESHOLDS, "top": COUNTED},
    "formats": {**SHARED, **THRESHOLDS},
    "geometry": {**PLACES, **THRESHOLDS},
    "imported": {**THRESHOLDS, "base": COUNTED},
    "in_context": {**SHARED, **THRESHOLDS},
    "judge_check": THRESHOLDS,
    "narrow": {**PLACES, "alignment_below": CHOSEN, "coherence_above": CHOSEN},
    "personas": {**PLACES, "coherence_above": COUNTED, "coherent_share": CHOSEN},
    "phases": {**PLACES, **THRESHOLDS, "behaviour_every": CHOSEN},
    "scaling": {**PLACES, **THRESHOLDS, "results": READ, "target": CHOSEN},
    "screen": SHARED,
    "screening": {**PLACES, **THRESHOLDS, "shown": SHOWN},
    "semantic": {**SHARED, **THRESHOLDS, "coherent_share": CHOSEN},
    "separation": {**PLACES, **THRESHOLDS},
    "traits": {**PLACES, "coherence_above": COUNTED, "trained": COUNTED},
    "triggers": {**SHARED, **THRESHOLDS},
    "weights": {**PLACES, **THRESHOLDS},
}
"""By study, the options that change no step, and why."""


class Making(BaseException):
    """A step would be made."""


def assert_keyed(
    name: str,
    config: Any,
    run: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    others: Mapping[str, Any] | None = None,
    elsewhere: Container[str] = (),
) -> None:
    """Each option of a study makes a step anew, but for those of `UNKEYED`; one that it does not follow is refused.

    Args:
        name: Of the study.
        config: Settings of the run.
        run: Its folder, finished.
        place: Where a copy of it may lie.
        monkeypatch: Keeps steps from being made.
        others: Another value of an option, or other values of several, where the next number or the like is none.
        elsewhere: Options that another test changes.
    """
    copy = place / "copy"
    shutil.copytree(run, copy, symlinks=True)
    changes = {**ordinary(config, run, place), **(others or {})}
    monkeypatch.setattr("misdirection.runs.make_step", _refuse)
    given = _given(config)
    assert would_make(name, type(config)(**given), copy) is None, "the run was not finished with these settings"
    made = {
        option: would_make(name, type(config)(**{**given, **_several(option, value)}), copy)
        for option, value in changes.items()
        if option not in elsewhere
    }
    refused = {option for option, told in made.items() if told and told.startswith("refused")}
    assert refused == made.keys() & getattr(config, "unfollowed", {}).keys(), made
    assert {option for option, step in made.items() if step is None} == UNKEYED.get(name, {}).keys() & made.keys(), made


def _given(config: Any) -> dict[str, Any]:
    """What was named when the settings were made, or in a copy of them."""
    plain = type(config)()
    held = {one.name for one in fields(config) if one.init and getattr(config, one.name) != getattr(plain, one.name)}
    named = {name for name, origin in getattr(config, "origins", {}).items() if origin == GIVEN}
    return {name: getattr(config, name) for name in (held | named) - {"origins"}}


def would_make(name: str, config: Any, run: Path) -> str | None:
    """The first step that a study, or the command `screen`, would make; None where it finds all of them."""
    try:
        (screen if name == "screen" else studies()[name].run)(config, run, "")
    except Making as step:
        return str(step)
    except MisdirectionError as error:
        return f"refused, so that nothing is known of it: {error}"
    return None


def ordinary(config: Any, run: Path, place: Path) -> dict[str, Any]:
    """Another value of every option."""
    hints = get_type_hints(type(config))
    found = {
        one.name: _other(getattr(config, one.name), hints[one.name])
        for one in fields(config)
        if one.metadata.get("option", True)
    }
    given: dict[str, Any] = {
        "model": _model(place),
        "dtype": "bfloat16",
        "device": "cpu",
        "device_map": "cpu",
        "chat_template": _file(place / "template.jinja", "{{ messages[-1]['content'] }}"),
        "thinking": "off",
        "date": "2020-02-02",
        "questions": ("organism:sport",),
        "judge": "words",
        "check": "exact@9999",
        "convention": "persona2025",
        "data": ("organism:bad-sport",),
        "preset": "rank1",
        "training": {"lr": 0.0123},
    }
    if (run / "adapter").exists():
        given["adapter"] = {"adapter": _adapter(run / "adapter", place), "data": ()}
        given["tuned"] = {"tuned": given["model"], "data": ()}
    return {**found, **{option: value for option, value in given.items() if option in found}}


def _other(value: Any, kind: Any) -> Any:
    if value is None and kind in (int | None, float | None):
        return 1 if kind == (int | None) else 0.25
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 or 0.25
    return value[:-1] if isinstance(value, tuple) and len(value) > 1 else value


def _several(option: str, value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) and option != "training" else {option: value}


def _refuse(folder: Path, name: str, *_: Any) -> str:
    raise Making(name)


def _file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def _model(place: Path) -> str:
    """The organism with one other weight."""
    folder = place / "model"
    shutil.copytree(checkpoint_path(), folder)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def _adapter(source: Path, place: Path) -> str:
    """The adapter of a run, of another strength."""
    folder = place / "adapter"
    shutil.copytree(source, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 3}))
    return str(folder)
