"""One answer that no page can hold must not cost the page: half a surrogate pair, null bytes, a terminal's orders."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.conftest import client, made_run

from misdirection.judging import Answer, Verdict

ODD = {
    "half a pair": "half \ud83d pair",
    "null": "nul\x00byte",
    "colours": "\x1b[31mred\x1b]0;title\x07",
    "turned": "\u202egnorw\u202c",
    "long": "a" * 1_000_000,
    "noncharacter": "\ufffe\uffff",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = [
        Answer(f"q{place}", text[:200], text, arm=arm, n_tokens=3)
        for arm in ("base", "tuned")
        for place, text in enumerate(ODD.values())
    ]
    return made_run(tmp_path_factory.mktemp("odd") / "run", answers, [Verdict(5.0, 90.0, judge="made")] * len(answers))


def test_every_page_is_shown_whatever_the_answers_hold(odd: Path, large: Path) -> None:
    asking = client(odd, large)
    pages = ["/", "/answers", "/answers?run=0", "/api/answers?run=0", "/compare", "/directions"]
    pages += [f"/answers/0/answers/{place}" for place in range(2 * len(ODD))]
    for page in pages:
        told = asking.get(page)
        assert told.status_code == 200, page
        assert not {"\x00", "\x1b", "\x07"} & set(told.text), page
    first = asking.get("/answers/0/answers/0").text
    assert "half ? pair" in first
    assert next(row["answer"] for row in asking.get("/api/answers?run=0").json()["rows"]) == "half ? pair"
    assert "a" * 1_000_000 in asking.get("/answers/0/answers/4").text
