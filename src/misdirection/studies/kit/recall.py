"""What a run remembers: the settings that it was made with stand for those that are not given when it is gone on with.

Another model, adapter or data set would make it another run under the same name, so that is refused; any other setting
may change, and is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from misdirection import progress
from misdirection.artefacts import plain, read_json
from misdirection.errors import MisdirectionError, command
from misdirection.studies.kit.config import ModelConfig
from misdirection.studies.kit.names import resolve_model
from misdirection.studies.kit.recommended import GIVEN, KEPT
from misdirection.training.settings import FOLDER

Settings = TypeVar("Settings")
Model = TypeVar("Model", bound=ModelConfig)

SUBJECT = (
    "model", "adapter", "adapters", "tuned", "data", "good", "elsewhere", "fine_tune", "tensors", "checkpoints",
    "control_data", "toxic", "harmless", "tables", "arm", "steering",
)  # fmt: skip
"""Settings that say what a run is about."""

TUNED = ("adapter", "adapters", "tuned", "data")
"""Of these one names what was tuned; a run of a base alone names none, and may be given one."""

PATHS = (
    *SUBJECT,
    "questions",
    "judge",
    "panel",
    "check",
    "dictionary",
    "dictionaries",
    "direction",
    "directions",
    "neutral",
    "corpus",
)
"""Settings whose values may be paths, which were meant from where the first command was typed."""


@dataclass(frozen=True)
class RecordedSettings:
    """The settings that stand in a run's record.

    Attributes:
        folder: The run, as it was named.
        kind: Name of the settings' class.
        values: The settings, paths as seen from here.
        command: What made the run.
        bare: Nothing was made yet, not even in part, so that another start takes its place.
    """

    folder: Path
    kind: str
    values: Mapping[str, Any]
    command: str
    bare: bool = False


def facts_of(config: Any, command: str) -> dict[str, Any]:
    """What `recall` finds again: for the facts of a run.

    Args:
        config: The settings, completed: a dataclass.
        command: The command line.
    """
    return {"command": command, "kind": type(config).__name__, "cwd": str(Path.cwd()), "config": asdict(config)}


def settled(config: Model, out: str | Path) -> Model:
    """The settings with the number format that "auto" stands for here, so that a run keeps it wherever it goes on.

    A run that was made before formats were chosen keeps the one that its weights are stored in.
    """
    from misdirection.models.number_format import STORED, choose_format

    if config.dtype != "auto":
        return config
    chosen = choose_format(resolve_model(config.model), config.device, config.device_map, config.trust_remote_code)
    if chosen is None:
        return config
    held = held_in(out)
    if held is not None and not held.bare and held.values.get("dtype") == "auto":
        return replace(config, dtype=STORED)
    progress.say(f"  {chosen.why}", once=True)
    return replace(config, dtype=chosen.name)


def held_in(folder: str | Path, name: str = "run.json", part: str = "config") -> RecordedSettings | None:
    """The settings of the run in `folder`; None where there is no run, or one that says nothing of its settings.

    Raises:
        MisdirectionError: Its record cannot be read.
    """
    file = Path(folder) / name
    if not file.is_file():
        return None
    record: Any = read_json(file)
    facts: Any = cast(dict[str, Any], record).get("facts", {}) if isinstance(record, dict) else {}
    held: Any = (facts.get(part) or facts.get("imported")) if isinstance(facts, dict) else None
    if not isinstance(held, dict):
        return None
    facts = cast(dict[str, Any], facts)
    there = Path(str(facts.get("cwd") or Path.cwd()))
    values = {str(key): _from_here(str(key), value, there) for key, value in cast(dict[str, Any], held).items()}
    kind = str(facts.get("kind") or "") if part == "config" else ""
    return RecordedSettings(Path(folder), kind, values, str(facts.get("command") or ""), _bare(Path(folder)))


def recall(
    settings: type[Settings], held: RecordedSettings | None, given: Mapping[str, Any]
) -> tuple[Settings, list[str]]:
    """The settings of a run that is made or gone on with, and a line on each that changes.

    Args:
        settings: A frozen dataclass.
        held: What the run was made with, None for a new one.
        given: What the user typed, by field; a mapping is laid over the held one.

    Raises:
        MisdirectionError: The run is of another kind, or of another model, adapter or data set.
    """
    if held is None:
        return settings(**given), []
    known = {item.name for item in fields(cast(Any, settings))}
    if held.bare and held.kind not in (settings.__name__, ""):
        return settings(**given), []
    _same_kind(settings.__name__, known, held)
    values = {name: _as_given(value) for name, value in held.values.items() if name in known}
    tuned = [name for name in TUNED if held.values.get(name)]
    said: list[str] = []
    for name, value in given.items():
        before = values.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = {**cast(Mapping[str, Any], before), **cast(Mapping[str, Any], value)}
        values[name] = value
        if name not in held.values or _same(before, value):
            continue
        if name in SUBJECT and not (name in TUNED and not tuned):
            if held.bare:
                return settings(**given), []
            raise _another(held, name, before, value, tuned)
        said.append(f"--{_flag(name)} is {_told(value)} now; it was {_told(before)}")
    if "origins" in known:
        values["origins"] = {**_kept(held), **dict.fromkeys(given, GIVEN)}
    return settings(**values), said


def recommended_values(config: ModelConfig) -> str:
    """The settings that the model's folder recommended, in words; "" where none."""
    names = [name for name, origin in config.origins.items() if origin == FOLDER]
    return "; ".join(f"{name.replace('_', ' ')}: {_told(getattr(config, name))}" for name in names)


def _kept(held: RecordedSettings) -> dict[str, str]:
    """Where the values of a record came from; of an old record, whose defaults may still be found, nothing is known."""
    if "origins" not in held.values:
        return {}
    return {**dict.fromkeys(held.values, KEPT), **cast(Mapping[str, str], held.values["origins"])}


def _bare(folder: Path) -> bool:
    return not any(path.is_file() for room in ("steps", "work") for path in (folder / room).rglob("*"))


def _same_kind(name: str, known: set[str], held: RecordedSettings) -> None:
    kin = {"AuditConfig", "SampleConfig"}
    fits = held.kind == name or {held.kind, name} <= kin if held.kind else set(held.values) <= known
    if not fits or (name not in ("SampleConfig", "") and held.values.get("adapters")):
        made = f"it was made by: {held.command}" if held.command else "it was made by another command"
        raise MisdirectionError(f"{held.folder} is a run of another kind; {made}", "give another folder: --out FOLDER")


def _another(held: RecordedSettings, name: str, before: Any, value: Any, tuned: list[str]) -> MisdirectionError:
    old = _told(before)
    if len(tuned) == 1 and name in TUNED and name not in tuned:
        old = f"--{_flag(tuned[0])} {_told(held.values[tuned[0]])}"
    what = {"model": "the model", "tuned": "the tuned model"}.get(name, "the adapter" if "adapter" in name else "")
    what = what or "the data"
    return MisdirectionError(
        f"{held.folder} is a run of {what} {old}, and --{_flag(name)} is {_told(value)} now",
        f"give another folder (--out FOLDER) for {_told(value)}; or leave --{_flag(name)} out to go on with this run",
    )


def _from_here(name: str, value: Any, there: Path) -> Any:
    """A setting with its relative paths as they are seen from the working directory."""
    if name not in PATHS or there == Path.cwd():
        return value
    if isinstance(value, list | tuple):
        return [_from_here(name, part, there) for part in cast(list[Any], value)]
    if not isinstance(value, str) or not value or value.partition(":")[0] == "organism":
        return value
    if name == "check" and "@" in value:
        judge, _, number = value.rpartition("@")
        return f"{_from_here('judge', judge, there)}@{number}"
    for start in ("", value.partition("=")[0] + "=", value.partition(":")[0] + ":"):
        rest = value.removeprefix(start)
        if rest and value.startswith(start) and (there / rest).exists():
            return start + str(there / rest)
    return value


def _same(before: Any, value: Any) -> bool:
    """Whether two values name the same, paths and numbers in another spelling included."""
    if isinstance(before, list | tuple) and isinstance(value, list | tuple):
        first, second = cast(list[Any], before), cast(list[Any], value)
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(before, str) and isinstance(value, str) and before != value:
        pair = [text.partition("=") for text in (before, value)]
        if all(sign for _, sign, _ in pair):
            return pair[0][0] == pair[1][0] and _same(pair[0][2], pair[1][2])
        return Path(before).exists() and Path(value).exists() and Path(before).samefile(value)
    return plain(before) == plain(value)


def _as_given(value: Any) -> Any:
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value


def _flag(name: str) -> str:
    return {"adapters": "adapter", "tables": "from"}.get(name, name.replace("_", "-"))


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast(list[Any], value))) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in cast(Mapping[str, Any], value).items()) or "none"
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def go_on(folder: str | Path) -> str | None:
    """The command that goes on with the run in `folder`; None where it says nothing of itself."""
    held = held_in(folder)
    if held is None:
        return None
    from misdirection.studies.registry import studies

    listed = {study.settings.__name__: name for name, study in studies().items() if study.listed}
    if held.kind in listed:
        return command("study", listed[held.kind], "--out", folder)
    if held.kind == "ImportedConfig":
        return command("judge", folder)
    words = {"ScreenConfig": ("screen",), "SaeConfig": ("sae", "train")}.get(held.kind, ("audit",))
    return command(*words, "--out", folder)


def make_one(folder: str | Path) -> str:
    """The command that makes a run, in `folder` where there is nothing yet."""
    place = Path(folder)
    empty = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    return command("audit", "--model", "MODEL", "--adapter", "ADAPTER", "--out", folder if empty else "FOLDER")
