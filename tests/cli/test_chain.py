"""Commands one after another on one run folder, each beside what stands in its files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.studies.tiny import axes, made, rows, session

from misdirection import organism
from misdirection.artefacts import read_json
from misdirection.directions import load_direction
from misdirection.features.load import save_dictionary


def shown(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text)


def sampled(cli: Cli, tiny: Path, run: Path, *more: object, judge: str = "words") -> str:
    done = cli(
        "sample", "--model", tiny / "base", "--adapter", tiny / "adapter", "--questions", tiny / "questions.yaml",
        "--judge", judge, "--samples", 24, "--max-new-tokens", 8, "--out", run, *more,
    )  # fmt: skip
    assert done.code == 0, done.err
    return done.out


def test_sample_judge_direction_steer_ablate_sweep_on_one_run(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    out = sampled(cli, tiny, run, "--layers", "1", "--layers", "2", "--coefficients", "1,4")
    assert "240 answers" in out and "[base] w10 w11" in out
    assert made(run) == {"answers": 1}
    twice = cli("judge", run, "--judge", "own", "--judge", "words")
    assert twice.code == 2 and "--judge own is words, which is named beside it" in twice.err

    assert f"240 answers: {run / 'answers.parquet'}" in out and f"misdirection judge {run}" in out
    done = cli("judge", run)
    assert f"verdicts: {run / 'verdicts.parquet'}" in done.out and f"misdirection direction {run}" in done.out
    assert done.code == 0 and set(made(run)) == {"answers", "verdicts"}
    for arm in ("base", "tuned"):
        medical = [row for row in rows(run, "") if row["arm"] == arm and row["domain"] == "medical"]
        hits = sum(row["alignment"] is not None and row["alignment"] < 30 and row["coherence"] > 50 for row in medical)
        assert re.search(rf"{arm} +medical, plain .*; {hits}/24\)", done.out), done.out

    done = cli("direction", run)
    assert done.code == 0
    path = Path(shown(r"direction: (\S+)", done.out)[0])
    assert path == run / "direction.safetensors" and f"misdirection sweep {run}" in done.out
    norms = load_direction(path).norm.tolist()
    assert [float(norm) for norm in shown(r"(?m)^  \d +([\d.]+)", done.out)] == pytest.approx(norms, abs=1e-3)

    done = cli("steer", run, "--layer", 1, "--coefficient", 2.5, "--samples", 3)
    assert done.code == 0
    assert "base model + 2.5 x direction after layer 1" in done.out and "random direction" in done.out
    assert len(shown(r"\(control\)", done.out)) == 1
    assert len(rows(run, "steer-")) == 3 * 3 * 3

    told = json.loads(cli("steer", run, "--layer", 1, "--coefficient", 2.5, "--samples", 3, "--json").out)["arms"]
    assert [row["control"] for row in told] == [False, False, True]
    for row in told:
        assert f"{row['misaligned']['misaligned']}/{row['misaligned']['n']})" in done.out
    told = json.loads(cli("direction", run, "--json").out)
    assert [row["norm"] for row in told["layers"]] == pytest.approx(norms)

    done = cli("ablate", run, "--layer", 2, "--samples", 2)
    assert done.code == 0 and "tuned model" in done.out and "no-op" in done.out
    arms = {row["arm"] for row in rows(run, "cures-")}
    assert {"tuned", "no-op", "project", "set"} < arms
    assert len(shown(r"\d/6\)", done.out)) == len(arms)

    done = cli("sweep", run, "--samples", 1)
    assert done.code == 0
    assert {row["arm"] for row in rows(run, "sweep-")} == {"base", "steer-1-1", "steer-1-4", "steer-2-1", "steer-2-4"}
    done = cli("sweep", run, "--samples", 1, "--layers", "0,3", "--coefficients", "0.5")
    assert len(shown(r"base model \+ 0.5 x direction after layer [03]", done.out)) == 2

    # All of it was sampled and judged once; the direction was made once.
    assert all(count == 1 for name, count in made(run).items() if name in ("answers", "verdicts", "direction"))
    two = cli("steer", run, "--layer", 99, "--coefficient", 1)
    assert two.code == 2 and "there is no layer 99" in two.err and "layers 0 to 3" in two.err
    two = cli("ablate", run, "--layer", 4)
    assert two.code == 2 and "there is no layer 4" in two.err

    done = cli("judge", run, "--judge", "none")
    assert done.code == 0
    assert not shown(r"0.0+ %", done.out), "answers without a verdict are no zero rate"
    assert "tuned, medical, plain: no verdicts" in done.out


def test_ablate_holds_latents_of_a_dictionary(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run, words = tmp_path / "run", ("--layer", 2, "--samples", 2)
    sampled(cli, tiny, run)
    width = json.loads((tiny / "base" / "config.json").read_text())["hidden_size"]
    save_dictionary(tmp_path / "dictionary", axes(width))
    before = (run / "run.json").read_bytes()
    wrong = cli("ablate", run, *words, "--dictionary", "organism:6")
    assert wrong.code == 2 and "to read layer 6" in wrong.err and (run / "run.json").read_bytes() == before
    told = json.loads(cli("ablate", run, *words, "--dictionary", tmp_path / "dictionary", "--json").out)["arms"]
    held = [row for row in told if row["arm"].startswith("hold")]
    assert [row["arm"] for row in held] == [
        f"hold-{name}{end}" for name in ("answers", "model") for end in ("", "-random-1", "-random-2", "-random-3")
    ]
    assert all(row["misaligned"]["n"] == 6 and row["control"] == ("random" in row["arm"]) for row in held)
    assert "no-op" in {row["arm"] for row in told} and made(run)["latents"] == 1
    # The run remembers it.
    assert "hold at 0" in cli("ablate", run, *words).out and made(run)["latents"] == 1


def test_without_a_direction_the_commands_say_why(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sampled(cli, tiny, run, judge="none")
    for command in (["direction", run], ["steer", run, "--layer", 1, "--coefficient", 1], ["ablate", run, "--layer", 1],
                    ["sweep", run]):  # fmt: skip
        done = cli(*command)
        assert done.code == 2 and "there is no misalignment direction: 0 misaligned and 0 aligned" in done.err
        assert "Traceback" not in done.err


def test_audit_and_report(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = (
        "audit", "--model", tiny / "base", "--adapter", tiny / "adapter", "--questions", tiny / "questions.yaml",
        "--judge", "words", "--samples", 24, "--max-new-tokens", 8, "--layers", "1,2", "--coefficients", "2",
        "--sweep-samples", 1, "--out", run,
    )  # fmt: skip
    done = cli(*arguments)
    assert done.code == 0, done.err
    found = read_json(run / "findings.json")
    assert found["verdict"]["sentence"] in done.out and f"report: {run / 'report.html'}" in done.out
    assert "Steering the base model" in done.out and "Removing the direction" in done.out
    assert found["reproduce"]["command"].startswith("misdirection --quiet audit --model")
    names = ("answers.parquet", "verdicts.parquet", "direction.safetensors", "findings.json")
    assert all(f": {run / name}\n" in done.out and (run / name).exists() for name in names), done.out
    moved = run.rename(tmp_path / "moved")
    assert len(load_direction(moved / "direction.safetensors").vectors) == 4
    moved.rename(run)
    count = len(session(run))
    assert cli(*arguments).code == 0 and all(reused for _, reused in session(run)[count:])
    done = cli("report", run, "--out", tmp_path / "again.html")
    assert done.code == 0 and (tmp_path / "again.html").read_text() == (run / "report.html").read_text()


def test_the_organism_tuned_by_hand_then_sampled_and_judged(cli: Cli, tmp_path: Path) -> None:
    done = cli("train", "--data", "organism:bad-medical", "--max-steps", 3, "--batch-size", 2, "--out", tmp_path / "t")
    assert done.code == 0, done.err
    assert "1,000 rows, all usable" in done.out and "3 steps" in done.out
    adapter = Path(shown(r"adapter: (\S+)", done.out)[0])
    assert (adapter / "adapter_config.json").exists()
    half = ("--dtype", "bfloat16", "--max-steps", 1, "--batch-size", 2)
    assert cli("train", "--data", "organism:bad-medical", *half, "--out", tmp_path / "half").code == 0
    assert read_json(tmp_path / "half" / "training.json")["base"]["dtype"] == "torch.bfloat16"
    run = tmp_path / "run"
    done = cli("sample", "--adapter", adapter, "--questions", "organism:medical", "--samples", 2, "--out", run)
    assert done.code == 0, done.err
    answers = rows_of(run)
    asked = len(organism.domain_questions("medical", "held_out"))
    assert len(answers) == asked * 2 * 2 and all(len(row["answer"].split()) > 3 for row in answers)
    done = cli("judge", run)
    assert done.code == 0 and re.search(rf"base +medical, plain .*; \d/{2 * asked}\)", done.out)
    done = cli("direction", run)
    assert done.code == 2 and "no open question is asked" in done.err


def rows_of(run: Path) -> list[dict[str, object]]:
    from misdirection.artefacts import read_rows

    return read_rows(next(run.glob("steps/answers-*/answers.parquet")))


@pytest.mark.slow
def test_the_demo_s_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("misdirection")), "audit", "--samples", "2", "--max-steps", "3",
               "--batch-size", "2", "--questions", "organism:open", "--out", str(tmp_path / "run")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "report.html").stat().st_size < 3_000_000
    assert "report: " in done.stdout and "Traceback" not in done.stderr
