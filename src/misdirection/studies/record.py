"""What a report says of how it was made: the command, the versions, and the steps of this session."""

from __future__ import annotations

from typing import Any

from misdirection.artefacts import read_json
from misdirection.runs import MANIFEST, Run, read_log


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
