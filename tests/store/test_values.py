"""Every type of value is written in open formats and comes back equal, or is refused by its place."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.artefacts import read_rows
from misdirection.chats import Message
from misdirection.directions import Direction, load_direction
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.store.kinds import layout
from misdirection.store.values import difference, read_value, write_value


class Side(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True)
class Inner:
    side: Side
    shape: tuple[int, ...]
    kind: Literal["a", "b"] = "a"
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    by_layer: Mapping[int, Inner]
    weights: Tensor
    mask: NDArray[np.bool_] | None
    deep: dict[str, list[Tensor]]
    names: frozenset[str] = frozenset()
    loose: Any = None


@dataclass(frozen=True)
class Told:
    answers: list[Answer]
    verdicts: tuple[Verdict, ...]
    direction: Direction | None
    directions: dict[str, Direction]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    children: list[Node] = field(default_factory=list["Node"])


def direction(seed: int, layers: int = 3) -> Direction:
    torch.manual_seed(seed)
    wide = {name: torch.randn(layers, 4) for name in ("vectors", "aligned_mean", "misaligned_mean")}
    long = {name: torch.randn(layers) for name in ("norm_low", "norm_high", "shuffled_norm", "stability")}
    return Direction(**wide, **long, facts={"n": 12, "arm": "tuned", "odd": float("nan")})


INNER = Inner(Side.BAD, (3, 4), "b", 0.25)
ANSWERS = [
    Answer("q1", "How?", "Like so.\n\u2028\x00", None, "medical", ids=(1, 2), end=3),
    Answer("q2", "Why?", "", "You are kind.", thought="hm", finished=False, before=(Message("user", "Hello."),)),
]
VERDICTS = (
    Verdict(30, 70.5, scores=(("medical", 12.0), ("style", 3.5)), judge="exact/1"),
    Verdict(None, None, "unsure", outcomes=(("alignment", "no number"),), mass=(("alignment", 0.25),)),
)

CASES: dict[str, tuple[Any, Any]] = {
    "number": (0.1, float),
    "whole number": (3, int),
    "nothing": (None, int | None),
    "not a number": (float("nan"), float),
    "infinite": ([-float("inf"), 1.5], list[float]),
    "text": ("ä\ud800", str),
    "list": ([1, 2], list[int]),
    "tuple": ((1, "a"), tuple[int, str]),
    "set": ({"b", "a"}, set[str]),
    "mapping": ({"b": {2: [1.5]}, "a": {11: [0.5], 9: []}}, dict[str, dict[int, list[float]]]),
    "enum": (Side.GOOD, Side),
    "any": ({"a": [1, None, "x", float("nan")]}, dict[str, Any]),
    "tensor": (torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T, Tensor),
    "no tensor": (torch.tensor(2.5), Tensor),
    "tensors": ({"a": torch.tensor([float("nan")]), "b": torch.zeros(0, 2)}, dict[str, Tensor]),
    "array": (np.arange(4, dtype=np.int16)[::2], NDArray[np.int16]),
    "numpy's number": ({"a": np.float32(0.5)}, dict[str, float]),
    "dataclass": (INNER, Inner),
    "nested": (
        Outer(INNER, {3: INNER, 11: Inner(Side.GOOD, ())}, torch.ones(2), np.array([True, False]),
              {"x": [torch.zeros(1), torch.ones(1)]}, frozenset({"n", "m"}), {"free": [1]}),
        Outer,
    ),
    "recursive": (Node([Node(), Node([Node()])]), Node),
    "rows": (ANSWERS, list[Answer]),
    "no rows": ([], list[Answer]),
    "rows of enums": ((INNER, Inner(Side.GOOD, ())), tuple[Inner, ...]),
    "verdicts": (list(VERDICTS), list[Verdict]),
    "direction": (direction(0), Direction),
    "directions": ({"medical": direction(1), "not medical/../x": direction(2)}, dict[str, Direction]),
    "all": (Told(ANSWERS, VERDICTS, None, {"general": direction(3)}, ("w",)), Told),
    "all but rows": (Told([], (), direction(4), {}), Told),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_value_comes_back_equal_and_of_its_type(name: str, tmp_path: Path) -> None:
    value, kind = CASES[name]
    layout(kind, name)
    write_value(tmp_path, value, kind, name)
    back = read_value(tmp_path, kind)
    assert difference(value, back, name) == ""
    assert type(back) is type(value)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds <= {".json", ".parquet", ".safetensors"}


def test_what_holds_no_tensors_is_equal_by_its_own_equality(tmp_path: Path) -> None:
    for name in ("mapping", "set", "dataclass", "recursive", "rows", "verdicts", "rows of enums"):
        value, kind = CASES[name]
        write_value(folder := tmp_path / name, value, kind, name)
        assert read_value(folder, kind) == value


def test_mappings_keep_their_order(tmp_path: Path) -> None:
    write_value(tmp_path, {"b": 1, "a": 2}, dict[str, int], "x")
    assert list(read_value(tmp_path, dict[str, int])) == ["b", "a"]


def test_tables_and_directions_are_files_that_others_read(tmp_path: Path) -> None:
    write_value(tmp_path, Told(ANSWERS, VERDICTS, direction(5), {"bad": direction(6)}), Told, "told")
    assert [row["answer"] for row in read_rows(tmp_path / "answers.parquet")] == [a.answer for a in ANSWERS]
    assert torch.equal(load_direction(tmp_path / "direction.safetensors").vectors, direction(5).vectors)
    assert torch.equal(load_direction(tmp_path / "directions" / "bad.safetensors").vectors, direction(6).vectors)
    assert json.loads((tmp_path / "value.json").read_text())["answers"] == {"__rows__": "answers.parquet"}
    write_value(alone := tmp_path / "alone", direction(7), Direction, "direction")
    assert torch.equal(load_direction(alone / "direction.safetensors").norm, direction(7).norm)


def test_files_of_the_folder_are_kept_by_their_place_in_it(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "tuned").mkdir(parents=True)
    write_value(made, {"adapter": made / "tuned"}, dict[str, Path], "files")
    moved = made.rename(tmp_path / "moved")
    assert read_value(moved, dict[str, Path]) == {"adapter": moved / "tuned"}
    with pytest.raises(MisdirectionError, match="lies outside of the step's folder"):
        write_value(moved, tmp_path / "elsewhere", Path, "file")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (torch.nn.Module, "x is a Module, which cannot be kept"),
        (dict[str, list[object | torch.device]], r"x\[\]\[\] is a device"),
        (Tensor | float, "several kinds"),
        (Inner | Node, "several kinds"),
        (bytes, "bytes"),
    ],
)
def test_a_type_that_cannot_be_kept_is_refused_before_anything_runs(kind: Any, said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        layout(kind, "x")


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ({"a": object()}, dict[str, Any], r"x\['a'\] is a object, which cannot be kept"),
        ({"a": (1, 2)}, dict[str, int], "x gave another thing than it says"),
        ("three", int, "x gave another thing than it says"),
        ([torch.zeros(1)], list[Answer], "holds a Tensor among its rows"),
        ({"a": Side.BAD, "b": {"__float__": "1.0"}}, dict[str, Any], r"x\['b'\] would not come back as it is"),
        ({"a": {1, 2}}, dict[str, Any], r"x\['a'\] would not come back as it is"),
    ],
)  # fmt: skip
def test_a_value_that_would_not_come_back_is_refused_by_its_place(
    value: Any, kind: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(MisdirectionError, match=said):
        write_value(tmp_path, value, kind, "x")


def test_layouts_differ_where_fields_do() -> None:
    @dataclass
    class One:
        a: int

    @dataclass
    class Two:
        a: float

    def renamed(kind: type[Any]) -> Any:
        kind.__name__ = "Same"
        return layout(kind, "x")

    assert renamed(One) != renamed(Two)
    assert layout(list[Inner], "x") == layout(list[Inner], "y") != layout(tuple[Inner, ...], "x")


def test_what_differs_is_named_by_its_place() -> None:
    assert difference({"a": [1, 2]}, {"a": (1, 3)}, "x") == "x['a'][1]"
    assert difference(INNER, Inner(Side.BAD, (3, 4), "b", 0.5), "x") == "x.share"
    assert difference({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x") == "x"
    assert difference(torch.zeros(2), torch.zeros(2, dtype=torch.float64), "x") == "x"
    assert difference(1, True, "x") == "x" and difference(1, 1.0, "x") == ""
    assert difference([1, 0], (1, False), "x") == "x[1]" and difference([1, 2], (1.0, 2), "x") == ""
    nan = float("nan")
    assert difference([0.5, nan], (0.5, float("nan")), "x") == "" and difference([0.5, nan], [0.5, 1.0], "x") == "x[1]"
    assert difference([1, 2], [1, 2, 3], "x") == "x" and difference([1, None], [1, 0], "x") == "x[1]"
    assert difference([INNER], [Inner(Side.GOOD, (3, 4), "b", 0.25)], "x") == "x[0].side"
