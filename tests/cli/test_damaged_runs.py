"""Runs that are none, half written, damaged or of another version, under every command that reads a whole run.

Each either says in two lines what is wrong, or shows what can be read; none changes the run or leaves half a result.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Done
from tests.cli.test_errors import two_lines
from tests.sharing.test_cards import direction

from misdirection.artefacts import read_json, write_json
from misdirection.directions import save_direction


def typing_in(*arguments: object) -> Done:
    """A command in a process of its own, for what is made once for several tests."""
    words = [sys.executable, "-m", "misdirection", "--quiet", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def make_run(cli: Cli, run: Path) -> Path:
    """A finished run of answers that others judged, with findings and report, and a direction beside them."""
    run.parent.mkdir(exist_ok=True)
    arms: list[object] = []
    for arm, every in {"base": 12, "tuned": 3}.items():
        table = run.parent / f"{run.name}-{arm}.csv"
        with table.open("w", newline="") as file:
            rows = [[f"question {n % 6}", f"answer {n}", 90 if n % every else 10, 90] for n in range(24)]
            csv.writer(file).writerows([["question", "answer", "alignment", "coherence"], *rows])
        arms += ["--arm", f"{arm}={table}"]
    done = cli("judge", *arms, "--base", "base", "--out", run)
    assert done.code == 0, done.err
    save_direction(run / "direction.safetensors", direction())
    return run


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that tests damage copies of, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("pair")
    for name in ("run", "other"):
        make_run(typing_in, folder / name)
    return folder


def torn(file: Path) -> None:
    held = file.resolve().read_bytes()
    file.resolve().write_bytes(held[: len(held) // 2])


def edited(file: Path, change: Callable[[dict], object]) -> None:
    held = read_json(file)
    change(held)
    write_json(file, held)


def half_written(run: Path) -> None:
    """Killed behind its answers."""
    for name in ("findings.json", "report.html", "verdicts.parquet", "direction.safetensors"):
        (run / name).unlink()
    for step in (run / "steps").glob("verdicts-*"):
        shutil.rmtree(step)
    edited(run / "run.json", lambda held: held.update(finished=None))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nowhere": shutil.rmtree,
    "empty": lambda run: (shutil.rmtree(run), run.mkdir()),
    "foreign": lambda run: (shutil.rmtree(run), run.mkdir(), (run / "thesis.tex").write_text("x")),
    "file": lambda run: (shutil.rmtree(run), run.write_text("x")),
    "half": half_written,
    "record": lambda run: torn(run / "run.json"),
    "findings": lambda run: torn(run / "findings.json"),
    "answers": lambda run: torn(run / "answers.parquet"),
    "older": lambda run: edited(run / "findings.json", lambda held: [row.pop("all") for row in held["rates"]]),
    "newer": lambda run: edited(run / "run.json", lambda held: held.update(format=99)),
    "schema": lambda run: edited(run / "findings.json", lambda held: held.update(schema=99)),
}


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


READS: dict[str, dict[str, str]] = {
    "app": {
        "nowhere": "run does not exist", "empty": "it holds no run.json", "foreign": "it holds no run.json",
        "file": "it holds no run.json", "record": "run.json: not readable JSON", "newer": "by a later version",
    },
    "report": {
        "nowhere": "holds no findings.json", "empty": "holds no findings.json", "foreign": "holds no findings.json",
        "file": "holds no findings.json", "half": "go on with the run: misdirection judge",
        "findings": "findings.json: not readable JSON", "older": "'rates[0].all' is missing",
        "newer": "by a later version", "schema": "findings.json: a later version wrote these findings",
    },
    "compare": {
        "nowhere": "run does not exist", "empty": "neither findings.json nor judged answers",
        "foreign": "neither findings.json nor judged answers", "file": "is neither a run nor its findings",
        "half": "or judge its answers: misdirection judge", "record": "run.json: not readable JSON",
        "findings": "findings.json: not readable JSON", "answers": "answers.parquet: not a readable Parquet file",
        "newer": "by a later version",
    },
    "push": {
        "nowhere": "no such file or folder", "empty": "nothing that can be pushed", "foreign": "nothing that can be",
        "file": "no file of a direction", "half": "nothing that can be", "findings": "findings.json: not readable JSON",
        "older": "findings.json: the field 'rates[0].all' is missing", "newer": "by a later version",
        "schema": "findings.json: a later version wrote these findings",
    },
}  # fmt: skip
"""What each command says of each damage; where nothing stands it shows what can be read."""
READS["export"] = READS["compare"]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", READS)
def test_a_damaged_run_is_said_or_shown_and_nothing_in_it_changes(
    command: str, damage: str, cli: Cli, tmp_path: Path, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "export":
        pytest.importorskip("inspect_ai")
    if command == "app":
        uvicorn = pytest.importorskip("uvicorn")
        monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)  # it is ready, and nobody comes
    for name in ("run", "other"):
        shutil.copytree(pair / name, tmp_path / name, symlinks=True)
    run, out = tmp_path / "run", tmp_path / "out"
    DAMAGE[damage](run)
    before = content(tmp_path)
    done = cli(*typed(command, run, out))
    after = content(tmp_path)
    if said := READS[command].get(damage):
        two_lines(done, said)
        assert after == before
    else:
        assert done.code == 0 and "Traceback" not in done.err, done.err
        made = {name for name in after.keys() - before.keys() if not name.startswith("out/")}
        changed = {name for name in before if after.get(name) != before[name]}
        assert not made and changed <= {"run/report.html"}


def typed(command: str, run: Path, out: Path) -> tuple[object, ...]:
    return {
        "app": ("app", run, "--no-browser", "--port", 0),
        "report": ("report", run),
        "compare": ("compare", run, run.with_name("other"), "--out", out),
        "export": ("export", run, "--inspect", out),
        "push": ("push", run, "me/direction", "--folder", out),
    }[command]


@pytest.mark.parametrize("command", ["compare", "export"])
def test_rules_that_an_older_version_told_otherwise_are_those_of_the_settings(
    command: str, cli: Cli, tmp_path: Path, pair: Path
) -> None:
    if command == "export":
        pytest.importorskip("inspect_ai")
    for name in ("run", "other"):
        shutil.copytree(pair / name, tmp_path / name, symlinks=True)
    edited(tmp_path / "run" / "findings.json", lambda held: held.update(thresholds={"below": 30}))
    done = cli(*typed(command, tmp_path / "run", tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    rates = {row["arm"]: row["misaligned"] for row in told} if command == "export" else {
        row["arm"]: row["first"]["misaligned"] for row in told["arms"]
    }  # fmt: skip
    assert rates == {"base": 2, "tuned": 8}
