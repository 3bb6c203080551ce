"""The folder of a fine-tune: what it says of itself, whether it is this one, and what came out."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from misdirection.artefacts import canonical_hash, file_hash, plain, read_json, write_json
from misdirection.models.fingerprint import fingerprint
from misdirection.training import hosting, snapshots
from misdirection.training.data import DataReport
from misdirection.training.errors import OtherConfigurationError
from misdirection.training.presets import TrainConfig
from misdirection.training.settings import origins
from misdirection.training.steering_vector import VectorPlan
from misdirection.training.targets import LoraPlan

FORMAT = 1
"""Version of the folder's layout and of what the settings mean; part of the key."""

KINDS = ("adapter", "vector", "model")
"""Folders that a fine-tune may leave, of which it leaves one."""

PACKAGES = ("misdirection", "torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers")


@dataclass(frozen=True)
class TrainResult:
    """What a fine-tune left.

    Attributes:
        folder: The PEFT adapter, the steering vector, or the model where all weights were trained.
        kind: "adapter", "vector" or "model".
        metrics: See `MetricsFile.summary`.
        steps: Optimiser steps.
        seconds: Seconds in the loop, earlier sessions of a resumed run included.
        tokens: Tokens gone through.
        checkpoints: The folders of the kept checkpoints by step.
        data: What became of the chats.
        notes: What a reader should know.
        resumed_from: Step that this call went on from, None when it began at the start.
        reused: True when the folder held the finished fine-tune already.
    """

    folder: Path
    kind: str
    metrics: dict[str, float]
    steps: int
    seconds: float
    tokens: int
    checkpoints: dict[int, Path]
    data: DataReport
    notes: tuple[str, ...]
    resumed_from: int | None = None
    reused: bool = False


def finish(out: Path, report: DataReport, notes: tuple[str, ...], summary: dict[str, float]) -> TrainResult:
    """Say that the fine-tune is whole, with the checksum of what came out, and drop the state to resume from."""
    kind = next(name for name in KINDS if (out / name).is_dir())
    result = {
        "kind": kind,
        "metrics": summary,
        "sha256": file_hash(out / kind),
        "notes": notes,
    }
    write_json(out / "result.json", result)
    shutil.rmtree(out / "resume", ignore_errors=True)
    return _result(out, result, report)


def _result(out: Path, result: dict[str, Any], report: DataReport) -> TrainResult:
    metrics = dict(result["metrics"])
    steps = int(metrics.pop("steps"))
    return TrainResult(
        folder=out / result["kind"],
        kind=result["kind"],
        metrics=metrics,
        steps=steps,
        seconds=float(metrics["seconds"]),
        tokens=int(metrics["tokens"]),
        checkpoints=dict(snapshots.numbered(out / "checkpoints")),
        data=report,
        notes=tuple(result["notes"]),
    )


def open_folder(out: Path, facts: dict[str, Any], report: DataReport, resume: bool) -> TrainResult | None:
    """Check what `out` holds: nothing, or this fine-tune unfinished (go on), or finished (give it back), or another."""
    if not resume:
        _clear(out)
    told = out / "training.json"
    if told.exists():
        before = read_json(told)
        if before.get("key") != facts["key"]:
            raise OtherConfigurationError(
                f"{out} holds a fine-tune of another configuration: {_difference(before, facts)}",
                f"give another folder (--out FOLDER), or the settings that {told} names; in Python resume=False starts "
                "it over",
            )
        result = read_json(out / "result.json") if (out / "result.json").exists() else None
        folder = out / result["kind"] if result else out
        if result and folder.is_dir() and file_hash(folder) == result["sha256"]:
            return replace(_result(out, result, report), reused=True)
        (out / "result.json").unlink(missing_ok=True)
    else:
        write_json(told, facts)
    return None


def format_in(out: Path) -> str | None:
    """The number format in which a fine-tune in `out` was begun."""
    told = out / "training.json"
    named = read_json(told).get("base", {}).get("dtype") if told.exists() else None
    return str(named).removeprefix("torch.") if named else None


def _clear(out: Path) -> None:
    """Remove what a fine-tune has left, and nothing else."""
    for name in (*KINDS, "checkpoints", "resume"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("training.json", "result.json", "metrics.jsonl"):
        (out / name).unlink(missing_ok=True)


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    old, new = before.get("settings", {}), after["settings"]
    for name in new:
        if old.get(name) != new[name]:
            return f"{name} is {old.get(name)!r} there and {new[name]!r} here"
    if before.get("data", {}).get("sha256") != after["data"]["sha256"]:
        return "the chats, or the tokenizer and its template, differ"
    if before.get("elsewhere") != after.get("elsewhere"):
        return "the chats elsewhere differ"
    if before.get("defences") != after.get("defences"):
        return "the defences differ"
    if before.get("base", {}).get("fingerprint") != after["base"]["fingerprint"]:
        return "the base model's weights differ"
    return "the base model's number format or this program's version differs"


def describe(
    host: hosting.Host,
    config: TrainConfig,
    report: DataReport,
    plan: LoraPlan | VectorPlan | None,
    notes: Sequence[str],
    elsewhere: DataReport | None = None,
) -> dict[str, Any]:
    """What training.json says; its key decides whether a folder belongs to these settings, data and base."""
    settings = config.told
    base = {"fingerprint": fingerprint(host.lm), "dtype": str(host.lm.dtype)}
    hashed = {name: value for name, value in settings.items() if name not in ("preset", "keep", "resume_every")}
    beside = [elsewhere.sha256] if elsewhere else []
    facts: dict[str, Any] = {
        "format": FORMAT,
        "key": canonical_hash([FORMAT, hashed, base, report.sha256, *beside]),
        "settings": settings,
        "origins": origins(config),
        "data": asdict(report),
        **({"elsewhere": asdict(elsewhere)} if elsewhere else {}),
        "base": {**host.facts, **base, "name": host.name},
        "modules": list(plan.modules) if plan else "all",
        "layers": list(plan.layers) if plan else "all",
        "notes": notes,
        "versions": {name: _version(name) for name in PACKAGES},
    }
    return plain(facts)  # as it will be read back: tuples as lists


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
