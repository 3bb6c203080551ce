"""Findings from JSON back to the dataclasses that they were written from; what does not fit is refused by its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from misdirection.errors import MisdirectionError
from misdirection.results.envelope import SCHEMA, Results

Found = TypeVar("Found", bound=Results)

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<place>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def read_results(findings: Mapping[str, Any], kind: type[Found], where: str, again: str) -> Found:
    """The findings of a study as its own dataclass.

    Args:
        findings: The value of its findings.json.
        kind: Its dataclass.
        where: The file, for messages.
        again: The command that makes it again, for messages.

    Raises:
        MisdirectionError: They are of another version of the layout, or a field is missing or of another kind; the
            message names it.
    """
    import msgspec

    hint = f"make them again, which repeats no step that is still there: {again}"
    if "schema" not in findings:
        raise MisdirectionError(f"{where}: the field 'schema' is missing: an older version wrote these findings", hint)
    schema = findings["schema"]
    if isinstance(schema, int) and schema > SCHEMA:
        told = f"{where}: a later version wrote these findings (layout {schema}, this one reads {SCHEMA})"
        raise MisdirectionError(told, f"update misdirection; or {hint}")
    if schema != SCHEMA:
        raise MisdirectionError(f"{where}: the field 'schema' is {schema!r}, and this version reads {SCHEMA}", hint)
    try:
        return msgspec.convert(dict(findings), kind)
    except msgspec.ValidationError as error:
        raise MisdirectionError(f"{where}: {_sentence(str(error))}", hint) from error


def _sentence(said: str) -> str:
    """What msgspec says, field first."""
    parts = _PLACE.match(said)
    what, place = (parts["what"], parts["place"] or "") if parts else (said, "")
    if missing := _MISSING.fullmatch(what):
        field = f"{place}.{missing['name']}".removeprefix(".")
        return f"the field '{field}' is missing"
    return f"the field '{place}' does not fit: {what[:1].lower()}{what[1:]}".replace("`", "'")
