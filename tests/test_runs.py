from __future__ import annotations

import importlib.util
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from misdirection import progress
from misdirection.artefacts import file_hash, read_json, write_json
from misdirection.errors import MisdirectionError
from misdirection.runs import MANIFEST, Run, Step, check_step, list_steps, read_log

WORKER = Path(__file__).with_name("runs_worker.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}


def worker() -> object:
    spec = importlib.util.spec_from_file_location("runs_worker", WORKER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def writes(text: str, name: str = "x.txt"):
    return lambda out: (out / name).write_text(text)


def never(out: Path) -> None:
    raise AssertionError("a finished step ran again")


def results(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.glob("steps/**/*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def said():
    stream = io.StringIO()
    progress.enable(stream)
    yield stream
    progress.disable()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


# what a step is ------------------------------------------------------------------------------------------------------


def test_a_step_is_made_once_and_found_again(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {"seed": 1}) as run:
        first = run.step("sample", {"n": 1}, writes("a"))
        again = run.step("sample", {"n": 1}, never)
        other = run.step("sample", {"n": 2}, writes("b"))
    assert (first.reused, again.reused, other.reused) == (False, True, False)
    assert first.path == again.path != other.path and first.key != other.key
    assert (first.path / "x.txt").read_text() == "a" and (other.path / "x.txt").read_text() == "b"
    with Run.open(tmp_path / "r", {"seed": 1}) as run:
        assert run.step("sample", {"n": 1}, never).content == first.content
        assert run.steps() == [Step(s.name, s.path, s.key, True, s.content) for s in (first, other)]


def test_steps_among_the_inputs_count_by_their_key_at_any_depth(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        one, two = (run.step("a", {"n": n}, writes(str(n))) for n in (1, 2))
        first = run.step("b", {"from": {"deep": [one]}, "x": 1}, writes("b"))
        assert run.step("b", {"from": {"deep": [one]}, "x": 1}, never).key == first.key
        assert run.step("b", {"from": {"deep": [two]}, "x": 1}, writes("c")).key != first.key
    assert read_json(first.path / MANIFEST)["sources"] == {one.key: one.content}


def test_the_key_does_not_depend_on_where_the_run_stands(tmp_path: Path) -> None:
    keys = set()
    for name in ("r", "elsewhere"):
        with Run.open(tmp_path / name, {"command": name}) as run:
            a = run.step("a", {}, writes("a"))
            keys.add(run.step("b", {"a": a}, writes("b")).key)
    assert len(keys) == 1
    (tmp_path / "r").rename(tmp_path / "moved")
    with Run.open(tmp_path / "moved", {}) as run:
        a = run.step("a", {}, never)
        run.step("b", {"a": a}, never)


def test_the_manifest_tells_every_file(tmp_path: Path) -> None:
    def make(out: Path) -> None:
        (out / "sub" / "deep").mkdir(parents=True)
        (out / "sub" / "deep" / "y.bin").write_bytes(b"\x00" * 1000)
        (out / "x.txt").write_text("x")

    with Run.open(tmp_path / "r", {}) as run:
        step = run.step("a", {"n": 1, "where": Path("p/q")}, make)
    manifest = read_json(step.path / MANIFEST)
    assert manifest["name"] == "a" and manifest["key"] == step.key and manifest["content"] == step.content
    assert manifest["inputs"] == {"n": 1, "where": "p/q"}
    assert set(manifest["files"]) == {"x.txt", "sub/deep/y.bin"}
    for name, facts in manifest["files"].items():
        assert facts == {"sha256": file_hash(step.path / name), "bytes": (step.path / name).stat().st_size}
    assert manifest["seconds"] >= 0 and manifest["versions"]["python"].startswith("3.")
    assert check_step(step.path)[1] == ""


def test_a_step_that_fails_leaves_nothing_and_the_run_unfinished(tmp_path: Path) -> None:
    def fail(out: Path) -> None:
        (out / "half.txt").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError), Run.open(tmp_path / "r", {}) as run:
        run.step("a", {}, fail)
    assert list((tmp_path / "r" / "steps").iterdir()) == []
    assert read_json(tmp_path / "r" / "run.json")["finished"] is None
    with Run.open(tmp_path / "r", {}) as run:
        assert not run.step("a", {}, writes("whole")).reused
    assert read_json(tmp_path / "r" / "run.json")["finished"]


def test_a_step_must_write_and_have_a_plain_name(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        with pytest.raises(MisdirectionError, match="wrote no file"):
            run.step("a", {}, lambda out: None)
        for name in ("", "../a", "a/b", ".a", "a b"):
            with pytest.raises(MisdirectionError, match="name of a step"):
                run.step(name, {}, writes("x"))
    with pytest.raises(MisdirectionError, match="closed"):
        run.step("a", {}, writes("x"))


def test_a_workspace_outlives_the_process_and_goes_when_the_step_is_whole(tmp_path: Path) -> None:
    inputs = {"steps": 10}
    run = Run.open(tmp_path / "r", {})
    (run.workspace("train", inputs) / "checkpoint").write_text("5")
    run.close(finished=False)
    with Run.open(tmp_path / "r", {}) as run:
        work = run.workspace("train", inputs)
        assert (work / "checkpoint").read_text() == "5"
        run.step("train", inputs, lambda out: (out / "x").write_text((work / "checkpoint").read_text()))
    assert not work.exists()


# facts and log -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("told", [{"command": "audit --x"}, {}])
def test_a_guest_leaves_on_record_what_made_the_run_and_whether_it_was_finished(
    tmp_path: Path, finished: bool, told: dict[str, str]
) -> None:
    Run.open(tmp_path / "r", {**told, "seeds": [0]}).close(finished)
    made = read_json(tmp_path / "r" / "run.json")
    with Run.open(tmp_path / "r", {"command": "direction r", "seeds": [1]}, guest=True) as run:
        run.step("a", {}, writes("x"))
    now = read_json(tmp_path / "r" / "run.json")
    assert {name: now[name] for name in ("command", "finished", "started")} == {
        name: made[name] for name in ("command", "finished", "started")
    }
    assert now["facts"] == {**told, "seeds": [1]} and now["opened"] == 2 and len(run.steps()) == 1


def test_run_json_tells_the_run(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {"command": "audit --x", "seeds": (0, 1), "data": Path("d")}) as run:
        assert read_json(tmp_path / "r" / "run.json")["finished"] is None
        assert run.facts == {"command": "audit --x", "seeds": [0, 1], "data": "d"}
    first = read_json(tmp_path / "r" / "run.json")
    assert first["command"] == "audit --x" and first["facts"]["seeds"] == [0, 1]
    assert first["versions"]["python"] and first["started"] <= first["finished"]
    with Run.open(tmp_path / "r", {"command": "audit --y"}):
        pass
    second = read_json(tmp_path / "r" / "run.json")
    assert second["started"] == first["started"] and second["opened"] == 2 and second["command"] == "audit --y"


def test_the_log_tells_what_was_made_and_what_was_found(tmp_path: Path) -> None:
    for _ in range(2):
        with Run.open(tmp_path / "r", {}) as run:
            run.step("a", {}, writes("a"))
    assert [(line["name"], line["reused"]) for line in read_log(tmp_path / "r")] == [("a", False), ("a", True)]
    with (tmp_path / "r" / "steps.jsonl").open("a") as stream:
        stream.write('{"name": "cut')
    with Run.open(tmp_path / "r", {}) as run:
        run.step("a", {}, never)
    assert len(read_log(tmp_path / "r")) == 3


def test_a_run_can_be_listed_while_it_is_open(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        for name in ("z", "a", "m"):
            run.step(name, {}, writes(name))
        assert [s.name for s in list_steps(tmp_path / "r")] == ["z", "a", "m"]
        (run.steps()[0].path / MANIFEST).write_text("{")
        assert [s.name for s in list_steps(tmp_path / "r")] == ["a", "m"]


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(MisdirectionError, match=r"no run: it holds thesis\.tex"):
        Run.open(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(MisdirectionError, match="is a file"):
        Run.open(tmp_path / "thesis.tex", {})


def test_a_run_of_a_later_version_is_refused_and_not_left_locked(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"format": 99, "started": "", "opened": 1})
    for _ in range(2):
        with pytest.raises(MisdirectionError, match="later version"):
            Run.open(tmp_path, {})


# damage --------------------------------------------------------------------------------------------------------------


def three(run: Run, b: str = "b") -> list[Step]:
    a = run.step("a", {}, writes("a"))
    return [a, run.step("b", {"a": a}, writes(b)), run.step("c", {}, writes("c"))]


def test_a_damaged_byte_is_noticed_and_its_step_alone_made_again(tmp_path: Path, said: io.StringIO) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        steps = three(run)
    before = results(tmp_path / "r")
    flip(steps[0].path / "x.txt")
    with Run.open(tmp_path / "r", {}) as run:
        assert [s.reused for s in three(run)] == [False, True, True]
    assert results(tmp_path / "r") == before
    assert "x.txt missing, added or damaged; making it again" in said.getvalue()


def test_a_step_is_made_again_when_its_source_came_out_different(tmp_path: Path, said: io.StringIO) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        a = run.step("a", {}, writes("first"))
        run.step("b", {"a": a}, writes("b of first"))
    flip(a.path / "x.txt")
    with Run.open(tmp_path / "r", {}) as run:
        a = run.step("a", {}, writes("second"))
        b = run.step("b", {"a": a}, writes("b of second"))
    assert (b.path / "x.txt").read_text() == "b of second"
    assert "has changed" in said.getvalue()


@pytest.mark.parametrize("harm", ["cut", "missing", "added", "manifest gone", "manifest byte", "manifest swapped"])
def test_every_kind_of_harm_is_noticed(harm: str, tmp_path: Path, said: io.StringIO) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        step = run.step("a", {}, writes("content"))
        other = run.step("a", {"n": 2}, writes("content of another"))
    manifest = step.path / MANIFEST
    match harm:
        case "cut":
            (step.path / "x.txt").write_text("conten")
        case "missing":
            (step.path / "x.txt").unlink()
        case "added":
            (step.path / "y.txt").write_text("stranger")
        case "manifest gone":
            manifest.unlink()
        case "manifest byte":
            manifest.write_text(manifest.read_text().replace('"seconds": 0', '"seconds": 1'))
        case _:
            for name in (MANIFEST, "x.txt"):
                (step.path / name).write_bytes((other.path / name).read_bytes())
    with Run.open(tmp_path / "r", {}) as run:
        assert not run.step("a", {}, writes("content")).reused
    assert "making it again" in said.getvalue()
    assert {p.name for p in step.path.iterdir()} == {MANIFEST, "x.txt"}
    assert check_step(step.path)[1] == ""


def test_a_file_managers_dot_file_is_no_damage(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        step = run.step("a", {}, writes("a"))
        (step.path / ".DS_Store").write_text("x")
        run.step("a", {}, never)


def test_damage_within_one_process_is_noticed_too(tmp_path: Path) -> None:
    with Run.open(tmp_path / "r", {}) as run:
        step = run.step("a", {}, writes("abc"))
        run.step("a", {}, never)
        flip(step.path / "x.txt")
        assert not run.step("a", {}, writes("abc")).reused


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    Run.open(tmp_path / "r", {}).close()
    left = tmp_path / "r" / "steps" / ".tmp-a-0123-99"
    left.mkdir()
    (left / "half").write_text("x")
    (tmp_path / "r" / ".run.json.99.ab.tmp").write_text("{")
    Run.open(tmp_path / "r", {}).close()
    assert not left.exists() and not list((tmp_path / "r").glob(".run.json.*"))


# two writers ---------------------------------------------------------------------------------------------------------


def test_a_second_writer_in_this_process_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "r", {})
    with pytest.raises(MisdirectionError, match=f"being written by another run .process {os.getpid()}"):
        Run.open(tmp_path / "r", {})
    run.close()
    run = Run.open(tmp_path / "r", {})
    del run  # a run that nobody holds any more holds nobody up
    Run.open(tmp_path / "r", {}).close()


HOLD = (
    "import sys, time; from misdirection.runs import Run\n"
    "run = Run.open(sys.argv[1], {}); print('held', flush=True); time.sleep(60)"
)


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    process = hold(tmp_path / "r")
    with pytest.raises(MisdirectionError, match=f"process {process.pid} on "):
        Run.open(tmp_path / "r", {})
    process.kill()
    process.communicate()
    assert json.loads((tmp_path / "r" / ".lock").read_text())["pid"] == process.pid
    Run.open(tmp_path / "r", {}).close()


def test_a_forked_worker_does_not_take_the_lock_along(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "r", {})
    forking = multiprocessing.get_context("fork")
    over = forking.Event()
    child = forking.Process(target=over.wait, args=(600,))
    child.start()
    run.close()
    code = "import sys; from misdirection.runs import Run; Run.open(sys.argv[1], {}).close()"
    subprocess.run([sys.executable, "-c", code, tmp_path / "r"], check=True, env=ENVIRONMENT)
    assert child.is_alive()
    over.set()
    child.join()


# killed --------------------------------------------------------------------------------------------------------------


def whole_steps(folder: Path) -> set[str]:
    return {p.name.split("-")[1] for p in folder.glob("steps/step-*")}


def run_and_kill(folder: Path, log: Path, after: float) -> bool:
    """True when the worker ended by itself."""
    process = subprocess.Popen([sys.executable, WORKER, folder, log], env=ENVIRONMENT)
    try:
        assert process.wait(after) == 0
        return True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_at_any_moment_it_ends_alike_and_repeats_no_finished_step(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    folder, log = tmp_path / "r", tmp_path / "log"
    log.touch()
    kills, finished = 0, False
    while not finished:
        done, lines = whole_steps(folder), len(log.read_text().splitlines())
        # An undisturbed worker needs 0.3 s for its pauses alone; patience grows so that a slow machine ends as well.
        finished = run_and_kill(folder, log, draw.uniform(0.05, 0.6) * (1 + kills / 8) if kills else 0.2)
        kills += not finished
        ran = log.read_text().splitlines()[lines:]
        assert not done & set(ran), "a finished step ran again"
        assert max(Counter(ran).values(), default=0) <= 1
        for path in folder.glob("steps/step-*"):
            assert check_step(path)[1] == "", "a step is whole or absent"
    assert kills > 0
    worker().build(tmp_path / "calm", None, 0.0)  # type: ignore[attr-defined]
    assert results(folder) == results(tmp_path / "calm")
    assert {p.name[:5] for p in (folder / "steps").iterdir()} == {"step-"}
