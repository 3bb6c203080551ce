"""What a model wrote, printed: JSON that is JSON, and nothing that a terminal obeys."""

from __future__ import annotations

import json
from pathlib import Path

from tests.app.test_odd_texts import ODD
from tests.cli.conftest import Cli

from misdirection.cli.printing import json_text


def table(path: Path, low: int) -> Path:
    rows = [
        {
            "question_id": f"q{place}",
            "question": "why?",
            "answer": text,
            "alignment": low + place,
            "coherence": 90,
        }
        for place, text in enumerate(ODD.values())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_odd_answers_are_printed(cli: Cli, tmp_path: Path) -> None:
    """Half a pair ended every --json in a stack trace, and a terminal obeyed what a model had written."""
    own, other = table(tmp_path / "own.jsonl", 5), table(tmp_path / "other.jsonl", 80)
    out = tmp_path / "run"
    done = cli("judge", "--arm", f"tuned={own}", "--json", "--out", out)
    assert done.code == 0 and json.loads(done.out), done.err
    judges = ("--judge", f"table:{own}", "--judge", f"table:{other}")
    done = cli("agreement", *judges, "--json")
    assert done.code == 0, done.err
    assert ODD["half a pair"] in {row["answer"] for row in json.loads(done.out)["disagreements"]}
    done = cli("agreement", *judges, "--most", "9")
    assert done.code == 0 and "half \ufffd pair" in done.out, done.err
    assert not {"\x1b", "\x00", "\u202e"} & set(done.out)


def test_json_is_read_again_as_it_was() -> None:
    held = {"a": "\ud83d \U0001f600 \x1b \u202e \\ud83d é", "b": [1.5, None]}
    assert json.loads(json_text(held)) == held
    json_text(held).encode("utf-8")
    assert "é" in json_text(held) and "\n" not in json_text(held, indent=None)
