"""What a user sees before anything runs: help, version, defaults; and what the command does not import for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
import typer
from tests.cli.conftest import Cli

import misdirection
from misdirection.cli.derive import several
from misdirection.cli.help import flowing
from misdirection.cli.main import app
from misdirection.directions import CONVENTIONS
from misdirection.judging import JUDGES
from misdirection.screening import METHODS
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.kit.config import DTYPES
from misdirection.studies.registry import studies
from misdirection.training.presets import LOADED, LORA, PRESETS

HEAVY = {"torch", "transformers", "peft", "accelerate", "pyarrow", "scipy", "safetensors", "jinja2", "numpy"}
COMMANDS = ("audit", "train", "report", "sample", "judge", "direction", "steer", "ablate", "sweep", "organism",
            "power", "agreement", "screen", "monitor")  # fmt: skip
CHOICES = {*PRESETS, *JUDGES, *METHODS, *CONVENTIONS, *DTYPES} - {"judge", "local", "auto", "none", "table"}
"""All that can be chosen somewhere, as it stands before a test brings its own; without common words."""

ALL = [*((name,) for name in COMMANDS), ("organism", "build"), ("organism", "figures")]


def squeeze(text: str) -> str:
    """Help without boxes and line ends."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


def found(path: tuple[str, ...]) -> click.Command:
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return command


def test_the_first_page_names_every_command_and_how_to_start(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(re.search(rf"\b{name}\b", done.out) for name in COMMANDS)
    assert "misdirection audit --out runs/first" in squeeze(done.out)
    assert "[bold]" not in done.out


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself_and_all_its_options(path: tuple[str, ...], cli: Cli) -> None:
    done = cli(*path, "--help")
    assert done.code == 0 and len(done.out) > 100
    text, command = squeeze(done.out), found(path)
    assert command.help and squeeze(command.help).strip().split(".")[0] in text
    for parameter in command.params:
        said = getattr(parameter, "help", None)
        assert said, f"{parameter.name} has no help"
        assert squeeze(said) in text or squeeze(said)[:40] in text, f"the help of {parameter.name} is not shown whole"
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in done.out


def test_audit_offers_every_setting_with_its_default(cli: Cli) -> None:
    text = squeeze(cli("audit", "--help").out)
    for field in fields(AuditConfig):
        if field.name == "training" or not field.metadata.get("option", True):
            continue
        assert f"--{field.name.replace('_', '-')} " in text
        assert squeeze(field.metadata["help"]) in text
    assert "repeat it for a panel" in text
    assert "repeat it for a panel" not in squeeze(cli("study", "convergence", "--help").out)
    multiples = ", ".join(f"{value:g}" for value in AuditConfig().coefficients)
    for shown in ("organism", str(AuditConfig().samples), AuditConfig().convention, multiples):
        assert f"[default: {shown}]" in text
    assert all(option in text for option in ("--lr ", "--max-steps ", "--rank ", "--batch-size "))
    assert text.count("(by default the preset's)") >= 5


def test_the_version_and_a_bare_call(cli: Cli) -> None:
    assert cli("--version").out.strip() == misdirection.__version__
    assert "Usage" in cli().out + cli().err


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"], ["--version"], ["audit", "--samples", "x"]])
def test_starting_up_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import json, sys\n"
        "from misdirection.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout.splitlines()[-1])) & HEAVY


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("misdirection")
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == misdirection.__version__


def test_lists_are_repeated_or_hold_commas(tmp_path: Path) -> None:
    assert several(["3", "5"], int, "--layers") == several(["3,5"], int, "--layers") == (3, 5)
    assert several(["1,2.5", " 4 "], float, "--coefficients") == (1.0, 2.5, 4.0)
    assert several(None, int, "--layers") == several([], int, "--layers") == several([""], str, "--data") == ()
    assert several(["open,medical", "legal"], str, "--questions") == ("open", "medical", "legal")
    file = tmp_path / "a,b.yaml"
    file.touch()
    assert several([str(file)], str, "--questions") == (str(file),)
    with pytest.raises(typer.BadParameter, match="'x' is no whole number"):
        several(["3,x"], int, "--layers")


@pytest.mark.parametrize(
    ("path", "option", "known"),
    [
        (("train",), "--preset", list(PRESETS)),
        (("audit",), "--preset", list(LOADED)),
        *((("study", name), "--preset", list(LORA if name in ("adapters", "weights") else LOADED))
          for name, study in studies().items()
          if study.listed and "preset" in study.settings.__dataclass_fields__),
        (("study", "convergence"), "--presets", list(LOADED)),
        (("study", "narrow"), "--kinds", [name for name, config in PRESETS.items() if not config.full]),
        (("audit",), "--judge", list(JUDGES)),
        (("judge",), "--judge", list(JUDGES)),
        (("agreement",), "--judge", list(JUDGES)),
        (("screen",), "--judge", list(JUDGES)),
        (("screen",), "--methods", list(METHODS)),
        (("study", "screening"), "--methods", list(METHODS)),
        (("audit",), "--convention", list(CONVENTIONS)),
        (("direction",), "--convention", list(CONVENTIONS)),
        (("audit",), "--dtype", list(DTYPES)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_can_be_chosen_is_what_there_is(path: tuple[str, ...], option: str, known: list[str]) -> None:
    parameter = next(p for p in found(path).params if option in getattr(p, "opts", ()))
    said = re.findall(r"[\w-]+", str(getattr(parameter, "help", "")))
    assert set(known) <= set(said), f"{option} does not name {set(known) - set(said)}"
    assert not (CHOICES - set(known)) & set(said), "it names what there is not"


def test_help_flows_and_each_example_stands_alone() -> None:
    text = """One line.

    Two lines that
    belong together.

    \b
    a table
    as it is

    Examples: misdirection a --out x
    misdirection b --long one
    --more two
    """
    assert flowing(text).split("\n\n") == [
        "One line.", "Two lines that belong together.", "\b\na table\nas it is", "Examples:",
        "  misdirection a --out x", "  misdirection b --long one --more two",
    ]  # fmt: skip
    assert flowing("One.\n\nExample: misdirection a").endswith("Example:\n\n  misdirection a")
