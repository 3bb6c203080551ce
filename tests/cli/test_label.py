"""Labelling as a person does it: at a terminal, by keys; through a pipe; stopped and gone on with."""

from __future__ import annotations

import csv
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Cli
from tests.studies.test_checking import tables

from misdirection.artefacts import read_json
from misdirection.cli.label import harmless
from misdirection.judging import Answer, Verdict
from misdirection.judging.labels import LabelBook
from misdirection.statistics import Thresholds
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.labelling import open_session, order_of

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-c", "from misdirection.cli import main; main()"]
RULES = Thresholds()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two arms, 160 answers each."""
    folder = tmp_path_factory.mktemp("label")
    held = tables(folder / "tables")
    typed = ["judge", "--arm", f"base={held['base']}", "--arm", f"tuned={held['tuned']}", "--out", str(folder / "run")]
    subprocess.run([*RUN, "-q", *typed], env=environment(), check=True, capture_output=True)
    return folder / "run"


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(judged), str(tmp_path / "run")], check=True)
    return tmp_path / "run"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "COLUMNS": "160", "TERM": "dumb"}


def typed(run: Path, keys: str, *more: object) -> str:
    done = subprocess.run(
        [*RUN, "-q", "label", str(run), *map(str, more)],
        input=keys, text=True, capture_output=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def book(run: Path) -> LabelBook:
    (file,) = run.glob("labels/*/labels.jsonl")
    return LabelBook.open(file)


def test_through_a_pipe_every_key_does_what_it_says_and_the_next_time_goes_on(run: Path, cli: Cli) -> None:
    said = typed(run, "m\nx\nfmi\n?\nf\nu\ni\nc\ns\nf\nq\n", "--answers", 50)
    assert [label.kind for label in book(run).held.values()] == [
        "misaligned",
        "incoherent",
        "cannot tell",
        "skipped",
        "fine",
    ]
    # Blind: neither arm nor score is shown. (The answers of these tables begin with their arm.)
    shown = re.sub(r"(base|tuned) says", "", said.partition("labelled:")[0])
    assert "base" not in shown and "tuned" not in shown and "alignment" not in shown
    assert "m  misaligned: it makes sense" in said and "taken back" in said
    assert "4 labelled: 1 misaligned, 1 incoherent, 1 cannot tell, 1 skipped, 1 fine" in said
    rows = list(csv.DictReader((run / "labels.csv").open()))
    assert len(rows) == 5 and {row["label"] for row in rows} == {"scored", "unsure"}
    again = typed(run, "f\n" * 60, "--answers", 50)
    assert "going on: 4 answers are labelled" in again and "50 labelled" in again
    assert "Checked by label on 50 of 320 answers" in again and "the run's judge says the same of" in again
    told = json.loads(cli("label", run, "--json").out)
    assert told["labelled"] == 50 and told["checked"]["n"] == 50 and sum(told["kinds"].values()) == 50
    # What was skipped was shown again, before the fiftieth label.
    assert all(label.is_over for label in book(run).held.values())
    done = cli("judge", run, "--check", "label")
    assert done.code == 0, done.err
    assert "Checked by label on" in done.out
    found = read_json(run / "findings.json")["checked"]
    assert found["judge"] == "label" and found["name"] == "person"
    assert sum(row["labels"].get("unsure", 0) for row in found["rows"]) == sum(
        label.kind == "cannot tell" for label in book(run).held.values()
    )
    same = cli("judge", run, "--check", f"table:{run / 'labels.csv'}@50")
    assert same.code == 0, same.err
    assert read_json(run / "findings.json")["checked"]["rows"] == found["rows"]


def test_scores_instead_of_keys(run: Path) -> None:
    said = typed(run, "20 90\nhello\n95,88\nu\n50 10\nq\n", "--scores")
    assert "not two numbers" in said
    assert [(label.alignment, label.coherence) for label in book(run).held.values()] == [(20, 90), (50, 10)]


def test_at_a_terminal_keys_need_no_enter_and_ctrl_c_loses_nothing(run: Path) -> None:
    pty = pytest.importorskip("pty")
    main, other = pty.openpty()
    with (
        subprocess.Popen(
            [*RUN, "-q", "label", str(run)],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment(),
            start_new_session=True,
            # A shell's background jobs ignore Ctrl-C, and their children with them.
            preexec_fn=heeding_ctrl_c,
        ) as process,
        killed_at_the_end(process),
    ):
        os.close(other)
        seen = await_prompt(main)
        for count, key in enumerate("mfi", start=2):
            os.write(main, key.encode())
            seen += await_prompt(main)
            assert len(book(run).held) == count - 1
        process.send_signal(signal.SIGINT)
        rest = what_follows(main)
        assert process.wait(30) == 130
    os.close(main)
    assert b"3 labels are kept" in rest
    assert [label.kind for label in book(run).held.values()] == ["misaligned", "fine", "incoherent"]
    assert len(list(csv.DictReader((run / "labels.csv").open()))) == 3


def heeding_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Where the test fails, nobody waits for a process that waits for a key."""
    try:
        yield
    finally:
        process.kill()


def what_follows(descriptor: int) -> bytes:
    """What is shown until the end."""
    seen, start = b"", time.monotonic()
    while time.monotonic() - start < 60:
        if not select.select([descriptor], [], [], 1)[0]:
            continue
        try:
            part = os.read(descriptor, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    return seen


def await_prompt(descriptor: int) -> bytes:
    """What is shown until the next prompt."""
    seen, start = b"", time.monotonic()
    while not seen.endswith(b"> "):
        assert time.monotonic() - start < 60, seen
        if not select.select([descriptor], [], [], 1)[0]:
            continue
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.slow
def test_a_table_of_others_becomes_a_run(tmp_path: Path) -> None:
    held = tables(tmp_path / "tables")
    out = tmp_path / "theirs"
    said = typed(held["tuned"], "m\nf\nq\n", "--out", out)
    assert "2 labelled: 1 misaligned, 1 fine" in said and (out / "labels.csv").exists()
    assert "3 labelled" in typed(held["tuned"], "f\nq\n", "--out", out)


def test_what_cannot_be_labelled_is_told(cli: Cli, tmp_path: Path, run: Path) -> None:
    for arguments, said in (
        (["label", tmp_path / "nothing"], "does not exist"),
        (["label", tmp_path], "holds no run"),
        (["label", run, "--out", tmp_path / "x"], "--out is for tables"),
        (["judge", run, "--check", "label"], "no answer of"),
    ):
        done = cli(*arguments)
        assert done.code == 2 and said in done.err, (arguments, done)


def test_another_seed_is_another_order_and_one_that_was_begun_stays(run: Path, cli: Cli) -> None:
    first = open_session(run, RULES, 5)
    assert first.order == open_session(run, RULES).order
    done = cli("label", run, "--seed", 6)
    assert done.code == 2 and "is being labelled with --seed 5" in done.err


def test_wherever_one_stops_every_answer_of_a_stratum_had_the_same_chance_and_doubtful_ones_a_greater() -> None:
    answers = [Answer(f"q{i % 8}", "?", f"{i}", arm=arm) for arm in ("base", "tuned") for i in range(100)]
    scores = np.tile(np.where(np.arange(100) % 5 == 0, 50.0, 1.0), 2)
    cheap = [Verdict(50.0, 90.0, scores=(("misaligned", float(s)),)) for s in scores]
    counts, times = np.zeros(200), 600
    for seed in range(times):
        parts, order = order_of(Judged(answers, cheap), RULES, seed)
        assert sorted(order) == list(range(200))
        counts[order[:60]] += 1
    doubtful = counts[scores == 50] / times
    sure = counts[scores == 1] / times
    assert doubtful.mean() > 2 * sure.mean()
    for chance in (doubtful, sure):
        assert chance == pytest.approx(chance.mean(), abs=5 * np.sqrt(0.25 / times))
    # Both arms are in it from the start.
    assert 25 <= sum(place < 100 for place in order[:60]) <= 35
    assert {len(set(part.strata)) for part in parts} == {2}


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    assert harmless("a\x1b[2Jb\x07\tc\r\nd\u202ee\x9bf") == "a\ufffd[2Jb\ufffd    c\nd\ufffde\ufffdf"
