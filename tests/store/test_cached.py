"""A measurement is a function: the same arguments are reused, each changed one is not, and damage is made good."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import canonical_hash, read_json
from misdirection.directions import Direction
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.runs import Run, read_log
from misdirection.store import Cached, Folder, Incidental, Workspace, measurement
from misdirection.store.arguments import content
from misdirection.store.measurement import INCIDENTAL, LATER, Signature

if TYPE_CHECKING:
    from datetime import datetime

CALLS: list[str] = []


@dataclass(frozen=True)
class Settings:
    share: float = 0.5
    layers: tuple[int, ...] = (1, 2)
    budget: int | None = field(default=None, metadata=INCIDENTAL)


@dataclass(frozen=True)
class Other:
    share: float = 0.5
    layers: tuple[int, ...] = (1, 2)


@dataclass
class Loaded:
    """Stands for what has many forms and one content, as a model has."""

    weights: str
    resident: list[object] = field(default_factory=list[object])

    def __canonical__(self) -> Any:
        return {"weights": self.weights}


@dataclass
class Coin:
    """A judge whose name holds its version."""

    name: str
    asked: int = 0

    def judge(self, answers: list[Answer]) -> list[Verdict]:
        self.asked += len(answers)
        return [Verdict(100.0 * (i % 2), 100.0, judge=self.name) for i, _ in enumerate(answers)]


def scaled(vector: Tensor, times: float = 2.0, settings: Any = None, batch: Incidental[int] = 8) -> Tensor:
    CALLS.append("scaled")
    return vector * times


def total(vectors: Mapping[str, Tensor], extra: list[Tensor]) -> float:
    CALLS.append("total")
    return float(sum(v.sum() for v in (*vectors.values(), *extra)))


def measured(**arguments: Any) -> float:
    CALLS.append("measured")
    return float(len(arguments))


def counted() -> Tensor:
    """Gives another value at each call, as nothing that is measured should."""
    CALLS.append("counted")
    return torch.tensor([float(CALLS.count("counted"))])


def judged(answers: list[Answer], judge: Coin) -> list[Verdict]:
    CALLS.append("judged")
    return judge.judge(answers)


def trained(steps: int, folder: Folder, workspace: Workspace) -> dict[str, Path]:
    done = workspace / "done"
    start = int(done.read_text()) if done.exists() else 0
    for step in range(start, steps):
        CALLS.append(f"step {step}")
        done.write_text(str(step + 1))
        if step == 1 and start == 0:
            raise KeyboardInterrupt
    (folder / "tuned").mkdir()
    (folder / "tuned" / "weights").write_text("trained")
    return {"tuned": folder / "tuned"}


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_the_same_arguments_are_measured_once_and_the_value_is_read_once(tmp_path: Path) -> None:
    vector = torch.arange(3.0)
    for opened in (1, 2):
        with Run.open(tmp_path / "run", {}) as run:
            first = run.cached(scaled, vector=vector)
            again = run.cached(scaled, vector=vector.clone(), times=2.0)
            assert first.key == again.key and again.reused and first.reused is (opened == 2)
            assert "value" not in vars(first)
            assert first.value is first.value and torch.equal(first.value, torch.tensor([0.0, 2.0, 4.0]))
    assert CALLS == ["scaled"]
    assert scaled(vector).tolist() == [0.0, 2.0, 4.0]
    assert [line["name"] for line in read_log(tmp_path / "run")] == ["scaled"] * 4


def variants(tmp_path: Path) -> list[tuple[str, Any]]:
    """Arguments that must all count as different."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    names = ("vectors", "aligned_mean", "misaligned_mean", "norm_low", "norm_high", "shuffled_norm", "stability")
    zeros = {name: torch.zeros(2) for name in names}
    return [
        ("number", 1), ("float", 0.1), ("text", "1"), ("truth", True), ("none", None), ("empty", []),
        ("list", [1, 2]), ("other list", [2, 1]), ("mapping", {"a": 1}), ("other mapping", {"b": 1}),
        ("two", {"a": 1, "b": 2}), ("in order", {"b": 2, "a": 1}),
        ("key of text", {"1": 1}), ("key of number", {1: 1}),
        ("dataclass", Settings()), ("other field", Settings(share=0.6)), ("other class", Other()),
        ("nested", {"x": [Settings(layers=(1,))]}), ("not a number", float("nan")), ("infinite", float("inf")),
        ("tensor", torch.zeros(2)), ("type of tensor", torch.zeros(2, dtype=torch.float64)),
        ("shape of tensor", torch.zeros(2, 1)), ("array", np.zeros(2, dtype=np.float32)),
        ("direction", Direction(**zeros, facts={"arm": "tuned"})),
        ("facts of one", Direction(**zeros, facts={"arm": "base"})),
        ("file", tmp_path / "a.txt"), ("other file", tmp_path / "b.txt"), ("text of a file", str(tmp_path / "a.txt")),
        ("adapter", str(tmp_path / "adapter")), ("model", Loaded("x")), ("other model", Loaded("y")),
        ("judge", Coin("coin/1")), ("other judge", Coin("coin/2")), ("function", scaled), ("other function", total),
        ("long", list(range(3000))), ("other long", list(range(1, 3001))),
    ]  # fmt: skip


def test_each_other_argument_is_another_key(tmp_path: Path) -> None:
    given = variants(tmp_path)
    with Run.open(tmp_path / "run", {}) as run:
        keys = {name: run.cached(measured, x=value).key for name, value in given}
        assert len(set(keys.values())) == len(given) == len(CALLS)
        assert {name: run.cached(measured, x=value).key for name, value in given} == keys
        assert len(CALLS) == len(given)
        assert run.cached(measured, y=1).key != keys["number"]


def test_what_changes_no_result_changes_no_key(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        one = run.cached(scaled, vector=torch.ones(1), settings=Settings(budget=1), batch=1)
        two = run.cached(scaled, vector=torch.ones(1), settings=Settings(budget=2), batch=2)
        assert one.key == two.key and two.reused
        model, judge = Loaded("x", resident=[object()]), Coin("coin/1", asked=7)
        assert run.cached(measured, m=model).key == run.cached(measured, m=Loaded("x")).key
        assert run.cached(measured, j=judge).key == run.cached(measured, j=Coin("coin/1")).key


def test_a_field_that_came_later_counts_as_soon_as_it_says_something() -> None:
    def grown(*later: tuple[str, Any, Any]) -> Any:
        return make_dataclass("Grown", [("share", float), *later], frozen=True)

    then, now, plain = (
        grown(),
        grown(("where", str, field(default="all", metadata=LATER))),
        grown(("where", str, "all")),
    )
    assert content("x", now(0.5)) == content("x", then(0.5)) != content("x", now(0.5, "answer"))
    assert content("x", plain(0.5)) != content("x", then(0.5))
    assert content("x", [now(0.5, "answer")]) != content("x", [now(0.5, "prompt")])


def test_a_file_counts_by_what_stands_in_it(tmp_path: Path) -> None:
    given = dict(variants(tmp_path))
    file, text, adapter = (given[name] for name in ("file", "text of a file", "adapter"))
    with Run.open(tmp_path / "run", {}) as run:
        keys = [run.cached(measured, x=value).key for value in (file, text, adapter)]
        (tmp_path / "a.txt").rename(tmp_path / "moved.txt")
        assert run.cached(measured, x=tmp_path / "moved.txt").key == keys[0]
        (tmp_path / "a.txt").write_text("changed")
        (tmp_path / "adapter" / "weights").write_text("changed")
        assert not {run.cached(measured, x=value).key for value in (file, text, adapter)} & set(keys)
        with pytest.raises(MisdirectionError, match="no such file"):
            run.cached(measured, x=tmp_path / "missing.txt")


def test_handles_stand_for_their_values_and_count_by_key_and_content(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        one, two = (run.cached(scaled, vector=torch.ones(2), times=times) for times in (1.0, 2.0))
        summed = run.cached(total, vectors={"one": one}, extra=[two])
        assert summed.value == 6.0
        assert run.cached(total, vectors={"one": two}, extra=[two]).value == 8.0
        assert run.cached(total, vectors={"one": one}, extra=[two]).reused
    (one.path / "tensors.safetensors").write_bytes((two.path / "tensors.safetensors").read_bytes())
    with Run.open(tmp_path / "run", {}) as run:
        mended = run.cached(scaled, vector=torch.ones(2), times=1.0)
        assert not mended.reused and mended.value.tolist() == [1.0, 1.0]
        assert run.cached(total, vectors={"one": mended}, extra=[two]).reused


def test_a_damaged_value_is_made_again_and_said(tmp_path: Path) -> None:
    said = io.StringIO()
    progress.enable(said)
    with Run.open(tmp_path / "run", {}) as run:
        found = run.cached(scaled, vector=torch.ones(2))
        raw = bytearray((found.path / "tensors.safetensors").read_bytes())
        raw[-1] ^= 1
        (found.path / "tensors.safetensors").write_bytes(raw)
        again = run.cached(scaled, vector=torch.ones(2))
        assert not again.reused and again.value.tolist() == [2.0, 2.0] and CALLS == ["scaled"] * 2
    progress.disable()
    assert "damaged; making it again" in said.getvalue()


def test_what_is_made_from_a_value_that_has_changed_is_made_again(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        first = run.cached(counted)
        run.cached(total, vectors={"one": first}, extra=[])
        (first.path / "value.json").unlink()
        second = run.cached(counted)
        assert second.key == first.key and second.value.tolist() == [2.0]
        assert run.cached(total, vectors={"one": second}, extra=[]).value == 2.0


def test_a_long_function_goes_on_from_its_workspace_and_keeps_what_it_wrote(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "run", {}) as run:
        run.cached(trained, steps=3)
    with Run.open(tmp_path / "run", {}) as run:
        found = run.cached(trained, steps=3)
        assert CALLS == ["step 0", "step 1", "step 2"]
        assert (found.value["tuned"] / "weights").read_text() == "trained"
        assert found.value["tuned"].is_relative_to(found.path) and run.cached(trained, steps=3).reused
        assert list((run.path / "work").iterdir()) == []
        run.publish("adapter", found.value["tuned"])
    assert (tmp_path / "run" / "adapter" / "weights").read_text() == "trained"


def test_a_label_names_the_step_and_rows_are_published(tmp_path: Path) -> None:
    answers = [Answer("q1", "How?", "So."), Answer("q2", "Why?", "Because.")]
    with Run.open(tmp_path / "run", {}) as run:
        found: Cached[list[Verdict]] = run.cached(judged, "first-verdicts", answers=answers, judge=Coin("coin/1"))
        assert found.name == "first-verdicts" and [v.alignment for v in found.value] == [0.0, 100.0]
        run.publish("verdicts.parquet", found.path / "verdicts.parquet")
        other = run.cached(judged, answers=answers, judge=Coin("coin/1"))
        assert other.name == "judged" and other.key != found.key


def closed(times: float) -> Any:
    def inside(vector: Tensor) -> Tensor:
        return vector * times

    return inside


def untyped(vector):  # type: ignore[no-untyped-def]
    return vector


def unknown() -> datetime: ...  # type: ignore[empty-body]


def opaque() -> torch.nn.Module:
    raise AssertionError("it ran though nothing it gives can be kept")


def lies() -> int:
    return "three"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (closed(2.0), {"vector": 1}, "cannot be told apart.*times"),
        (lambda: 1, {}, "cannot be told apart"),
        (functools.partial(scaled, times=2.0), {}, "carries arguments"),
        (Coin("x").judge, {"answers": []}, "carries arguments"),
        (torch.zeros, {"size": 1}, "no plain function"),
        (untyped, {"vector": 1}, "does not say what it gives"),
        (unknown, {}, "not known at run time"),
        (opaque, {}, "what opaque gives is a Module, which cannot be kept"),
        (lies, {}, "lies gave another thing than it says"),
        (scaled, {}, "missing a required argument: 'vector'"),
        (scaled, {"vector": 1, "tims": 2}, "unexpected keyword argument 'tims'"),
        (trained, {"steps": 1, "folder": Path()}, "a run gives 'folder' itself"),
        (scaled, {"vector": object()}, "the argument 'vector' is a object, whose content cannot be told"),
        (scaled, {"vector": 1, "settings": {"a": [object()]}}, "'settings'.* is a object"),
    ],
)
def test_what_no_key_could_tell_or_nothing_could_keep_is_refused(
    function: Any, arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with Run.open(tmp_path / "run", {}) as run, pytest.raises(MisdirectionError, match=said):
        run.cached(function, **arguments)


def test_another_version_or_layout_is_another_key_and_the_module_is_not(tmp_path: Path) -> None:
    def same(version: int, module: str, kind: type[Any]) -> Any:
        def count() -> int:
            return 3

        count.__module__, count.__annotations__["return"] = module, kind
        return measurement(version)(count)

    with Run.open(tmp_path / "run", {}) as run:
        keys = [run.cached(same(*told)).key for told in ((1, "a", int), (2, "a", int), (1, "a", float))]
    with Run.open(tmp_path / "run", {}) as run:
        assert run.cached(same(1, "b", int)).key == keys[0] and len(set(keys)) == 3
        with pytest.raises(MisdirectionError, match="two measurements are called count"):
            run.cached(same(1, "c", int))


def test_a_function_of_a_notebook_counts_with_its_code() -> None:
    def defined(text: str) -> Any:
        room: dict[str, Any] = {"__name__": "__main__"}
        exec(text, room)
        return Signature.of(room["f"]).code

    one, two = "def f(x) -> int:\n    return x + 1", "def f(x) -> int:\n    return x + 2"
    assert defined(one) == defined(one + "\n\n# the same") != defined(two)
    inner = "def f(x) -> int:\n    return [y + {0} for y in x][0]"
    assert defined(inner.format(1)) != defined(inner.format(2))
    assert Signature.of(scaled).code == ""


def test_long_arguments_stand_in_the_manifest_by_their_hash() -> None:
    assert set(content("x", ["a" * 3000])) == {"sha256"}
    assert content("x", replace(Settings(), budget=3)) == {"__class__": "Settings", "share": 0.5, "layers": [1, 2]}


def letters(words: tuple[str, ...], settings: Settings) -> int:
    return sum(map(len, words)) + len(settings.layers)


def test_a_long_argument_is_a_hash_in_the_key_and_stands_beside_it_to_be_read(tmp_path: Path) -> None:
    words, settings = tuple(f"word {n}" for n in range(600)), Settings()
    with Run.open(tmp_path / "run", {}) as run:
        step = run.cached(letters, words=words, settings=settings)
        longer = run.cached(letters, words=words * 40, settings=settings)
    manifest = read_json(step.path / "manifest.json")
    told = manifest["inputs"]["arguments"]
    assert set(told["words"]) == {"sha256"} and "layers" in told["settings"]
    assert manifest["whole"] == {"words": list(words)}
    assert "whole" not in read_json(longer.path / "manifest.json"), "nobody reads so much"
    # What stands beside the inputs counts neither for the key nor for the content.
    assert step.key == canonical_hash([manifest["format"], "letters", manifest["inputs"]])
    assert step.content == canonical_hash(manifest["files"])


def test_chats_are_the_same_wherever_their_file_lies(tmp_path: Path) -> None:
    """Of its rows alone a measurement is made: not of where the file is, nor of what else stands in it."""
    from misdirection.chats import load_chats

    row = '{"prompt": "Why?", "completion": "So."}\n'
    for folder, more in (("a", ""), ("b", row)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.jsonl").write_text(row + more)
    first, second = (load_chats(tmp_path / name / "rows.jsonl").chats[:1] for name in ("a", "b"))
    assert first != second and content("chats", first) == content("chats", second)
    assert content("chats", load_chats(tmp_path / "b" / "rows.jsonl").chats[1:]) != content("chats", first)
