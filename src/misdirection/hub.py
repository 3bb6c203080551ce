"""Whether the hub can be asked, decided once a process: without a network, an id fails at once or comes from the cache.

Left to itself, the hub's client asks an address that nobody answers twelve times, 48 seconds in all, and tells of each.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

_LIMIT = 2.0
"""Seconds that the hub has for its first answer, where HF_HUB_ETAG_TIMEOUT names no other number."""

_NOBODY_BEHIND = (407, 502, 503, 504)
"""Statuses by which a proxy says that it got no answer, or lets nobody through."""

_DECISION = threading.Lock()
_told: list[str | None] = []


def prepare_hub(name: str | Path) -> None:
    """Find out whether the hub can be asked, before anything is fetched from it; for what lies here, nothing is done.

    Where nobody answers, huggingface_hub and all that stands on it are offline for the rest of the process, as with
    HF_HUB_OFFLINE=1: what is in the cache loads, all else fails at once. $HF_ENDPOINT and the environment's proxies are
    honoured.

    Args:
        name: What is to be loaded: a path, or the id of a model, an adapter or a data set.
    """
    if is_an_id(str(name)):
        offline_because()


def offline_because() -> str | None:
    """Why the hub is not asked in this process, as half a sentence; None where it answers. The first call asks it."""
    with _DECISION:
        if not _told:
            _told.append(_reason())
            if _told[0] is not None:
                _go_offline()
        return _told[0]


def offline_hint() -> str | None:
    """What to do for an id that was not found, where the hub is not asked; None where it answers or nobody tried."""
    reason = _told[0] if _told else None
    return reason and f"{reason}: check the spelling, or give the path of a local copy (hf download ... makes one)"


def is_an_id(name: str) -> bool:
    """Whether a name can only be an id of the hub: it is written as one, and nothing here has it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not name or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _reason() -> str | None:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set, so the hub is not asked"
    found: list[str | None] = []
    # A name server that is away can hold a thread for half a minute, whatever the time limit of the request.
    asking = threading.Thread(target=lambda: found.append(_ask(constants.ENDPOINT)), daemon=True)
    given = os.environ.get("HF_HUB_ETAG_TIMEOUT")
    limit = float(constants.HF_HUB_ETAG_TIMEOUT) if given else _LIMIT
    asking.start()
    asking.join(limit)
    if not found:
        return (
            f"{constants.ENDPOINT} does not answer within {limit:g} s "
            "(on a slow line, HF_HUB_ETAG_TIMEOUT=30 waits longer)"
        )
    return found[0]


def _ask(endpoint: str) -> str | None:
    """One request, through the client that the hub's library itself uses: its proxies, certificates and settings."""
    from huggingface_hub.utils import get_session

    try:
        status = get_session().head(endpoint, timeout=60, follow_redirects=False).status_code
    except Exception as error:  # the client's errors are many, and of a package that changed its name
        return f"{endpoint} does not answer ({str(error) or type(error).__name__})"
    return f"{endpoint} does not answer (status {status})" if status in _NOBODY_BEHIND else None


def _go_offline() -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    # PEFT reads the variable itself, and so do processes that are started from here.
    os.environ["HF_HUB_OFFLINE"] = "1"
    if (datasets := sys.modules.get("datasets.config")) is not None:
        datasets.HF_HUB_OFFLINE = True  # pyright: ignore[reportAttributeAccessIssue]
