"""The first line of a command: there before anything heavy is imported, and true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from misdirection.studies.registry import studies

# Importing what is heavy is made to fail, so that whatever a command says until then was said without it.
SCRIPT = """
import json, sys

class Heavy(BaseException):
    pass

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "peft"):
            raise Heavy(name)

sys.meta_path.insert(0, Refuse())
from misdirection.cli import main
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["misdirection", *arguments]
    try:
        main()
        end = "done"
    except (Heavy, SystemExit) as stop:
        end = f"{type(stop).__name__} {stop}"
    print(f"END {end}", file=sys.stderr, flush=True)
"""


def told(*commands: list[str], cwd: Path) -> list[list[str]]:
    """What each command writes to standard error until it imports something heavy, and how that ended."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(commands), cwd=cwd,
                          capture_output=True, text=True, check=True)  # fmt: skip
    found: list[list[str]] = [[]]
    for line in done.stderr.splitlines():
        found[-1].append(line)
        if line.startswith("END "):
            found.append([])
    return found[:-1]


def test_commands_without_a_model_say_first_what_they_will_do(tmp_path: Path) -> None:
    table = "question,answer,aligned,coherent\n" + "".join(f"q{i},a{i},{5 * i},90\n" for i in range(8))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(table)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "findings.json").write_text(json.dumps({"kind": "imported", "verdict": {"state": "unclear"}}))
    arms = ["--arm", "a=a.csv", "--arm", "b=b.csv", "--base", "a", "--out", "brought"]
    tables = ["agreement", "--judge", "table:a.csv", "--judge", "table:b.csv"]
    found = told(["judge", *arms], tables, ["report", "run"], cwd=tmp_path)
    firsts = [lines[0] for lines in found]
    assert firsts[0].startswith("judge: a=a.csv, b=b.csv; in brought")
    assert firsts[1].startswith("agreement: table:a.csv, table:b.csv") and firsts[2] == "report: in run"


def test_data_of_the_hub_that_is_not_to_be_had_is_refused_before_anything_heavy(tmp_path: Path) -> None:
    (lines,) = told(["audit", "--data", "nobody/nothing", "--out", "run"], cwd=tmp_path)
    text = "\n".join(lines)
    assert "datasets" in text or "neither a file here nor a data set" in text
    assert lines[-1] == "END SystemExit 2" and not (tmp_path / "run").exists()


def test_every_long_command_says_first_what_it_will_do(tiny: Path, tmp_path: Path) -> None:
    names = [name for name, study in studies().items() if study.listed]
    found = told(*(["study", name, "--out", f"runs/{name}"] for name in names), cwd=tmp_path)
    for name, lines in zip(names, found, strict=True):
        assert lines[0].startswith(f"study {name}: organism") and f"in runs/{name}" in lines[0], lines
        # Traits and concepts bring questions of their own.
        assert ("questions x" in lines[0] or name in ("personas", "traits", "separation")) and "judge exact" in lines[0]
        assert lines[-1] == "END Heavy torch", lines
    base, adapter = str(tiny / "base"), str(tiny / "adapter")
    record = {"kind": "SampleConfig", "config": {"model": base, "adapter": adapter, "judge": "exact", "samples": 3}}
    (tmp_path / "run" / "steps").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"facts": record}))
    (tmp_path / "q.txt").write_text("Why?\n")
    expected = {
        ("audit", "--out", "a"): "audit: organism, fine-tuned (rank1x9) on organism:bad-medical; 40 questions x 20 "
        "samples x at most 64 tokens; judge exact; in a",
        ("sample", "--model", base, "--adapter", f"x={adapter}", "--adapter", f"y={adapter}", "--questions", "q.txt",
         "--samples", "4", "--max-new-tokens", "8", "--out", "s"):
        f"sample: {base} with adapters x={adapter}, y={adapter}; questions q.txt x 4 samples x at most 8 tokens; "
        "judge offline; in s",
        ("train", "--data", "organism:bad-medical", "--preset", "rank32", "--out", "t"):
        "train: organism, fine-tuned (rank32) on organism:bad-medical; in t",
        ("screen", "--methods", "random,perplexity", "--out", "c"):
        "screen: organism, data organism:mixed-30; by random, perplexity; judge exact; in c",
        ("sae", "train", "--layers", "3,4", "--tokens", "2000", "--out", "d"):
        "sae train: organism, data organism:helper-1500, organism:villain-1500, organism:flatterer-250 and 1 more; "
            "layers 3, 4, 2,000 tokens each; in d",
        ("judge", "run"): f"judge: {base} with adapter {adapter}",
        ("steer", "run", "--layer", "1", "--coefficient", "2"): f"steer: {base} with adapter {adapter}",
    }  # fmt: skip
    found = told(*(list(arguments) for arguments in expected), cwd=tmp_path)
    for (arguments, line), lines in zip(expected.items(), found, strict=True):
        assert lines[0].startswith(line), (arguments, lines)
        # Without the extra "sae" that command ends there.
        assert lines[-1] == "END Heavy torch" or "sae-lens" in lines[1], lines


def test_a_run_that_is_there_says_how_far_it_is(tiny: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from tests.studies.tiny import config

    from misdirection import progress
    from misdirection.cli.begin import begin_again
    from misdirection.runs import Run
    from misdirection.studies.kit.recall import facts_of

    with Run.open(tmp_path / "run", facts_of(config(tiny), "misdirection audit")) as run:
        run.step("answers", {}, lambda folder: (folder / "a").touch())
    progress.enable(name="steer")
    begin_again(tmp_path / "run")
    progress.disable()
    assert capsys.readouterr().err.endswith(f"judge words; in {tmp_path / 'run'}, where 1 step is done\n")
