"""Commands that are shown to a user, in hints, help texts and the README: each parses when it is typed."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import misdirection
from misdirection.cli.main import app

SOURCE = Path(misdirection.__file__).parent
ROOT = Path(__file__).parents[2]
ROOT_COMMAND = typer.main.get_command(app)


def parse(words: list[str]) -> None:
    """Parse a command line of ours, down to the last sub-command, without running it."""
    command: Any = ROOT_COMMAND
    context = None
    while hasattr(command, "commands"):
        context = command.make_context(words[0] if words else "", list(words), parent=context)
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, list(words), parent=context)


def hinted() -> Iterator[tuple[str, list[str]]]:
    """Where a hint names a command, and its words; what is filled in when it is raised is X here."""
    texts = [(file, file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))]
    for file, text in texts:
        # Whoever only collects the tests comes by here, and to parse all that is there takes a second.
        for node in ast.walk(ast.parse(text)) if "command(" in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command":
                if any(isinstance(word, ast.Starred) for word in node.args) or not node.args:
                    continue
                words = [str(word.value) if isinstance(word, ast.Constant) else "1" for word in node.args]
                words = ["study", "narrow", *words[2:]] if words[0] == "study" else words
                yield f"{file.relative_to(SOURCE)}:{node.lineno}", words


def loose() -> Iterator[tuple[str, str]]:
    """Texts of errors that name a command without `command(...)`."""
    names = "|".join(ROOT_COMMAND.commands)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Error", "refuse"))):
                continue
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and re.search(rf"misdirection ({names})\b", str(part.value)):
                    yield f"{file.relative_to(SOURCE)}:{part.lineno}", str(part.value)


def helped() -> Iterator[tuple[str, str]]:
    """The examples of every command's help, one line each."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, str]]:
        for name, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, f"{path} {name}".strip())
        text = " ".join((command.help or "").split()).replace("[bold]", "").replace("[/bold]", "")
        if path:
            examples = text.partition("Example")[2].partition(": ")[2] or text.partition("Examples:")[2]
            for line in re.split(r"(?=\bmisdirection )", examples):
                if line.startswith("misdirection "):
                    yield path, line.strip().rstrip(".")

    yield from walk(ROOT_COMMAND, "")


def told() -> Iterator[tuple[str, str]]:
    """The commands of the blocks of shell of README and documentation."""
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(r"```sh\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("misdirection "):
                    yield str(file.relative_to(ROOT)), line


HINTED, HELPED, TOLD = list(hinted()), list(helped()), list(told())


@pytest.mark.parametrize(("where", "words"), HINTED, ids=[where for where, _ in HINTED])
def test_commands_in_hints_parse(where: str, words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize(("where", "line"), [*HELPED, *TOLD])
def test_examples_parse(where: str, line: str) -> None:
    # These are acted upon before or while the line is parsed.
    parse(shlex.split(re.sub(r"--config \S+ ?|--help|[<>] \S+", "", line), comments=True)[1:])


def test_there_are_examples_and_hints_and_no_command_is_named_otherwise() -> None:
    assert len(HINTED) >= 8 and len(HELPED) >= 20 and len(TOLD) >= 5
    assert list(loose()) == []


def test_a_command_that_does_not_exist_is_not_parsed() -> None:
    for words in (["audit", "--nothing"], ["sae", "train", "--layers"], ["study", "narow"]):
        with pytest.raises(Exception, match=r"(?i)no such|requires|option"):
            parse(words)
