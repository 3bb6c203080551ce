"""The domain that a fine-tune was trained on, told by what its training answers are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.names import ORGANISM

READ = 32
"""Training answers that are looked at, spread evenly over the data."""

_RECORD = "training.json"


def trained_domain(config: Any) -> str | None:
    """One of the domains that the judge in the box knows, where most training answers lie in it; else None.

    The data are those of the settings, or those that a fine-tune of ours says it was trained on, where they are there
    still. The organism's own domains are none of them, and its judge tells them.

    Args:
        config: Settings of a study of one fine-tune: judge, and data, adapter or tuned.
    """
    if config.judge in ("exact", "none"):
        return None
    sources = getattr(config, "data", ()) or _recorded(
        getattr(config, "adapter", None) or getattr(config, "tuned", None)
    )
    if not sources or any(source.startswith(f"{ORGANISM}:") for source in sources):
        return None
    try:
        answers = _answers(sources)
    except MisdirectionError:
        return None  # What was recorded is another file today; nothing depends on it but this.
    from misdirection.judging.offline.topics import topic_of

    return topic_of(answers)


def _recorded(folder: str | None) -> tuple[str, ...]:
    """The files that a fine-tune of ours names, which has its record beside the adapter's folder."""
    if not folder:
        return ()
    for place in (Path(folder), Path(folder).parent):
        if (place / _RECORD).is_file():
            sources = (read_json(place / _RECORD).get("data") or {}).get("sources") or {}
            return tuple(str(source) for source in sources if Path(source).is_file())
    return ()


def _answers(sources: Sequence[str]) -> list[str]:
    chats = resolve_chats(sources).chats
    return [chat.answer for chat in chats[:: max(1, len(chats) // READ)]][:READ]
