"""Ctrl-C and SIGTERM: real signals, the exit code of a shell, one line, nothing half-made, and going on from there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_chain import sampled
from tests.studies.tiny import WordJudge, made

from misdirection.artefacts import read_json
from misdirection.cli.stopping import SIGNALS
from misdirection.judging import JUDGES
from misdirection.judging.registry import JudgeKind


@pytest.fixture(autouse=True)
def _usual_signals() -> Iterator[None]:
    """Signals as a terminal gives them, also where the tests run under nohup or in a script's background."""
    usual = {number: signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL for number in SIGNALS}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def last(err: str) -> str:
    assert "Traceback" not in err and "Aborted" not in err, err
    return err.strip().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_run_keeps_what_is_finished(
    number: signal.Signals, cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(WordJudge):
        def judge(self, answers):
            os.kill(os.getpid(), number)
            return super().judge(answers)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    run = tmp_path / "my run"
    sampled(cli, tiny, run)
    finished = read_json(run / "run.json")["finished"]
    monkeypatch.setitem(JUDGES, "stopping", JudgeKind(lambda _: Stopping(), ""))
    done = cli("judge", run, "--judge", "stopping")
    assert done.code == 128 + number
    assert last(done.err) == (
        f"stopped; {run} keeps what is finished (answers), and the same command goes on from there: "
        f"misdirection --quiet judge '{run}' --judge stopping"
    )
    assert {number: signal.getsignal(number) for number in SIGNALS} == before
    # The run itself was finished before, by the command that drew its answers.
    assert not list((run / "steps").glob(".tmp-*")) and read_json(run / "run.json")["finished"] == finished is not None
    assert cli("judge", run, "--judge", "words").code == 0
    assert made(run) == {"answers": 1, "verdicts": 1}


def test_a_fine_tune_goes_on_from_its_last_state(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from misdirection.training.metrics import MetricsFile

    add, steps = MetricsFile.add, []

    def stopping(self, **values):
        add(self, **values)
        steps.append(values["step"])
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsFile, "add", stopping)
    out = tmp_path / "tune"
    typed = ("train", "--data", "organism:bad-medical", "--preset", "rank1", "--max-steps", 4, "--resume-every", 2,
             "--batch-size", 1, "--accumulation", 1, "--out", out)  # fmt: skip
    done = cli(*typed)
    assert done.code == 143
    assert last(done.err).startswith(f"stopped; {out} keeps the state of step 2, and")
    assert not list(out.rglob(".*tmp*")) and not (out / "adapter").exists()
    assert cli(*typed).code == 0
    assert steps == [1, 2, 3, 3, 4] and (out / "adapter").is_dir()


def test_nothing_is_left_of_a_run_in_which_nothing_was_made(
    cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import misdirection.studies.kit.variants as variants

    monkeypatch.setattr(variants, "load_model", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    run = tmp_path / "deep" / "run"
    done = cli("sample", "--model", tiny / "base", "--questions", tiny / "questions.yaml", "--out", run)
    assert done.code == 143 and "nothing was finished yet, and the same command begins again" in last(done.err)
    assert not (tmp_path / "deep").exists()


def test_a_signal_that_is_ignored_stays_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import misdirection.cli.planning as planning

    monkeypatch.setattr(planning, "show_plans", lambda *_, **__: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert cli("power").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    if sys.platform != "win32":
        done = cli("power")
        assert done.code == 129 and last(done.err).startswith("stopped; the same command begins again: misdirection")
