"""What a report says of how it was made: the command, the versions, and the steps of this session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from misdirection.artefacts import read_json
from misdirection.runs import MANIFEST, Run, read_log


def asked_as(run: Run) -> dict[str, str]:
    """How the models of a run were asked, in words, by what it is called in a report; empty where nothing was asked."""
    files = [step.path / "models.json" for step in run.steps()]
    told = [read_json(file).get("asked", {}) for file in files if file.exists()]
    lines = dict.fromkeys(_words(asked) for models in told for asked in models.values())
    return {"asked as": "; or ".join(lines)} if lines else {}


def _words(asked: Mapping[str, Any]) -> str:
    own = {"plain": "a plain chat template (User: ... Assistant: ...), as the model has none"}
    template = own.get(asked["template"], f"the chat template of {asked['template']}")
    if asked["template"] == "the model's own":
        template = "the model's own chat template"
    parts = [f"{template} ({asked['sha256']})", f"answers end at {' '.join(asked['ends']) or 'no token'}"]
    if asked["thinking"] is not None:
        parts.append(f"thoughts {'on' if asked['thinking'] else 'off'}")
    if asked["date"]:
        parts.append(f"today is {asked['date']}")
    if asked["system"]:
        parts.append(f"its default system prompt: {asked['system']}")
    return ", ".join(parts)


def reproduce(run: Run, logged: int, command: str, seed: int) -> dict[str, Any]:
    """The command, versions, seed, and the steps behind line `logged` of the run's log.

    What a step took stands in its own manifest: one that was reused took no time in this session.
    """
    versions = read_json(run.path / "run.json").get("versions", {})
    used = [line["key"] for line in read_log(run.path)[logged:]]
    held = {step.key: step for step in run.steps()}
    steps = [
        {"name": held[key].name, "key": key[:12], "seconds": read_json(held[key].path / MANIFEST)["seconds"],
         "reused": False}
        for key in used
    ]  # fmt: skip
    return {"command": command, "versions": versions, "seed": seed, "steps": steps}
