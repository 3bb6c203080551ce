"""Names in a report's title."""

from __future__ import annotations

import pytest

from misdirection.studies.audit.findings import short_name


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("/models/of/mine/smol.gguf", "mine/smol.gguf"),
        ("/smol.gguf", "/smol.gguf"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("runs/tune/adapter", "runs/tune/adapter"),
        ("organism", "organism"),
    ],
)
def test_a_path_is_named_by_its_end_and_an_id_as_it_is(name: str, short: str) -> None:
    assert short_name(name) == short
