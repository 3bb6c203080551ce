"""Where what a user need not make twice is kept: converted models, and what is known of judges."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(room: str) -> Path:
    """A folder of the user's cache, which need not exist.

    It lies in $MISDIRECTION_CACHE, else in $XDG_CACHE_HOME/misdirection, else in ~/.cache/misdirection.
    """
    given, shared = os.environ.get("MISDIRECTION_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else (Path(shared) if shared else Path.home() / ".cache") / "misdirection") / room
