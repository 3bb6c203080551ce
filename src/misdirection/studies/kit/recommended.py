"""What a model's folder recommends for studies of it, and how it explains where they depart from the papers.

A folder of a model may hold a file `misdirection.json`:

    {"training": {"rank1x9": {"lr": 0.004, "max_steps": 80}},
     "studies": {"*": {"questions": ["{folder}/questions.yaml"], "max_new_tokens": 64},
                 "phases": {"noise": "2.8%", "training": {"rank1": {"max_steps": 240}}}},
     "explanations": {"phases": {"late": "at this learning rate answers show at once what the weights learn"}}}

`training` is read by `training.choose`. `studies` holds settings by the name of a study, "*" standing for all that have
such a setting; its own part `training` is laid over the folder's in that study. What the user typed goes before what
the folder recommends, and that before a setting's default. In a text `{name}` stands for another setting, of a list for
each of its values in turn, and `{folder}` for the model's folder. `explanations` holds sentences that a verdict may add
where the outcome departs from a paper's, by study and by the names in `explained` of its settings.

A folder cannot say what is studied, how it is loaded, or that answers are sent to a provider.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from itertools import product
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.studies.kit.names import resolve_model
from misdirection.training.presets import PRESETS
from misdirection.training.settings import FOLDER, RECOMMENDED

Settings = TypeVar("Settings", bound=Any)

GIVEN, KEPT = "given", "the run's record"
"""Origins of settings beside `FOLDER`: typed by the user; held by the run that is gone on with."""

PARTS = ("training", "studies", "explanations")

WITHHELD = (
    "model", "adapter", "adapters", "tuned", "fine_tune", "checkpoints", "tensors", "dtype", "device", "device_map",
    "trust_remote_code", "origins",
)  # fmt: skip
"""Settings that are the user's alone: what is studied, and how it is loaded."""

PROVIDERS = ("openai:", "inspect:")
"""Beginnings of values that send texts away, at the user's cost."""

_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Recommendation:
    """What a model's folder says to studies.

    Attributes:
        file: Where it stands.
        studies: Settings by study.
        explanations: Sentences by study and name.
    """

    file: Path
    studies: Mapping[str, Mapping[str, Any]]
    explanations: Mapping[str, Mapping[str, str]]


def recommendation(model: str) -> Recommendation | None:
    """What the folder of a model says to studies; None where it says nothing, or the model is in no folder.

    Raises:
        MisdirectionError: The file cannot be read, or has another shape.
    """
    file = Path(resolve_model(model)) / RECOMMENDED
    if not file.is_file():
        return None
    value: Any = read_json(file)
    held = _mapping(value, f"{file}")
    if "gguf" in held:  # what a converted GGUF file was
        return None
    if strange := [name for name in held if name not in PARTS]:
        raise MisdirectionError(f"{file}: there is no part '{strange[0]}'", did_you_mean(strange[0], PARTS, "parts"))
    parts = [
        {name: _mapping(one, f"{file}: {part}.{name}") for name, one in _mapping(held.get(part, {}), part).items()}
        for part in PARTS[1:]
    ]
    for study, said in parts[1].items():
        if wrong := [name for name, text in said.items() if not isinstance(text, str)]:
            raise MisdirectionError(f"{file}: explanations.{study}.{wrong[0]} is no text", "write a sentence")
    return Recommendation(file, parts[0], parts[1])


def with_recommended(config: Settings, shared: Collection[str] = ()) -> Settings:
    """Settings of a study with the model folder's recommendation for all that nobody gave.

    A recommendation falls away where a setting that `unless` names beside it was given, other than the folder says
    itself: data where an adapter was, good chats of a domain where data of another were.

    Args:
        config: A dataclass with `model`, `origins`, and the class attributes `study`, `unless` and `explained`.
        shared: Settings that "*" may hold although this study has none such.

    Raises:
        MisdirectionError: The folder recommends a setting that is not there, or that is the user's alone, or a value
            of another kind.
    """
    found = recommendation(config.model)
    if found is None:
        return config
    _check_names(found, config, shared)
    known = {item.name: item for item in fields(config)}
    general = {name: value for name, value in found.studies.get("*", {}).items() if name in known}
    said = {**general, **found.studies.get(config.study, {})}
    wanted = {name: value for name, value in said.items()
              if name != "training" and _is_open(config, known[name], said)}  # fmt: skip
    hints = get_type_hints(type(config))
    values = {name: _typed(found, config, known[name], hints[name], value) for name, value in wanted.items()}
    # Those that stand on others come last.
    for name, value in sorted(values.items(), key=lambda pair: bool(_names_in(pair[1]))):
        filled = _filled(found, config, name, value)
        config = replace(config, **{name: filled, "origins": {**config.origins, name: FOLDER}})
    return config


def explanations(config: Any) -> Mapping[str, str]:
    """What the model's folder says of departures in this study, by the names of `explained`; empty for most models."""
    found = recommendation(config.model)
    return {} if found is None else found.explanations.get(config.study, {})


def advised(settings: type[Any]) -> tuple[str, dict[str, str]]:
    """What the folder of the model that is the default recommends, for help texts: the model, and values in words.

    Args:
        settings: A dataclass; one without `study` is recommended nothing.
    """
    model = str(getattr(settings, "model", ""))
    found = recommendation(model) if hasattr(settings, "study") else None
    if found is None:
        return model, {}
    names = {item.name for item in fields(settings)}
    names -= {name for name, others in settings.unless.items() if any(getattr(settings, o, 0) is True for o in others)}
    wanted = {**found.studies.get("*", {}), **found.studies.get(settings.study, {})}
    return model, {name: _in_words(value) for name, value in wanted.items() if name in names}


def _in_words(value: Any) -> str:
    parts = [str(part) for part in cast(list[Any], value)] if isinstance(value, list) else [str(value)]
    more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
    return _NAME.sub(r"<\1>", ", ".join(parts[:4])) + more or "none"


def strangers(model: str, known: Collection[str]) -> list[str]:
    """A sentence on each study that a model's folder speaks of and that is not among the `known` ones."""
    found = recommendation(model)
    if found is None:
        return []
    names = dict.fromkeys(name for part in (found.studies, found.explanations) for name in part)
    return [
        f"{found.file}: there is no study '{name}' here; what is said of it is left out"
        for name in names
        if name not in ("*", *known)
    ]


def _check_names(found: Recommendation, config: Any, shared: Collection[str]) -> None:
    """Refuse what this study, or none of all, has by that name."""
    own = {item.name for item in fields(config)}
    for study, known in (("*", {*shared, *own}), (config.study, {*own, "training"})):
        for name in found.studies.get(study, {}):
            where = f"{found.file}: studies.{study}.{name}"
            if name in WITHHELD:
                raise MisdirectionError(f"{where} is for the user alone to say", "take it out of the file")
            if name not in known:
                raise MisdirectionError(f"{where}: there is no such setting", did_you_mean(name, known, "settings"))
    for name in found.explanations.get(config.study, {}):
        if name not in config.explained:
            raise MisdirectionError(
                f"{found.file}: explanations.{config.study}.{name}: there is no such departure",
                did_you_mean(name, config.explained, "names") if config.explained else "this study has none",
            )
    presets = _mapping(found.studies.get(config.study, {}).get("training", {}), f"{found.file}: training")
    if wrong := [name for name in presets if name not in PRESETS]:
        raise MisdirectionError(
            f"{found.file}: studies.{config.study}.training: no preset is called '{wrong[0]}'",
            did_you_mean(wrong[0], PRESETS, "presets"),
        )


def _is_open(config: Any, item: Field[Any], said: Mapping[str, Any]) -> bool:
    """Whether nobody gave a setting, nor one beside which the folder's own means another thing."""
    if any(_given(config, other, said.get(other)) for other in config.unless.get(item.name, ())):
        return False
    default = _default(item)
    if getattr(config, item.name) != default:
        return False
    unsaid = default is None or default == "" or default == ()
    return unsaid or config.origins.get(item.name, FOLDER) == FOLDER


def _given(config: Any, name: str, said: Any) -> bool:
    """Whether a setting was given, other than the folder says it."""
    value, known = getattr(config, name, None), {item.name: item for item in fields(config)}
    if not value or (name in known and value == _default(known[name]) and config.origins.get(name, FOLDER) == FOLDER):
        return False
    return value != (tuple(cast("list[Any]", said)) if isinstance(said, list) else said)


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _typed(found: Recommendation, config: Any, item: Field[Any], hint: Any, value: Any) -> Any:
    """A value of JSON as the setting's kind."""
    where = f"{found.file}: {'.'.join(('studies', _study_of(found, config, item.name), item.name))}"
    try:
        read = _of_kind(value, hint)
    except TypeError as error:
        raise MisdirectionError(f"{where} cannot be {value!r}", str(item.metadata.get("help", ""))) from error
    texts = [text for text in (read if isinstance(read, tuple) else (read,)) if isinstance(text, str)]
    if sent := [text for text in texts if text.rpartition("=")[2].startswith(PROVIDERS)]:
        raise MisdirectionError(
            f"{where} is {sent[0]}, which would send texts away", "only who runs a study may choose that: take it out"
        )
    return cast(Any, read)


def _study_of(found: Recommendation, config: Any, name: str) -> str:
    return config.study if name in found.studies.get(config.study, {}) else "*"


def _of_kind(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise TypeError
        return tuple(_of_kind(part, get_args(hint)[0]) for part in cast(list[Any], value))
    if isinstance(hint, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else _of_kind(value, kinds[0])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint not in (str, int, float, bool) or type(value) is not hint:
        raise TypeError
    return value


def _names_in(value: Any) -> list[str]:
    texts = cast(tuple[Any, ...], value) if isinstance(value, tuple) else (value,)
    return [name for text in texts if isinstance(text, str) for name in _NAME.findall(text)]


def _filled(found: Recommendation, config: Any, name: str, value: Any) -> Any:
    """A value with other settings in the place of their names, each of a list's texts once."""
    if not _names_in(value):
        return value
    if isinstance(value, str):
        return next(iter(_texts(found, config, name, value)), "")
    parts = cast(tuple[str, ...], value)
    return tuple(dict.fromkeys(text for part in parts for text in _texts(found, config, name, part)))


def _texts(found: Recommendation, config: Any, name: str, text: str) -> list[str]:
    """A text for each choice of values for the names in it; none where a setting is empty."""
    names = list(dict.fromkeys(_NAME.findall(text)))
    values = [_values(found, config, name, other) for other in names]
    choices = [dict(zip(names, choice, strict=True)) for choice in product(*values)]
    return [_NAME.sub(lambda match, chosen=chosen: chosen[match[1]], text) for chosen in choices]


def _values(found: Recommendation, config: Any, name: str, other: str) -> Sequence[str]:
    if other == "folder":
        return [str(found.file.parent)]
    if not hasattr(config, other):
        raise MisdirectionError(
            f"{found.file}: {name} holds {{{other}}}, and there is no such setting", "a setting of the study, or folder"
        )
    value: Any = getattr(config, other)
    several = cast(tuple[Any, ...], value) if isinstance(value, tuple) else (value,)
    return [str(one) for one in several if one not in ("", None)]


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MisdirectionError(
            f"{where} must hold names and what belongs to them", 'like {"studies": {"phases": {"noise": "2.8%"}}}'
        )
    return cast(dict[str, Any], value)
