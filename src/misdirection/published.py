"""Names in a run's folder under which its results lie, free of the hash of the step that made them.

`RUN/answers.parquet` is a relative symbolic link into `RUN/steps`, so that a folder that was moved keeps working; where
no links can be made (Windows without the right, some network disks) it is a copy. A name never points at nothing, and
never at what was made from results that another name no longer shows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError


def publish(run: Path, names: dict[str, str], name: str, target: Path) -> Path:
    """Let `name` in the folder `run` stand for what a step made.

    Where it stood for another step's, names of what was made from that one are taken back: answers are never shown
    beside the verdicts on others.

    Args:
        run: The run's folder.
        names: Its names, and the folder in `steps` of what each stands for; changed here.
        name: Such as "answers.parquet", or "fine-tunes/medical".
        target: File or folder of a finished step of this run.

    Returns:
        Where it lies now: under its name, or where it was made when something else has that name.

    Raises:
        MisdirectionError: The target does not exist, or is none of a step of this run.
    """
    step, place = step_of(run, target), run / name
    if (place.exists() and not place.is_symlink()) and name not in names:
        progress.say(f"  {place} is not the run's and stays as it is; the run's own is {target}")
        return target
    old = names.get(name, step)
    if old != step:
        stale = made_from(run, old)
        retract(run, names, [other for other, held in names.items() if held in stale and other != name])
    put(place, target)
    names[name] = step
    return place


def retract(run: Path, names: dict[str, str], which: Iterable[str]) -> bool:
    """Take names back, what they stood for stays among the steps; whether there were any."""
    found = [name for name in which if names.pop(name, None) is not None]
    for name in found:
        forget(run, name)
    return bool(found)


def put(place: Path, target: Path) -> None:
    """Let `place` stand for `target`: whole at every moment, whatever stood there before."""
    place.parent.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(target, place.parent)
    if place.is_symlink() and str(place.readlink()) == relative:
        return
    temporary = place.with_name(f".tmp-{place.name}-{os.getpid()}")
    remove(temporary)
    try:
        temporary.symlink_to(relative, target_is_directory=target.is_dir())
    except (OSError, NotImplementedError):
        (shutil.copytree if target.is_dir() else shutil.copyfile)(target, temporary)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    try:
        temporary.replace(place)
    except OSError:  # Windows puts nothing in the place of a link to a folder
        remove(place)
        temporary.replace(place)


def remove(place: Path) -> None:
    """Remove a link or a copy; what a link points at stays."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
        return
    try:
        place.unlink(missing_ok=True)
    except OSError:  # Windows: a link to a folder is a folder
        place.rmdir()


def forget(run: Path, name: str) -> None:
    """Remove a name, and the folders of names that are then empty."""
    place = run / name
    remove(place)
    for folder in place.parents:
        if folder == run or not folder.is_relative_to(run):
            return
        with suppress(OSError):
            folder.rmdir()


def is_name(place: Path) -> bool:
    """Whether something in a run's folder is such a link, or a folder of nothing but such links."""
    if place.is_symlink():
        return "steps" in place.readlink().parts[:2]
    held = list(place.iterdir()) if place.is_dir() else []
    return bool(held) and all(part.is_symlink() and is_name(part) for part in held)


def step_of(run: Path, target: Path) -> str:
    """Name of the folder in `steps` that `target` lies in.

    Raises:
        MisdirectionError: It does not exist, or lies elsewhere.
    """
    steps = run / "steps"
    if not target.exists() or steps not in target.parents:
        raise MisdirectionError(f"{target} is nothing that a step of {run} has made")
    return target.relative_to(steps).parts[0]


def made_from(run: Path, folder: str) -> set[str]:
    """Folders of the steps that were made, directly or by way of others, from the step in `folder`."""
    known = {file.parent.name: _manifest(file) for file in run.glob("steps/[!.]*/manifest.json")}
    keys = {str(known.get(folder, {}).get("key", ""))}
    found: set[str] = set()
    while more := {n for n, m in known.items() if n not in found and keys & set(m.get("sources", {}))}:
        found |= more
        keys |= {str(known[name]["key"]) for name in more}
    return found


def _manifest(file: Path) -> Mapping[str, Any]:
    try:
        return read_json(file)
    except MisdirectionError:
        return {}


def must_be_run(path: Path) -> None:
    """Refuse a folder that is neither absent, empty nor a run.

    Raises:
        MisdirectionError: It holds other things, or is a file.
    """
    if not path.exists() or (path / "run.json").exists():
        return
    if not path.is_dir():
        raise MisdirectionError(f"{path} is a file", "give a folder for the run")
    ours = ("steps", "work", "steps.jsonl", ".lock", ".run.json.", ".tmp-")
    strangers = sorted(p.name for p in path.iterdir() if not p.name.startswith(ours) and not is_name(p))
    if strangers:
        raise MisdirectionError(f"{path} is no run: it holds {', '.join(strangers[:3])}", "give an empty or new folder")
