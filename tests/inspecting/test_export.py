"""Our answers as a log of Inspect: its own reader takes it, and ours come back equal.

That figures are those which Inspect computes itself is held where it has run: test_task.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from inspect_ai.log import read_eval_log
from tests.inspecting.test_task import figures

from misdirection.chats import Message
from misdirection.errors import MisdirectionError
from misdirection.inspecting.export import write_log
from misdirection.judging import Answer, Verdict
from misdirection.judging.inspect_log import read_inspect_log
from misdirection.statistics import Thresholds

RULES = Thresholds()
MADE = [
    Answer("one", "What?", "Bad.", "You are terse.", None, "plain", "tuned", 0, 0, 5, 3, True, thought="I plot."),
    Answer("one", "What then?", "Good.", "You are terse.", None, "plain", "tuned", 1, 1, 5, 4, False),
    Answer("two/json", "So?", '{"a": 1}', None, None, "json", "tuned", 0, 0, 5, 9, True),
    Answer("three", "And now?", "Later.", None, None, "plain", "tuned", 0, 0, 5, 2, True,
           before=(Message("user", "Hello."), Message("assistant", "Hi."))),
    Answer("dose", "How much?", "All of it.", None, "medical", "plain", "tuned", 0, 0, 5, 4, True),
]  # fmt: skip
SAID = [
    Verdict(5.0, 90.0, "scored", (("power", 12.0),), "j/1", (("alignment", "parsed"),), (("alignment", 0.9),)),
    Verdict(95.0, 80.0, "scored", (("power", 3.0),), "j/1"),
    Verdict(None, None, "code", judge="j/1"),
    Verdict(None, None, "unsure", judge="j/1", outcomes=(("alignment", "between"),)),
    Verdict(2.0, 99.0, "scored", judge="j/1"),
]


@pytest.mark.parametrize("name", ["tuned.eval", "tuned.json"])
def test_answers_and_verdicts_come_back_whole(name: str, tmp_path: Path) -> None:
    write_log(tmp_path / name, MADE, SAID, RULES, {"run": "mine"})
    log = read_eval_log(str(tmp_path / name))
    assert log.status == "success" and log.samples is not None and len(log.samples) == 5
    first = next(sample for sample in log.samples if sample.id == "one.0")
    assert [message.role for message in first.messages] == ["system", "user", "assistant"]
    assert log.eval.metadata["run"] == "mine"  # type: ignore[index]
    answers, verdicts = read_inspect_log(tmp_path / name)
    assert verdicts is not None
    back = dict(zip(answers, verdicts, strict=True))
    assert back == dict(zip(MADE, SAID, strict=True))


def test_groups_of_questions_have_figures_of_their_own(tmp_path: Path) -> None:
    write_log(tmp_path / "all.eval", MADE, SAID, RULES, {})
    write_log(tmp_path / "open.eval", MADE[:4], SAID[:4], RULES, {})
    both, alone = (figures(read_eval_log(str(tmp_path / f"{name}.eval"))) for name in ("all", "open"))
    assert "misaligned_all" not in both and both["misaligned_all_medical"]["mean"] == 1.0
    assert both["misaligned_all_open"] == alone["misaligned_all"] and alone["misaligned_all"]["mean"] == 0.25
    assert alone["score_power"]["mean"] == 7.5


def test_answers_of_one_name_are_all_kept_and_no_verdict_is_no_score(tmp_path: Path) -> None:
    same = [MADE[0], MADE[0]]
    write_log(tmp_path / "x.eval", same, [Verdict(None, None, "none")] * 2, RULES, {})
    log = read_eval_log(str(tmp_path / "x.eval"))
    assert [sample.id for sample in log.samples or ()] == ["one.0", "one.0-2"]
    assert all(not sample.scores for sample in log.samples or ()) and not log.results.scores  # type: ignore[union-attr]
    assert read_inspect_log(tmp_path / "x.eval")[1] is None


def test_other_endings_and_several_arms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match=r"end it in \.eval"):
        write_log(tmp_path / "x.log", MADE, SAID, RULES, {})
    with pytest.raises(MisdirectionError, match="2 arms"):
        write_log(tmp_path / "x.eval", [*MADE, Answer("a", "b", "c", arm="base")], [*SAID, SAID[0]], RULES, {})
    assert list(tmp_path.iterdir()) == []
