"""Steps of a run: folders that are written whole or not at all, and checked before they are used."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from misdirection import progress
from misdirection.artefacts import canonical_hash, file_hash, plain, read_json, sync, write_json
from misdirection.errors import MisdirectionError

FORMAT = 1
"""Version of the folder's layout, part of every key: a later layout makes its steps anew."""

MANIFEST = "manifest.json"
PACKAGES = ("misdirection", "torch", "transformers", "peft", "numpy", "scipy", "safetensors", "pyarrow")

_checked: dict[Path, tuple[Any, Any]] = {}


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        name: What the step does.
        path: Folder of its files.
        key: Hash of its name and inputs (hex).
        reused: True when it was there already.
        content: Hash of its files; a step made from this one is made again when it changes.
    """

    name: str
    path: Path
    key: str
    reused: bool
    content: str = ""

    def __canonical__(self) -> Any:
        """What stands for this step among the inputs of another: its name and key, never its place on the disk."""
        return {"step": self.name, "key": self.key}


def list_steps(path: str | Path) -> list[Step]:
    """The steps of a run folder, in the order in which they were made, without opening it for writing."""
    found: list[tuple[str, Step]] = []
    for file in Path(path).glob(f"steps/[!.]*/{MANIFEST}"):
        try:
            manifest = read_json(file)
            step = Step(manifest["name"], file.parent.resolve(), manifest["key"], True, manifest["content"])
            found.append((str(manifest["made"]), step))
        except (MisdirectionError, KeyError, TypeError):
            progress.say(f"  step {file.parent.name}: its manifest cannot be read; it will be made again")
    return [step for _, step in sorted(found, key=lambda pair: (pair[0], pair[1].name))]


def check_step(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest of a step's folder, and what is wrong with the folder ("" when nothing is).

    Every file is read and its SHA-256 compared, once a process: while sizes and times stay as they were, the answer is
    kept.
    """
    signature = _signature(folder)
    if _checked.get(folder, (None, None))[0] != signature:
        _checked[folder] = (signature, _check(folder))
    return _checked[folder][1]


def _check(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST)
        digest = manifest.pop("digest")
    except (MisdirectionError, KeyError, TypeError, AttributeError):
        return {}, "its manifest is missing or damaged"
    if digest != canonical_hash(manifest):
        return manifest, "its manifest is damaged"
    wrong = _wrong_files(folder, manifest["files"])
    return manifest, f"{', '.join(wrong[:3])} missing, added or damaged" if wrong else ""


def _wrong_files(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> list[str]:
    # A stray dot file (a file manager's, say) is no damage.
    present = {name for name in _files(folder) if name in expected or not Path(name).name.startswith(".")}
    strangers = present ^ set(expected)
    changed = {name for name in present & set(expected) if file_hash(folder / name) != expected[name]["sha256"]}
    return sorted(strangers | changed)


def make_step(
    folder: Path,
    name: str,
    key: str,
    inputs: Mapping[str, Any],
    sources: Mapping[str, str],
    make: Callable[[Path], None],
    whole: Callable[[], Mapping[str, Any]] = dict,
) -> str:
    """Fill a temporary folder, seal it with a manifest, put it in place; returns the hash of its files.

    Args:
        folder: Its place; a step that stands there is replaced.
        name: Of the step.
        key: Hash of its name and inputs.
        inputs: As the manifest tells them.
        sources: Content of each step that it is made from, by key.
        make: Writes the files.
        whole: Gives the arguments of which the inputs hold the hash alone, for readers: they are no part of the key.

    Raises:
        MisdirectionError: `make` wrote nothing.
    """
    started = time.monotonic()
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        make(temporary)
        files = {n: {"sha256": file_hash(f := temporary / n), "bytes": f.stat().st_size} for n in _files(temporary)}
        if not files:
            raise MisdirectionError(f"step '{name}' wrote no file", "it must write into its folder")
        manifest: dict[str, Any] = {"name": name, "key": key, "inputs": plain(inputs), "sources": dict(sources)}
        manifest |= {"whole": plain(told)} if (told := whole()) else {}
        manifest |= {
            "format": FORMAT,
            "files": files,
            "content": canonical_hash(files),
            "made": now(),
            "versions": versions(),
        }
        manifest["seconds"] = round(time.monotonic() - started, 3)
        write_json(temporary / MANIFEST, manifest | {"digest": canonical_hash(manifest)})
        for path in [*temporary.rglob("*"), temporary]:
            sync(path)
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _checked[folder] = (_signature(folder), (manifest, ""))
    return manifest["content"]


def _replace(temporary: Path, folder: Path) -> None:
    """Rename a folder into place; one that stands there moves to a temporary name first and is then removed."""
    if folder.exists():
        old = folder.with_name(f".tmp-old-{folder.name}")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        shutil.rmtree(old)
    temporary.rename(folder)
    sync(folder.parent)


def steps_in(value: Any) -> list[Step]:
    """The steps that stand in a value, at any depth of mappings, sequences and dataclasses."""
    if isinstance(value, Step):
        return [value]
    if isinstance(value, Mapping):
        value = list(cast(Mapping[Any, Any], value).values())
    if isinstance(value, list | tuple | set | frozenset):
        parts = cast(list[Any], value)
        return [step for part in parts for step in steps_in(part)]
    if is_dataclass(value) and not isinstance(value, type):
        return [step for f in fields(value) for step in steps_in(getattr(value, f.name))]
    return []


def _files(folder: Path) -> list[str]:
    """Relative names of the files of a step, sorted, but for its manifest."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in names if name != MANIFEST)


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    stats = ((name, (folder / name).stat()) for name in [*_files(folder), MANIFEST] if (folder / name).exists())
    return tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats)


def demand_format(record: Mapping[str, Any], folder: Path) -> None:
    """Refuse a run that a later version wrote, of whose layout nothing is known here.

    Args:
        record: What its run.json holds.
        folder: The run.

    Raises:
        MisdirectionError: It is one.
    """
    made = record.get("format", FORMAT)
    if not isinstance(made, int) or made > FORMAT:
        raise MisdirectionError(
            f"{folder} was written by a later version (format {made}, this one knows {FORMAT})",
            "update misdirection, or give another folder",
        )


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a step holds."""
    return {"python": platform.python_version(), **_installed()}


@cache
def _installed() -> Mapping[str, str]:
    """Versions of the packages, read once: it takes longer than many a step."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time, as manifests and logs write it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
