from __future__ import annotations

import pytest

from misdirection.errors import MisdirectionError
from misdirection.judging.check import Check, read_check


@pytest.mark.parametrize(
    ("text", "judge", "n"),
    [
        ("openai:gpt-4o@120", "openai:gpt-4o", 120),
        ("openai:gpt-4o@http://localhost:8000/v1@60", "openai:gpt-4o@http://localhost:8000/v1", 60),
        ("table:verdicts.csv?scale=1..5@200", "table:verdicts.csv?scale=1..5", 200),
        ("offline@1@30", "offline@1", 30),
        ("exact@15", "exact", 15),
        ("label", "label", 0),
    ],
)
def test_the_number_stands_behind_the_last_at(text: str, judge: str, n: int) -> None:
    assert read_check(text) == Check(judge, n)
    assert read_check(text).by_person == (text == "label")


@pytest.mark.parametrize(
    "text",
    ["openai:gpt-4o", "openai:gpt-4o@many", "openai:gpt@http://localhost/v1", "@120", "120", "none@120", "exact@14",
     "exact@0", "exact@-30", "exact@1.5", "label@60"],
)  # fmt: skip
def test_no_number_too_small_a_number_or_nobody_is_refused(text: str) -> None:
    with pytest.raises(MisdirectionError, match="--check"):
        read_check(text)
