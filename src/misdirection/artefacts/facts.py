"""Facts in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from misdirection.artefacts.content import plain
from misdirection.artefacts.whole import AGAIN, atomic_path, first_line, must_exist
from misdirection.errors import MisdirectionError


def write_json(path: str | Path, value: Any, in_order: bool = False) -> None:
    """Write what `plain` accepts as JSON; numbers that are not finite become null.

    Keys are sorted, unless they are to stand `in_order`, as they are.
    """
    text = json.dumps(plain(value), indent=1, sort_keys=not in_order, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file.

    Raises:
        MisdirectionError: The file is missing or is not JSON; the message names the line.
    """
    must_exist(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise MisdirectionError(f"{path}: not readable JSON ({first_line(error)})", AGAIN) from error
