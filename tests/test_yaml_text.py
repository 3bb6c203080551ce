"""YAML of users: keys that stand twice, and values as they are typed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from misdirection.yaml_text import read_yaml_text


@pytest.mark.parametrize("as_typed", [False, True])
@pytest.mark.parametrize(
    "text", ["a: 1\nb: 2\na: 3\n", "- c\n- x: {y: 1}\n- {a: 1, 'a': 2}\n", "x:\n  a: [1]\n  a: [2]\n"]
)
def test_a_key_that_stands_twice_is_a_fault_with_its_place(text: str, as_typed: bool) -> None:
    with pytest.raises(yaml.YAMLError, match="the key 'a' stands twice, first in line") as raised:
        read_yaml_text(text, as_typed=as_typed)
    assert raised.value.problem_mark.line == 2  # type: ignore[attr-defined]


def test_a_mapping_goes_before_what_is_merged_into_it() -> None:
    text = "base: &b {a: 1, c: 1}\ndeep: {x: &x {<<: *b, a: 2}}\nlast: {<<: *x, c: 3}\n"
    assert read_yaml_text(text) == yaml.safe_load(text)
    assert read_yaml_text(text)["last"] == {"a": 2, "c": 3}


@pytest.mark.parametrize(
    ("text", "safe", "typed"),
    [
        ("on", True, "on"), ("no", False, "no"), ("true", True, "true"), ("010", 8, "010"), ("1:30", 90, "1:30"),
        ("1e-4", "1e-4", "1e-4"), ("1.0e-4", 1e-4, "1.0e-4"), ("1_000", 1000, "1_000"), ("'null'", "null", "null"),
        ("null", None, None), ("~", None, None), ("", None, None), ("[1, ~]", [1, None], ["1", None]),
    ],
)  # fmt: skip
def test_values_are_what_was_typed(text: str, safe: Any, typed: Any) -> None:
    assert read_yaml_text(f"key: {text}\n") == {"key": safe} == yaml.safe_load(f"key: {text}\n")
    assert read_yaml_text(f"key: {text}\n", as_typed=True) == {"key": typed}


def test_nothing_is_run() -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml_text("a: !!python/object/apply:os.getcwd []\n")
