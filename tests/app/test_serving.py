"""From the command line to an address: loopback alone, a port that is taken, a folder that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from misdirection.app.serving import PORT, listen, serve
from misdirection.errors import MisdirectionError


def test_it_listens_on_loopback_alone() -> None:
    with listen(0) as held:
        assert held.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_told_where_it_was_asked_for_and_left_where_it_was_not() -> None:
    with listen(0) as held:
        taken = held.getsockname()[1]
        with pytest.raises(MisdirectionError, match=f"port {taken} of 127.0.0.1 is taken") as error:
            listen(taken)
        assert "--port 0" in str(error.value.hint)
    with listen() as first, listen() as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert PORT not in (0, second.getsockname()[1]) or first.getsockname()[1] != PORT


def run(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "misdirection", "app", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_the_command_prints_an_address_serves_it_and_ends_at_a_signal(large: Path) -> None:
    with run(str(large), "--port", "0", "--no-browser") as done:
        assert done.stdout is not None
        address = done.stdout.readline().strip()
        jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert jar.open(address).status == 200
        page = jar.open(address.partition("?")[0] + "answers").read().decode()
        assert "10,000 answers" in page
        done.send_signal(signal.SIGINT)
        done.communicate(timeout=60)
    assert done.returncode in (0, 130)


def test_a_folder_that_is_no_run_and_a_port_that_is_taken_are_told_before_anything_is_served(
    large: Path, tmp_path: Path
) -> None:
    with pytest.raises(MisdirectionError, match="is no run"):
        serve([large, tmp_path], 0, show=False)
    with listen(0) as held, pytest.raises(MisdirectionError, match="is taken"):
        serve([large], held.getsockname()[1], show=False)
