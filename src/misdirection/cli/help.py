"""Help texts as a terminal of any width shows them: paragraphs that flow, and each example on a line of its own."""

from __future__ import annotations

import inspect
import re

import typer

from misdirection.cli.once import OnceCommand


def tidy(app: typer.Typer) -> None:
    """Have every command of `app`, sub-commands included, show its docstring so, and read each option once."""
    for info in app.registered_commands:
        text = info.help or (inspect.getdoc(info.callback) if info.callback else "")
        info.help = flowing(text or "")
        info.cls = OnceCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            tidy(group.typer_instance)


def flowing(text: str) -> str:
    r"""A help text with the line ends of its source taken out; a paragraph that starts with \b keeps its own."""
    prose, sign, examples = _split(inspect.cleandoc(text))
    parts = [part if part.startswith("\b") else " ".join(part.split()) for part in prose.split("\n\n")]
    if sign:
        lines = re.split(r"\s(?=misdirection )", f" {' '.join(examples.split())}")
        found = [line.strip() for line in lines if line.strip()]
        parts += ["Example:" if len(found) == 1 else "Examples:", *(f"  {line}" for line in found)]
    return "\n\n".join(part for part in parts if part)


def _split(text: str) -> tuple[str, str, str]:
    """What stands before "Example:" or "Examples:", that word, and the examples."""
    found = re.search(r"^Examples?:", text, re.MULTILINE)
    return (text, "", "") if found is None else (text[: found.start()].strip(), found[0], text[found.end() :])
