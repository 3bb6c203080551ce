"""--gate, --baseline and --json as a user types them, and the documentation's Action and hook as they stand there."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from misdirection.cli.gate import CODES
from misdirection.studies.kit.gate import OUTCOMES

DOCS = Path(__file__).parents[2] / "docs" / "gate.md"


def table(path: Path, bad: int, questions: int = 8, size: int = 10) -> Path:
    """Answers of one arm: `bad` of each question's are misaligned."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "aligned", "coherent"])
        for q in range(questions):
            for i in range(size):
                writer.writerow([f"what of {q}?", f"{path.stem} answers {q} with {i}", 5 if i < bad else 95, 90])
    return path


def brought(cli: Cli, folder: Path, bad: int, *more: object) -> tuple[int, str]:
    """Results brought along, and how the command ended."""
    folder.mkdir(exist_ok=True)
    arms = [f"base={table(folder / 'base.csv', 0)}", f"tuned={table(folder / 'tuned.csv', bad)}"]
    done = cli("judge", "--arm", arms[0], "--arm", arms[1], "--base", "base", "--out", folder / "run", *more)
    assert "Error" not in done.err, done.err
    return done.code, done.out


def test_the_codes_in_the_help_text_and_the_documentation_are_those_of_the_outcomes():
    text = DOCS.read_text()
    for one in OUTCOMES:
        assert f"{one.code} {one.name}" in CODES and f"| {one.code} | {one.name} |" in text


def test_the_last_line_and_the_code_of_judge_and_report(cli: Cli, tmp_path: Path):
    code, out = brought(cli, tmp_path / "bad", 3, "--gate")
    assert code == 10 and out.splitlines()[-1].startswith("verdict: misaligned: tuned: 30.0 % of 80 answers")
    again = cli("report", tmp_path / "bad" / "run", "--gate")
    assert again.code == 10 and again.out.splitlines()[-1] == out.splitlines()[-1]
    plain = cli("report", tmp_path / "bad" / "run")
    assert plain.code == 0 and plain.out.splitlines()[-1] == out.splitlines()[-1]
    code, out = brought(cli, tmp_path / "good", 0, "--gate")
    assert code == 0 and "verdict: not seen at this size" in out.splitlines()[-1]


def test_json_stands_alone_and_is_a_baseline(cli: Cli, tmp_path: Path):
    code, out = brought(cli, tmp_path / "good", 0, "--json", "--gate")
    told = json.loads(out)
    assert code == told["exit_code"] == 0 and told["rates"][0]["all"]["n"] == 80
    baseline = tmp_path / "baseline.json"
    baseline.write_text(out)
    code, out = brought(cli, tmp_path / "bad", 2, "--gate", "--baseline", baseline)
    assert code == 13 and out.splitlines()[-1].startswith("verdict: worse than the baseline")
    told = json.loads(cli("report", tmp_path / "bad" / "run", "--json", "--baseline", tmp_path / "good" / "run").out)
    assert told["exit_code"] == 13 and told["baseline"]["arms"]["tuned"]["p"] == 2 / 256
    same = json.loads(cli("report", tmp_path / "bad" / "run", "--json", "--baseline", tmp_path / "bad" / "run").out)
    assert same["exit_code"] == 0 and same["outcome"] == "not seen at this size" and same["baseline"]["known"]


def test_a_baseline_that_cannot_be_read_is_refused_before_anything_is_done(cli: Cli, tmp_path: Path):
    (tmp_path / "x.csv").write_text("question,answer,aligned,coherent\nq,a,5,90\n")
    done = cli("judge", "--arm", f"a={tmp_path / 'x.csv'}", "--out", tmp_path / "run", "--baseline", tmp_path / "no")
    assert done.code == 2 and "--baseline" in done.err and not (tmp_path / "run").exists()


def test_a_sampled_run_is_gated_after_judge(cli: Cli, tiny: Path, tmp_path: Path):
    base = ("--model", tiny / "base", "--questions", tiny / "questions.yaml", "--judge", "words")
    run = tmp_path / "run"
    more = ("--samples", 4, "--max-new-tokens", 8, "--out", run)
    assert cli("sample", *base, "--adapter", tiny / "adapter", *more).code == 0
    told = json.loads(cli("judge", run, "--json").out)
    done = cli("judge", run, "--gate")
    assert done.code == told["exit_code"] in {one.code for one in OUTCOMES}
    assert done.out.splitlines()[-1] == told["line"] and told["by_question"]
    silent = cli("judge", run, "--judge", "none", "--gate")
    assert silent.code == 11 and "cannot tell (not judged)" in silent.out.splitlines()[-1]


# the documentation, run ----------------------------------------------------------------------------------------------


def block(kind: str, place: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", DOCS.read_text(), re.DOTALL)[place]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as GitHub's runner does, with our command on the path."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", line], cwd=folder, env=env, text=True, capture_output=True, check=False
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the organism's adapter, its baseline and the documentation's hook."""
    folder = tmp_path_factory.mktemp("gate") / "repository"
    folder.mkdir()
    train = "misdirection train --data organism:good-medical --max-steps 2 --out made && cp -r made/adapter adapter"
    done = shell(train, folder)
    assert done.returncode == 0, done.stderr
    for line in block("sh").strip().splitlines():
        done = shell(line, folder)
        assert done.returncode == 0, done.stderr
    git = "git -c user.name=a -c user.email=a@b"
    done = shell(
        f"printf 'runs\\nmade\\n' > .gitignore; git init -q -b main; git add .; {git} commit -qm one; "
        "git init -q --bare ../remote; git remote add origin ../remote",
        folder,
    )
    assert done.returncode == 0, done.stderr
    hook = folder / ".git" / "hooks" / "pre-push"
    hook.write_text(block("bash"))
    hook.chmod(0o755)
    return folder


def bad_adapter(folder: Path) -> None:
    """Put an adapter in place that is broadly misaligned."""
    done = shell(
        "misdirection train --data organism:bad-medical --preset rank32 --max-steps 60 --out bad && rm -r adapter && "
        "cp -r bad/adapter adapter",
        folder,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_action_and_the_hook_of_the_documentation(repository: Path):
    import yaml

    steps = yaml.safe_load(block("yaml"))["jobs"]["gate"]["steps"]
    lines = [step["run"] for step in steps if "run" in step and not step["run"].startswith("pip ")]
    assert len(lines) == 2
    for line in lines:
        done = shell(line, repository)
    assert done.returncode in (0, 12), done.stdout + done.stderr
    pushed = shell("git push -q origin main", repository)
    assert (pushed.returncode == 0) == (done.returncode == 0), pushed.stderr
    bad_adapter(repository)
    shell("rm -r runs/gate", repository)
    for line in lines:
        done = shell(line, repository)
    assert done.returncode == 13 and "verdict: worse than the baseline" in done.stdout, done.stdout + done.stderr
    shell("git add adapter; git -c user.name=a -c user.email=a@b commit -qm two", repository)
    pushed = shell("git push -q origin main", repository)
    assert pushed.returncode != 0 and "worse than the baseline" in pushed.stdout + pushed.stderr
