"""From folders to a page in the browser: runs read, a port on loopback, an address with a token."""

from __future__ import annotations

import errno
import os
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from misdirection.errors import MisdirectionError, MissingExtraError

if TYPE_CHECKING:
    from misdirection.app.opening import Given

PORT = 8642
"""Where the app listens unless told otherwise; where that is taken, on any port that is free."""

HOST = "127.0.0.1"


def serve(
    paths: Sequence[str | Path],
    port: int | None = None,
    *,
    given: Given | None = None,
    show: bool = True,
    say: Callable[[str], None] = print,
    prepare: Callable[[str], object] = str,
) -> None:
    """Show runs in the browser until the process is stopped.

    Args:
        paths: Folders of runs.
        port: Where to listen on loopback; 0 takes any port that is free. By default `PORT`, or any where it is taken.
        given: Directions and dictionaries that the runs are looked at by besides their own.
        show: Open the browser too.
        say: Told the address.
        prepare: Called with a model's name before it is loaded.

    Raises:
        MissingExtraError: fastapi or uvicorn is not installed.
        MisdirectionError: A folder is no run, a file given is no direction, or the port is taken.
    """
    try:
        import fastapi as _fastapi  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(str(error.name), "app") from error
    from misdirection.app.guard import new_token
    from misdirection.app.material import direction_called
    from misdirection.app.opening import open_run
    from misdirection.app.resident import Resident
    from misdirection.app.site import build

    runs = [open_run(path, given) for path in paths]
    for name in given.directions if given else ():
        direction_called(runs[0], name)
    with listen(port) as held:
        number, token = held.getsockname()[1], new_token()
        resident = Resident(runs, prepare)
        site = build(runs, token, number, resident)
        address = f"http://{HOST}:{number}/?token={token}"
        say(address)
        if show and _has_screen():
            webbrowser.open(address)
        settings = uvicorn.Config(
            site, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
        )
        try:
            uvicorn.Server(settings).run(sockets=[held])
        finally:
            resident.close()


def listen(port: int | None = None) -> socket.socket:
    """A socket on loopback.

    Args:
        port: As `serve` takes it.

    Raises:
        MisdirectionError: The port is taken, or not to be had.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there it would let two programs share the port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, PORT if port is None else port))
    except OSError as error:
        held.close()
        if port is None:
            return listen(0)
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise MisdirectionError(
            f"port {port} of {HOST} {why}", "give another, or --port 0 for any that is free"
        ) from error
    held.listen(128)
    return held


def _has_screen() -> bool:
    """Whether a browser can show itself; without a screen a text browser would take the terminal."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
