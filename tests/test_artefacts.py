from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from misdirection.artefacts import (
    atomic_path,
    canonical_hash,
    file_hash,
    plain,
    read_json,
    read_rows,
    read_tensors,
    write_json,
    write_rows,
    write_tensors,
)
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@dataclasses.dataclass(frozen=True)
class Steered:
    layer: int
    where: Path
    parts: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Ablated:
    layer: int
    where: Path
    parts: tuple[float, ...] = ()


# rows ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.fixed_dictionaries({"a": values, "b": st.text(), "c": st.none() | st.integers(-9, 9)}), max_size=5))
def test_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.parquet"
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_rows_of_mappings_with_different_keys_are_not_filled_up(tmp_path: Path) -> None:
    rows = [{"scores": {"evil": 1.0}}, {"scores": {"medical": 2, "deep": [1, "x"]}}, {"scores": None}]
    write_rows(tmp_path / "x.parquet", rows)
    assert read_rows(tmp_path / "x.parquet") == rows


def _tuples(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def test_rows_of_dataclasses_make_the_same_dataclasses_again(tmp_path: Path) -> None:
    verdicts = [Verdict(None, 3.5, "none"), Verdict(10.0, 90.0, scores=(("evil", 1.0), ("medical", 2.5)))]
    write_rows(tmp_path / "v.parquet", verdicts)
    back = [
        Verdict(**{name: tuple(map(_tuples, v)) if isinstance(v, list) else v for name, v in row.items()})
        for row in read_rows(tmp_path / "v.parquet")
    ]
    assert back == verdicts
    answers = [Answer("q", "what?", "so.\n\x00\ud83d", system=None), Answer("q", "what?", "é", system="s", sample=1)]
    write_rows(tmp_path / "a.parquet", answers)
    assert [Answer(**row) for row in read_rows(tmp_path / "a.parquet")] == answers


def test_a_key_that_a_row_lacks_is_none(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.parquet", [{"a": 1}, {"b": "x"}])
    assert read_rows(tmp_path / "x.parquet") == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_no_rows_are_no_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.parquet", [])
    assert read_rows(tmp_path / "x.parquet") == []


def test_numpy_values_become_python_values(tmp_path: Path) -> None:
    rows = [{"a": np.float32(0.5), "b": np.int64(3), "c": np.arange(3), "d": float("nan")}]
    write_rows(tmp_path / "x.parquet", rows)
    (row,) = read_rows(tmp_path / "x.parquet")
    assert (row["a"], row["b"], row["c"]) == (0.5, 3, [0, 1, 2])
    assert math.isnan(row["d"])


def test_rows_are_columns_that_other_readers_see(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_rows(tmp_path / "x.parquet", [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": None}])
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    assert frame["a"].tolist() == [1.5, 2.5] and frame["a"].dtype == np.float64


def test_a_row_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match="row 2 is a int"):
        write_rows(tmp_path / "x.parquet", [{}, 5])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_byte_of_a_table_is_noticed_or_harmless(tmp_path: Path) -> None:
    rows = [{"n": i, "text": f"row {i * 7919}"} for i in range(50)]
    path = tmp_path / "x.parquet"
    write_rows(path, rows)
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            assert len(read_rows(path)) == len(rows)
        except MisdirectionError as error:
            noticed += 1
            assert str(path) in str(error)
    assert noticed > len(whole) / 7 / 3


@pytest.mark.parametrize("reader", [read_rows, read_tensors, read_json])
def test_missing_cut_and_foreign_files_are_clear_errors(reader: object, tmp_path: Path) -> None:
    assert callable(reader)
    with pytest.raises(MisdirectionError, match="no such file"):
        reader(tmp_path / "absent")
    foreign = tmp_path / "foreign"
    for content in (b"", b"PAR1", b"{", b"\xff\xfe\x00 not a format of ours" * 9):
        foreign.write_bytes(content)
        with pytest.raises(MisdirectionError, match="foreign: not"):
            reader(foreign)


# tensors -------------------------------------------------------------------------------------------------------------


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    base = torch.randn(4, 6, dtype=torch.float64)
    tensors = {
        "half": torch.randn(2, 3).bfloat16(),
        "view": base[1:3, ::2],
        "transposed": base.T,
        "again": base,
        "tied": base,
        "whole": torch.arange(5),
        "empty": torch.zeros(0, 3),
    }
    facts = {"layer": 3, "from": Path("a/b"), "why": ["é", None, 0.1], "spec": Steered(1, Path("x"), (0.5,))}
    write_tensors(tmp_path / "d.safetensors", tensors, facts)
    back, told = read_tensors(tmp_path / "d.safetensors")
    assert set(back) == set(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor), name
    assert told == {
        "layer": 3,
        "from": "a/b",
        "why": ["é", None, 0.1],
        "spec": {"layer": 1, "where": "x", "parts": [0.5]},
    }


def test_equal_tensors_make_equal_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from misdirection.artefacts import write_tensors\n"
        "write_tensors(sys.argv[1], {'b': torch.ones(3), 'a': torch.arange(4)}, {'z': 1, 'a': 2})"
    )
    source = str(Path(__file__).parents[1] / "src")
    for name in "12":
        environment = os.environ | {"PYTHONPATH": source, "PYTHONHASHSEED": name}
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=True, env=environment)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_tensors_of_others_have_no_facts(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert read_tensors(tmp_path / "x.safetensors")[1] == {}


def test_a_cut_tensor_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"x": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MisdirectionError, match=r"x\.safetensors: not a readable safetensors"):
        read_tensors(path)


# JSON ----------------------------------------------------------------------------------------------------------------


@given(values)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_is_sorted_and_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": float("nan"), "a": (1, float("inf")), 3: "\ud800"})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"3": "\ud800", "a": [1, None], "b": None}
    assert "NaN" not in text and "Infinity" not in text
    assert text.index('"3"') < text.index('"a"') < text.index('"b"')


def test_what_json_has_no_place_for_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match=r"value\['arms'\]\[1\]\.layer is a object"):
        write_json(tmp_path / "x.json", {"arms": [0, Steered(object(), Path())]})  # type: ignore[arg-type]
    with pytest.raises(MisdirectionError, match="key of type tuple"):
        plain({(1, 2): 3})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, [1])
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == [1]
    assert list(tmp_path.iterdir()) == [path]


# hashes --------------------------------------------------------------------------------------------------------------


def test_the_hash_is_sha256_of_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":[1,0.1,null,true],"b":"\\u00e9"}').hexdigest()
    assert canonical_hash({"b": "é", "a": (1, 0.1, None, True)}) == expected


def test_order_of_keys_tuples_and_paths_do_not_matter() -> None:
    assert canonical_hash({"a": [1], "b": Path("x/y")}) == canonical_hash({"b": "x/y", "a": (1,)})
    assert canonical_hash({"x", "y", "z"}) == canonical_hash({"z", "y", "x"})


def test_what_differs_differs() -> None:
    nan, inf = float("nan"), float("inf")
    differing: list[object] = [
        1, 1.0, "1", True, None, [], {}, [1], nan, inf, -inf, 0.1, 0.1 + 1e-17 * 3, [[1], 2], [1, [2]],
        Steered(1, Path("x")), Ablated(1, Path("x")), Steered(1, Path("x"), (0.0,)),
        np.zeros(2), np.zeros((2, 1)), np.zeros(2, dtype=np.float32), torch.zeros(2), torch.zeros(2).bfloat16(),
        torch.tensor([0.0, 1e-9]),
    ]  # fmt: skip
    assert len({canonical_hash(v) for v in differing}) == len(differing)


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from misdirection.artefacts import canonical_hash; print(canonical_hash({'a': {'x', 'y'}, 'b': 0.1}))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "PYTHONHASHSEED": "77"}
    out = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    assert out.stdout.strip() == canonical_hash({"b": 0.1, "a": {"y", "x"}})


def test_what_cannot_be_hashed_is_named() -> None:
    with pytest.raises(MisdirectionError, match=r"value\['judge'\] is a function"):
        canonical_hash({"judge": plain})


def test_a_file_hash_is_that_of_its_bytes_and_a_folder_hash_sees_names_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(b"one")
    (folder / "sub" / "b").write_bytes(b"two")
    assert file_hash(folder / "a") == hashlib.sha256(b"one").hexdigest()
    seen = {file_hash(folder)}
    (folder / "a").write_bytes(b"One")
    seen.add(file_hash(folder))
    (folder / "a").rename(folder / "c")
    seen.add(file_hash(folder))
    (folder / "c").write_bytes(b"one")
    (folder / "c").rename(folder / "a")
    assert len(seen) == 3 and file_hash(folder) in seen
    with pytest.raises(MisdirectionError, match="no such file"):
        file_hash(folder / "absent")


def test_importing_touches_nothing_heavy() -> None:
    code = (
        "import sys, misdirection.artefacts, misdirection.runs, misdirection.statistics, misdirection.judging.table\n"
        "print([m for m in ('torch', 'pyarrow', 'scipy', 'numpy', 'safetensors') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    out = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_columns_are_pyarrows_own_and_pandas_stays_unread(tmp_path: Path) -> None:
    import pyarrow as pa

    from misdirection.artefacts.rows import _arrow  # pyright: ignore[reportPrivateUsage]

    columns: list[list[object]] = [
        ["a", None, "", "\u00e9\U0001f600"], [1, None, -(2**62)], [1.5, float("inf"), None], [True, None, False, True],
        [None, None], [3, 4], ["x"] * 9, [],
    ]  # fmt: skip
    for values in columns:
        kinds = {type(v) for v in values if v is not None}
        made, expected = _arrow(values, kinds), pa.array(values)
        assert made.type == expected.type and made.equals(expected) and made.null_count == expected.null_count
        made.validate(full=True)
    script = (
        "import sys\nfrom misdirection.artefacts import read_rows, write_rows\n"
        f"path = {str(tmp_path / 'x.parquet')!r}\n"
        "write_rows(path, [{'a': 'x', 'b': 1, 'c': 0.5, 'd': True, 'e': {'k': 1}, 'f': None}])\n"
        "assert read_rows(path) == [{'a': 'x', 'b': 1, 'c': 0.5, 'd': True, 'e': {'k': 1}, 'f': None}]\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
