"""Options of settings: a field with its help text, values NAME=VALUE, and the texts that several settings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from misdirection.errors import MisdirectionError
from misdirection.naming import each_once

Overrides = Mapping[str, Any]
"""Settings of fine-tunes by name (`training.presets`), where they differ from the preset's."""


def option(default: Any, help: str, panel: str | None = None, repeated: str = "", was: Any = None) -> Any:
    """A field that the command line offers, with its help text, under a heading of its own where `panel` names one.

    Where `repeated` names a field, the option may be given several times: the first value is this field's, the others
    are that one's; where the settings have no such field, a second value is refused. A default of None, "" or () is no
    value but stands for "what suits". `was` is the number that stood for None in earlier versions: it is still taken
    for it, on the command line, in files of settings and in runs.
    """
    return field(default=default, metadata={"help": help, "panel": panel, "repeated": repeated, "was": was})


CONVENTIONS = ("soligo2025", "persona2025", "adl2025")
"""Names of `misdirection.directions.CONVENTIONS`, which is not read here, for it takes seconds to import."""

DTYPES = ("auto", "stored", "float32", "bfloat16", "float16")

CHECK = (
    "a dearer judge, asked about so many answers drawn at random: openai:gpt-4o@120, table:<file>@120 ...; its rates "
    "come with intervals that are right whatever --judge does; label: what a person said with misdirection label RUN"
)

ON = (
    "where the fine-tunes are made: ray://local, ray://HOST:PORT?gpus=1, slurm:PARTITION?gpus_per_node=1; "
    "by default one after the other in this process"
)

NO_DIRECTION = "it makes no direction of answers"
"""Why a study does not follow --convention."""

NO_RATES = "it is for rates of misaligned answers, and there are none here"
"""Why a study of traits follows neither --check nor --alignment-below."""


def named(values: Sequence[str], option_name: str) -> dict[str, str]:
    """Settings of the shape NAME=VALUE as a mapping; a pair that is typed twice counts once.

    Raises:
        MisdirectionError: One has no name, or two values have the same.
    """
    pairs = [value.partition("=") for value in values]
    if wrong := [name for name, sign, rest in pairs if not (name and sign and rest)]:
        raise MisdirectionError(f"--{option_name}: '{wrong[0]}' names nothing", f"write --{option_name} NAME=VALUE")
    return each_once(((name, rest) for name, _, rest in pairs), f"--{option_name}")


def check_name(name: str) -> None:
    """Refuse a name that cannot be an adapter's or a step's.

    Raises:
        MisdirectionError: It holds other than letters, digits, "-", "_" and one "/", or is the base's own.
    """
    plain = name.replace("/", "-", 1)
    if not plain.strip("-/") or not all(c.isalnum() or c in "-_" for c in plain) or plain == "base":
        raise MisdirectionError(
            f"'{name}' cannot be the name of a fine-tune", 'letters, digits, "-" and "_", and DOMAIN/KIND for groups'
        )
