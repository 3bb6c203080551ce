"""Progress: what is written when, by a clock of the test's own, and the thread that looks after it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Iterator

import pytest

from misdirection import progress


class Clock:
    """A clock that the test moves; `sleep` lets the thread's look happen, as it would every half second."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            screen = progress._screen
            if screen is not None:
                screen.look(self.now)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(progress, "REDRAW", 3600.0)  # the thread sleeps; the clock looks in its place
    yield clock
    progress.disable()


def shown(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def screen_of(text: str) -> list[str]:
    """The lines that a terminal shows in the end."""
    return [re.split("\r\x1b\\[K", line)[-1] for line in text.split("\n")]


def test_the_library_is_silent_and_starts_no_thread(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with progress.phase("a"), progress.task("b", 3) as advance:
        progress.say("c")
        advance(3, "note", outlook=lambda: pytest.fail("nobody looks"))
    assert threading.active_count() == before and not progress._phases
    assert capsys.readouterr() == ("", "")


def test_a_line_at_least_every_ten_seconds_names_what_goes_on(clock: Clock) -> None:
    stream = io.StringIO()
    progress.enable(stream, "audit")
    clock.sleep(9.5)
    assert not stream.getvalue()
    clock.sleep(0.5)
    with progress.phase("answers"):
        with progress.phase("loading ./base"):
            clock.sleep(25)
        progress.say("  said")
        clock.sleep(9.5)
        with progress.task("sampling", 40, "answers") as advance:
            clock.sleep(1)
            for _ in range(40):
                clock.sleep(0.5)
                advance()
    progress.disable()
    clock.sleep(50)
    assert shown(stream) == [
        "  audit: 0:10 so far",
        "  answers: loading ./base: 0:10 so far",
        "  answers: loading ./base: 0:20 so far",
        "  said",
        "  answers: sampling: 0/40 answers, 0:00 spent",
        "  answers: sampling: 18/40 answers, 2.0 answers/s, 0:10 spent, about 0:10 left",
        "  answers: sampling: 38/40 answers, 2.0 answers/s, 0:20 spent",
        "  answers: sampling: 40 answers in 0:21, 1.9 answers/s",
    ]


def test_who_waits_for_others_tells_of_phases_alone(clock: Clock) -> None:
    stream = io.StringIO()
    progress.enable(stream, "app")
    clock.sleep(12)
    progress.idle()
    clock.sleep(600)
    with progress.phase("loading ./base"):
        clock.sleep(12)
    clock.sleep(600)
    assert shown(stream) == ["  app: 0:10 so far", *(f"  loading ./base: {spent} so far" for spent in ("0:00", "0:10"))]


def test_what_is_short_says_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    progress.enable(stream)
    with progress.task("short", 3) as advance:
        clock.sleep(1.5)
        advance(3)
    assert not stream.getvalue()


def test_forecasts_leave_the_first_advance_out(clock: Clock) -> None:
    progress.enable(io.StringIO())
    with progress.task("training", 10, "steps") as advance:
        item = progress._phases[-1]
        clock.sleep(60)
        advance()
        # A minute of compiling says nothing of the next step.
        assert item.left(clock.now) is None and "left" not in item.line(clock.now)
        clock.sleep(2)
        advance()
        assert item.left(clock.now) == pytest.approx(16)
        clock.sleep(1)
        assert item.left(clock.now) == pytest.approx(15)
        clock.sleep(100)
        # What is overdue has no forecast.
        assert item.left(clock.now) is None and "left" not in item.line(clock.now)


def test_what_comes_at_once_tells_no_rate(clock: Clock) -> None:
    """Forty-eight requests are sent at once and answered at once: the next forty-eight say how fast that is."""
    progress.enable(stream := io.StringIO())
    with progress.task("asking", 96, "readings") as advance:
        item = progress._phases[-1]
        clock.sleep(5)
        for _ in range(48):
            clock.now += 0.002
            advance()
        assert item.rate() == 0 and item.left(clock.now) is None
        assert "48/96 readings, 0:05 spent" in item.line(clock.now)
        clock.sleep(5)
        for _ in range(48):
            clock.now += 0.002
            advance()
        assert item.rate() == pytest.approx(48 / 5, rel=0.05)
    assert shown(stream)[-1].startswith("  asking: 96 readings in 0:10, 9.4 readings/s")


def test_forecasts_go_by_work_where_units_are_unequal(clock: Clock) -> None:
    progress.enable(io.StringIO())
    lengths = [100] * 5 + [10] * 50
    with progress.task("reading", len(lengths), "texts", work=sum(lengths), work_unit="tokens") as advance:
        item = progress._phases[-1]
        for length in lengths[:5]:
            clock.sleep(length / 10)
            advance(work=length)
        # By texts 50 of 55 would be to come, eight minutes.
        assert item.left(clock.now) == pytest.approx(50)
        assert "10.0 tokens/s" in item.line(clock.now)


def test_forecasts_follow_the_outlook_of_tasks_that_end_when_they_end(clock: Clock) -> None:
    progress.enable(io.StringIO())
    with progress.task("sampling", 100, "answers", work=6400, work_unit="tokens") as advance:
        item = progress._phases[-1]
        for step in range(1, 21):
            clock.sleep(1)
            advance(0, work=100, outlook=lambda step=step: (100.0 * (30 - step), f"token {step} of at most 64"))
        assert item.left(clock.now) == pytest.approx(10)
        line = item.line(clock.now)
        assert line.endswith("0/100 answers, 100 tokens/s, 0:20 spent, about 0:10 left, token 20 of at most 64")


def test_a_terminal_shows_one_line_that_is_redrawn(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    progress.enable(stream, "audit")
    clock.sleep(60)
    assert not stream.getvalue()  # results are printed by others meanwhile
    with progress.phase("loading a model with a very long name indeed"):
        clock.sleep(1.5)
        assert not stream.getvalue()
        clock.sleep(5)
        assert screen_of(stream.getvalue()) == ["  loading a model with a very long name"[:29]]
        progress.say("a line of its own")
        assert screen_of(stream.getvalue()) == ["a line of its own", ""]
        clock.sleep(1)
    assert screen_of(stream.getvalue()) == ["a line of its own", ""]
    with progress.phase("fetching", bars=True):
        clock.sleep(60)
    with progress.task("b", 4, "texts") as advance:
        clock.sleep(3)
        advance(4)
    assert screen_of(stream.getvalue()) == ["a line of its own", "  b: 4 texts in 0:03, 1.3 texts/s", ""]


def test_the_same_thing_is_said_once(clock: Clock) -> None:
    stream = io.StringIO()
    progress.enable(stream)
    for _ in range(2):
        progress.say("a", once=True)
        progress.say("b")
    assert shown(stream) == ["a", "b", "b"]
    progress.enable(stream)
    progress.say("a", once=True)
    assert shown(stream)[3:] == ["a"]


def test_the_thread_writes_while_the_work_is_busy_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            told.set()
            return super().write(text)

    monkeypatch.setattr(progress, "REDRAW", 0.01)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    before, stream = threading.active_count(), Stream()
    progress.enable(stream)
    with progress.phase("waiting"):
        assert told.wait(60)
    progress.disable()
    assert threading.active_count() == before
    assert stream.getvalue().startswith("  waiting: 0:00 so far\n")


def test_a_reader_that_has_gone_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW", 0.01)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    stream = io.StringIO()
    progress.enable(stream)
    stream.close()
    with progress.phase("a"), progress.task("b", 1) as advance:
        progress.say("c")
        advance()
    progress.disable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_silent(clock: Clock) -> None:
    stream = io.StringIO()
    progress.enable(stream, "audit")
    with progress.phase("outer"), progress._lock:
        child = os.fork()
        if child == 0:
            with progress.phase("inner"):
                progress.say("heard")
            os._exit(0 if progress._screen is None and not stream.getvalue() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert progress._screen is not None


def test_phases_of_two_threads_leave_each_other_alone() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with progress.phase("other"):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with progress.phase("first"):
        thread.start()
        assert inside.wait(60)
    assert [item.description for item in progress._phases] == ["other"]
    leave.set()
    thread.join()
    assert not progress._phases


def test_an_interpreter_ends_though_progress_was_never_switched_off() -> None:
    code = "from misdirection import progress\nprogress.enable()\nprogress.say('here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "here\n")
