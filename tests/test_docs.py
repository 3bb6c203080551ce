"""The documentation: its pages are all there, and what its guides say to type can be typed, on the organism."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from misdirection.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = ("index.md", "guides/misaligned.md", "guides/where.md", "guides/what.md", "guides/rows.md", "guides/undo.md")


def pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for value in nav.values():
            yield from pages(value)
    elif isinstance(nav, list):
        for value in nav:
            yield from pages(value)


def lines(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("misdirection ")]


def test_every_page_is_in_the_navigation_and_there() -> None:
    listed = sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert listed == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
    # These are read out of files at the root of the repository, one of them out of a part.
    for page in ("contributing.md", "changes.md", "studies.md"):
        (found,) = re.findall(r'--8<-- "(.*)"', (DOCS / page).read_text(encoding="utf-8"))
        name, _, part = found.partition(":")
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not part or (f"[start:{part}]" in text and f"[end:{part}]" in text)


def test_a_public_room_stands_in_the_reference() -> None:
    told = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    for room in ("models", "engine", "judging", "statistics", "directions", "features", "screening", "training"):
        assert f"::: misdirection.{room}\n" in told


@pytest.mark.slow
def test_the_guides_can_be_typed(tmp_path: Path) -> None:
    typed = [(page, line) for page in GUIDES for line in lines(page) if "./" not in line]
    assert len(typed) > 15
    for page, line in typed:
        # With -s one sees how far it is.
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {page}: {line}\n")
        words = [sys.executable, "-m", *shlex.split(line, comments=True)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page}: {line}\n{done.stderr[-2000:]}"
    code = re.search(r"```python\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def typed() -> Iterator[tuple[str, str]]:
    """Every command line of ours in a block of a page, lines that go on joined."""
    for page in sorted([ROOT / "README.md", *DOCS.rglob("*.md")]):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("misdirection "):
                    yield str(page.relative_to(ROOT)), line


@pytest.mark.parametrize(("page", "line"), list(typed()))
def test_commands_and_options_on_a_page_are_there(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"{page}: there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{page}: {line}"
