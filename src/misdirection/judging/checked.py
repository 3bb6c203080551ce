"""What is known of a judge: the record of `misdirection judge-check`, kept by the judge's name and revision.

A record holds figures and names, and no text of the answers that were judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json, write_json
from misdirection.cache import cache_folder
from misdirection.errors import MisdirectionError, command
from misdirection.judging.registry import find_judge
from misdirection.naming import slug

SURE = ("exact", "none", "own", "table", "offline")
"""Judges of whom nothing need be known: who knows the truth, gives no verdict, is a person or another's finished work;
`offline` was validated when it was made, and its card says how."""


def revision_of(spec: str) -> str:
    """The commit of a judge that is a model of the hub, as far as it is in the cache; "" for every other judge.

    A folder counts by its contents in the judge's name; a provider's model by the name that the provider has for it.
    """
    kind, _, argument = spec.partition(":")
    target = argument.partition("?")[0]
    if kind != "local" or Path(target).exists() or target.count("/") != 1:
        return ""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(target, "config.json")
    except HFValidationError:
        return ""
    return Path(found).parent.name[:12] if isinstance(found, str) else ""


def record_path(name: str, revision: str) -> Path:
    """Where the record of a judge is kept."""
    key = hashlib.sha256(f"{name}\n{revision}".encode()).hexdigest()[:12]
    return cache_folder("judges") / f"{slug(name)[:48]}-{key}.json"


def keep_record(record: Mapping[str, Any]) -> Path:
    """Keep what was found of a judge; gives the file."""
    path = record_path(str(record["judge"]), str(record["revision"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(record))
    return path


def record_of(spec: str) -> Mapping[str, Any] | None:
    """What was found of the judge that a string names; None where it was never checked.

    Raises:
        MisdirectionError: There is no such judge.
    """
    path = record_path(find_judge(spec).name, revision_of(spec))
    try:
        return read_json(path) if path.is_file() else None
    except MisdirectionError:
        return None


def known_of(specs: Iterable[str]) -> list[str]:
    """A sentence on each judge whose word is not simply the truth: how it was checked, or that it never was."""
    return [_sentence(spec) for spec in specs if spec and spec.partition(":")[0].partition("@")[0] not in SURE]


def _sentence(spec: str) -> str:
    record = record_of(spec)
    if record is None:
        typed = command("judge-check", spec, "--corpus", "FILE")
        return f"the judge {spec} was never checked, so how far its rates can be trusted is not known: {typed}"
    kappa, rates = record["kappa"], record["rates"]
    agreed = "cannot be told" if kappa["value"] is None else f"is {kappa['value']:.2f}"
    found = f"{_percent(rates['judge'])} misaligned for {_percent(rates['reference'])}"
    return (
        f"the judge {spec} was checked on {record['n']} answers of {record['corpus']['file']} "
        f'({record["created"][:10]}): kappa of "misaligned" {agreed}, and it found {found}'
    )


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{100 * share:.1f} %"
