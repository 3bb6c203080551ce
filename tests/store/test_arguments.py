"""What of an argument stands in a key, against what is written there by hand; and types as they stand in it."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from misdirection.artefacts import file_hash
from misdirection.errors import MisdirectionError
from misdirection.store.arguments import LONGEST, READABLE, content, whole
from misdirection.store.kinds import hints, holds_tensors, is_array, is_table, is_tensor, layout, rows_of
from misdirection.store.measurement import INCIDENTAL


@dataclass(frozen=True)
class Inside:
    name: str
    threads: int = field(default=1, metadata=INCIDENTAL)


@dataclass(frozen=True)
class Around:
    parts: tuple[Inside, ...]
    by: Mapping[str, Inside]


class Judge:
    name = "made/3"

    def judge(self, answers: object) -> None: ...


def doubled(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        (True, True),
        (0.5, 0.5),
        (float("nan"), {"__float__": "nan"}),
        ((1, "a"), [1, "a"]),
        ({2, 1}, [1, 2]),
        ("no file at all.txt", "no file at all.txt"),
        ({"b": 1, "a": 2}, {"__items__": [["b", 1], ["a", 2]]}),
        (Judge(), {"judge": "made/3"}),
        (Inside("x", threads=8), {"__class__": "Inside", "name": "x"}),
        (
            Around((Inside("x"),), {"k": Inside("y", 3)}),
            {
                "__class__": "Around",
                "parts": [{"__class__": "Inside", "name": "x"}],
                "by": {"__items__": [["k", {"__class__": "Inside", "name": "y"}]]},
            },
        ),
    ],
)
def test_what_an_argument_is_in_a_key(value: Any, told: Any) -> None:
    assert content("x", value) == told == whole("x", value)


def test_a_function_is_its_place_and_an_array_its_numbers() -> None:
    assert content("x", doubled)["function"][0].endswith("doubled")
    numbers = np.arange(6.0).reshape(2, 3)
    told = content("x", numbers)
    assert told == {"__array__": "float64", "shape": [2, 3], "sha256": hashlib.sha256(numbers.tobytes()).hexdigest()}
    assert content("x", torch.from_numpy(numbers)) == told | {"__array__": "torch.float64"}
    assert content("x", numbers.T) != content("x", numbers.reshape(3, 2)) != told


def test_a_file_is_its_content_as_a_path_and_as_a_text_and_a_folder_only_where_a_model_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("so it goes")
    digest = hashlib.sha256(b"so it goes").hexdigest()
    assert content("x", file) == {"file": digest}
    assert content("x", str(file)) == {"text": str(file), "content": digest}
    (tmp_path / "model").mkdir()
    place = str(tmp_path / "model")
    assert content("x", place) == place
    for name in ("config.json", "adapter_config.json"):
        (tmp_path / "model" / name).write_text("{}")
        assert content("x", place) == {"text": place, "content": file_hash(place)}
        (tmp_path / "model" / name).unlink()
    for text in (f"{file}\n", "x" * 1001 + ".txt", "\0/."):
        assert content("x", text) == text


def test_a_long_argument_is_a_hash_of_its_text_and_readable_as_far_as_a_person_reads() -> None:
    def text(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    at, over = "a" * (LONGEST - 2), "a" * (LONGEST - 1)
    assert content("x", at) == at
    assert content("x", over) == {"sha256": hashlib.sha256(text(over).encode()).hexdigest()}
    assert whole("x", over) == over
    assert whole("x", "a" * (READABLE - 2)) is not None and whole("x", "a" * (READABLE - 1)) is None


def test_what_has_no_content_is_named_by_its_place() -> None:
    for value, place in ((object(), "argument 'x' is a object"), ({"a": [object()]}, "is a object")):
        with pytest.raises(MisdirectionError, match=f"{place}.*whose content cannot be told") as error:
            content("x", value)
        assert "mark the parameter Incidental" in (error.value.hint or "")


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = 2


@dataclass
class Row:
    name: str
    score: float | None
    made: int = field(default=0, init=False)


@dataclass
class Tree:
    leaves: list[Tree]
    mood: Mood


@dataclass
class Table:
    one: Tensor
    other: Tensor
    facts: dict[str, Any]


@dataclass
class Mixed:
    numbers: NDArray[np.float64]
    rows: list[Row]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (int, "int"),
        (Path, "Path"),
        (type(None), "NoneType"),
        (Tensor, "Tensor"),
        (Any, "any"),
        (object, "any"),
        (Annotated[int, "points"], "int"),
        (Literal["a", 3], ["one of", "a", "3"]),
        (Mood, ["one of", "glad", "2"]),
        (list[int], ["list", "int"]),
        (tuple[int, ...], ["tuple", "int"]),
        (tuple[int, str], ["tuple", "int", "str"]),
        (Sequence[float], ["Sequence", "float"]),
        (frozenset[str], ["frozenset", "str"]),
        (Mapping[str, bool], ["mapping", "str", "bool"]),
        (dict[str, list[int]], ["mapping", "str", ["list", "int"]]),
        (int | None, ["any of", "int", "NoneType"]),
        (Row, ["Row", {"name": "str", "score": ["any of", "float", "NoneType"]}]),
        # What stands in itself is named there.
        (Tree, ["Tree", {"leaves": ["list", "Tree"], "mood": ["one of", "glad", "2"]}]),
        (Table | None, ["any of", layout(Table, "x"), "NoneType"]),
    ],
)
def test_the_layout_of_a_type(kind: Any, told: Any) -> None:
    assert layout(kind, "x") == told == json.loads(json.dumps(told))


def test_rows_tables_and_tensors_are_told_by_their_types() -> None:
    assert [rows_of(kind) for kind in (list[Row], tuple[Row, ...], Sequence[Row])] == [Row] * 3
    assert [rows_of(kind) for kind in (Row, list[int], tuple[Row, Row], list[Table], dict[str, Row])] == [None] * 5
    assert is_table(Table) and not is_table(Mixed) and not is_table(Row)
    assert [holds_tensors(kind) for kind in (Tensor, Table, list[Table], Mixed, dict[str, Tensor])] == [True] * 5
    assert [holds_tensors(kind) for kind in (int, Row, Tree, Any, list[Row])] == [False] * 5
    assert is_tensor(Tensor) and not is_tensor(np.ndarray) and is_array(np.ndarray) and is_array(NDArray[np.int64])
    assert not is_array(Tensor) and [name for name, _ in hints(Row)] == ["name", "score"]
