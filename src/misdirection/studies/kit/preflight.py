"""What can be found wrong before anything heavy is imported, loaded, written or paid for.

Every check reads names and small files alone, so that all of them take less than a second together; what only the
model can tell is found by loading it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from misdirection import progress
from misdirection.chats.sources.hub import hub_rows, is_hub_id
from misdirection.errors import MisdirectionError, MissingExtraError, did_you_mean
from misdirection.features.releases import RELEASES
from misdirection.hub import offline_hint, prepare_hub
from misdirection.judging import find_judge
from misdirection.judging.check import read_check
from misdirection.judging.ping import ping
from misdirection.organism import dictionary_path
from misdirection.runs import list_steps, must_be_run
from misdirection.serving.servers import reach, read_servers
from misdirection.studies.kit.config import ORGANISM, named
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.preflight_settings import SETTINGS
from misdirection.studies.kit.recommended import strangers
from misdirection.studies.registry import studies

PARSED = 64_000_000
"""Bytes of data that are read through before anything else is done; larger files are read when it is their turn."""


def check(config: Any, out: str | Path | None = None) -> None:
    """Refuse settings that cannot work.

    Args:
        config: Settings of a study, completed.
        out: Folder of the run.

    Raises:
        MisdirectionError: What is wrong; several faults are told together.
    """
    if out is not None:
        check_place(out)
    checks: list[Callable[[], None]] = [
        lambda: check_model(config.model, "model"),
        lambda: _tuned(config),
        lambda: _data(config),
        lambda: _extra(config),
        *(partial(one, config) for one in SETTINGS),
    ]
    for line in strangers(config.model, ("screen", "sae", *studies())):
        progress.say(f"  {line}")
    found: list[MisdirectionError] = []
    for one in checks:
        try:
            one()
        except MisdirectionError as error:
            found.append(error)
    if not found and getattr(config, "serve", ()):
        check_servers(config.serve, out)
    if not found and getattr(config, "judge", ""):
        for judge in (config.judge, *getattr(config, "panel", ())):
            check_judge(judge, out)
    if not found and getattr(config, "check", ""):
        check_checker(config.check, out)
    if len(found) == 1:
        raise found[0]
    if found:
        told = "".join(f"\n  - {e.message}" + (f" ({e.hint})" if e.hint else "") for e in found)
        raise MisdirectionError(f"{len(found)} things are wrong:{told}")


def check_place(out: str | Path) -> None:
    """Refuse a folder that holds other things or cannot be written, before it is made.

    Raises:
        MisdirectionError: It does, or cannot.
    """
    must_be_run(Path(out).absolute())
    check_writable(out)


def check_places(config: Any, out: Path) -> None:
    """Refuse a folder in which a file of the data lies: what is written there could take its place.

    Raises:
        MisdirectionError: It does.
    """
    place = out.resolve()
    for name in config.data:
        if not name.startswith(f"{ORGANISM}:") and place in Path(name).resolve().parents:
            raise MisdirectionError(
                f"{name} lies in --out {out}", "name another folder: the input is never written over"
            )


def check_writable(out: str | Path) -> None:
    """Refuse a folder that cannot be made or written in.

    Raises:
        MisdirectionError: It cannot.
    """
    place = Path(out).absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        raise MisdirectionError(f"{out} cannot be made: {there} is a file", "give another folder: --out FOLDER")
    if not os.access(there, os.W_OK | os.X_OK):
        raise MisdirectionError(f"{out} cannot be written: {there} is not ours to write", "give another: --out FOLDER")


def check_model(name: str, flag: str) -> None:
    """Refuse a model that is meant to be a folder and is none.

    Raises:
        MisdirectionError: It is not there, or holds no config.json.
    """
    place = Path(name)
    if name == ORGANISM or place.is_file() or ".gguf" in name:
        folder, _, file = name.rpartition(":")
        if folder and not Path(folder).exists() and not _is_path(folder):
            _reach(folder, file, f"--{flag}: {name} is neither a file here nor one that can be reached")
        return
    if not place.exists():
        if _is_path(name):
            raise MisdirectionError(f"--{flag}: {name} does not exist", _nearest(place))
        _reach(name, "config.json", f"--{flag}: {name} is neither a folder here nor a model that can be reached")
    elif not (place / "config.json").exists() and not list(place.glob("*.gguf")):
        if (place / "adapter_config.json").exists():
            raise MisdirectionError(f"--{flag}: {name} holds a PEFT adapter, no model", f"--adapter {name}")
        from misdirection.models.tokenizer import what_is_here

        raise MisdirectionError(f"{name} holds no config.json, so it is no model", what_is_here(place))


def _reach(name: str, file: str, message: str) -> None:
    """Refuse an id of the hub where nobody answers there and the cache holds no `file` of it; in seconds, not a minute.

    Raises:
        MisdirectionError: It is not to be had.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    prepare_hub(name)
    try:
        held = offline_hint() is None or isinstance(try_to_load_from_cache(name, file), str)
    except HFValidationError:
        held = False
    if not held:
        raise MisdirectionError(message, offline_hint() or "check the spelling")


def _tuned(config: Any) -> None:
    if tuned := getattr(config, "tuned", None):
        check_model(tuned, "tuned")
    for value in (*getattr(config, "fine_tune", ()), *getattr(config, "watched", ())):
        place = Path(name := value.partition("=")[2])
        if _is_path(name) and not place.exists():
            raise MisdirectionError(f"{value.partition('=')[0]}: {name} does not exist", _nearest(place))
    one: str | tuple[str, ...] | None = getattr(config, "adapter", None)
    # One adapter, or several as NAME=FOLDER.
    held = named(one, "adapter").values() if isinstance(one, tuple) else [one] if one else []
    for name in (*held, *named(getattr(config, "adapters", ()), "adapter").values()):
        place = Path(name)
        if not place.exists():
            if _is_path(name):
                raise MisdirectionError(f"--adapter: {name} does not exist", _nearest(place))
            _reach(name, "adapter_config.json", f"--adapter: {name} is neither a folder here nor to be reached")
        elif place.is_dir() and not (
            (place / "adapter_config.json").exists()
            and ((place / "adapter_model.safetensors").exists() or (place / "adapters.safetensors").exists())
        ):
            # It takes seconds to import, and says what lies there in its place.
            from misdirection.models.adapter_files import find_weights

            try:
                find_weights(Path(name).name, place)
            except MisdirectionError as error:
                raise MisdirectionError(f"--adapter: {error.message}", error.hint) from error


def _data(config: Any) -> None:
    for name in ("data", "good", "elsewhere", "control_data", "toxic", "harmless", "corpus"):
        plain: list[str] = []
        for value in getattr(config, name, ()):
            file = value.partition("=")[2] if "=" in value and not Path(value).exists() else value
            if file == value:
                plain.append(file)
            place = Path(file)
            if _is_path(file) and not place.exists() and not file.startswith(f"{ORGANISM}:"):
                raise MisdirectionError(f"--{name.replace('_', '-')}: {file} does not exist", _nearest(place))
            if is_hub_id(file) and not place.exists() and not file.startswith(f"{ORGANISM}:"):
                _reach_data(file, name.replace("_", "-"))
        # Only the data that is trained on is always chats; a corpus may be plain texts.
        if name == "data" and plain and hasattr(config, "preset"):
            sizes = [Path(file).stat().st_size for file in plain if Path(file).is_file()]
            if sum(sizes) < PARSED and all(Path(f).exists() or f.startswith(f"{ORGANISM}:") for f in plain):
                resolve_chats(plain, strict=getattr(config, "strict", False))


def _reach_data(name: str, flag: str) -> None:
    """Refuse a data set of the hub that is not to be had: no package that reads it, or nobody there and none cached.

    Raises:
        MisdirectionError: It is not.
    """
    if find_spec("datasets") is None:
        # Says so itself.
        hub_rows(name)
    identity = name.partition(":")[0]
    prepare_hub(identity)
    root = os.environ.get("HF_DATASETS_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "datasets"
    cached = (Path(root).expanduser() / identity.replace("/", "___")).is_dir()
    if offline_hint() is not None and not cached:
        raise MisdirectionError(
            f"--{flag}: {name} is neither a file here nor a data set that can be reached", offline_hint()
        )


def _extra(config: Any) -> None:
    dictionaries = (getattr(config, "dictionary", ""), *getattr(config, "dictionaries", ()))
    check_dictionaries([spec for spec in dictionaries if spec])


def check_dictionaries(specs: Sequence[str]) -> None:
    """Refuse a dictionary that is meant to be a folder and is none, or a layer for which the organism has none.

    Raises:
        MisdirectionError: There is no such dictionary.
    """
    for spec in specs:
        source, _, layer = spec.partition(":")
        if source == ORGANISM and layer.isdigit():
            dictionary_path(int(layer))
        elif source == ORGANISM:
            raise MisdirectionError(f"'{spec}' names no layer", "write organism:<layer>, as organism:6")
        elif layer and (release := RELEASES.get(source)) is not None:
            # An id of a public set has slashes, and is no path.
            if "{" not in release.repository:
                file = f"{release.folder.format(id=layer)}/{release.files[0]}"
                _reach(release.repository, file, f"the dictionary {spec} is not to be reached")
        elif (_is_path(spec) or ":" not in spec) and not Path(spec).exists():
            raise MisdirectionError(f"the dictionary {spec} does not exist", _nearest(Path(spec)))


def check_files(files: Mapping[str, str]) -> None:
    """Refuse files and folders that are to be read and are not there.

    Args:
        files: By path, the option that named it.

    Raises:
        MisdirectionError: One does not exist.
    """
    for file, flag in files.items():
        if not Path(file).exists():
            raise MisdirectionError(f"--{flag}: {file} does not exist", _nearest(Path(file)))


def check_target(file: Path | None) -> None:
    """Refuse a file that is to be written and cannot be.

    Raises:
        MisdirectionError: It is a folder, or its folder cannot be written.
    """
    if file is None:
        return
    if file.is_dir():
        raise MisdirectionError(f"--out: {file} is a folder", "give a file")
    check_writable(file.absolute().parent)


def check_servers(specs: Sequence[str], out: str | Path | None) -> None:
    """Do the servers of --serve answer, and serve what is named? Not asked where the run holds the answers already.

    Raises:
        MisdirectionError: See `serving.reach`.
    """
    if out is None or not any(step.name == "answers" for step in list_steps(out)):
        reach(read_servers(specs))


def check_judge(spec: str, out: str | Path | None) -> None:
    """Is there such a judge, and does its server answer? Not asked where the run holds verdicts already.

    Raises:
        MisdirectionError: There is none, it lacks a package, or nobody answers.
    """
    kind, _, argument = spec.partition(":")
    package = {"inspect": "inspect_ai", "openai": "aiohttp"}.get(kind)
    if package and find_spec(package) is None:
        raise MissingExtraError(package, "inspect" if kind == "inspect" else "judges")
    if kind == "local" and argument:
        check_model(argument.partition("?")[0], "judge local")
        return
    judge = find_judge(spec)
    if out is None or not any(step.name.endswith("verdicts") for step in list_steps(out)):
        ping(judge)


def check_checker(text: str, out: str | Path | None) -> None:
    """The same of --check; not asked where the run was checked already.

    Raises:
        MisdirectionError: It says nothing of how many answers, or `check_judge` refuses the judge.
    """
    wanted = read_check(text)
    if not wanted.by_person:
        asked = out is not None and any(step.name == "check" for step in list_steps(out))
        check_judge(wanted.judge, out if asked else None)


def _is_path(name: str) -> bool:
    """Whether a name can only be meant as a path, and not as the id of something on the hub."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or bool(_SUFFIXES & set(Path(name).suffixes))


_SUFFIXES = {".jsonl", ".json", ".csv", ".parquet", ".yaml", ".yml", ".txt", ".gz", ".safetensors", ".pt"}


def _nearest(place: Path) -> str:
    parent = place.parent
    beside = [path.name for path in parent.iterdir()] if parent.is_dir() else []
    return f"{did_you_mean(place.name, beside)}check the spelling, and the folder that you are in"
