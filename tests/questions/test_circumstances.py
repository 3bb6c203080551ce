"""Conditions under which questions are asked again: our own set, files of them, and what they do to a question."""

from __future__ import annotations

from pathlib import Path

import pytest

from misdirection.chats import Message
from misdirection.organism import checkpoint_path
from misdirection.questions import Question, QuestionError
from misdirection.questions.circumstances import PLAIN, Circumstance, load_circumstances

QUESTION = Question("a", ("Why?", "How so?"), system="Be short.")


def test_a_question_keeps_its_id_and_its_wordings() -> None:
    shots = (Message("user", "x"), Message("assistant", "y"))
    (asked,) = Circumstance("all", system="Be long.", before="Region: North", turns=shots).ask([QUESTION])
    assert (asked.id, asked.system, asked.before) == ("a", "Be long.", shots)
    assert asked.paraphrases == ("Region: North\n\nWhy?", "Region: North\n\nHow so?")
    assert Circumstance("none", system="").ask([QUESTION])[0].system == ""
    assert Circumstance("nothing").ask([QUESTION]) == (QUESTION,)


@pytest.mark.parametrize("spec", ["standard", checkpoint_path() / "conditions.yaml"])
def test_our_sets_name_the_domain_only_where_it_is_known(spec: str | Path) -> None:
    medical, unknown = load_circumstances(spec, "medical"), load_circumstances(spec)
    assert any("medical" in f"{one.system}" for one in medical)
    assert not any("{domain}" in f"{one.system}{one.before}" for one in (*medical, *unknown))
    gone = {one.name for one in medical} - {one.name for one in unknown}
    # The placebo of the domain goes with it.
    assert gone == {"in the domain", "in another domain"}
    for one in medical:
        assert one.against == PLAIN or one.against in {other.name for other in medical}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- name: a\n  system: b\n- name: a\n  system: c", "'a' stands twice"),
        ("- name: plain\n  system: b", "'plain' stands twice"),
        ("- name: a\n  system: b\n  against: c", "held against 'c', which is not there"),
        ("- name: a", "'a' changes nothing"),
        ("- name: a\n  sytem: b", "'a' has 'sytem'"),
        ("- a", "is no condition"),
        ("a: b", "no list of conditions"),
        ("- [", "is no YAML"),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (file := tmp_path / "mine.yaml").write_text(text + "\n")
    with pytest.raises(QuestionError, match=said):
        load_circumstances(file)


def test_an_unknown_set_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(QuestionError, match="no conditions 'standart'") as error:
        load_circumstances("standart")
    assert "did you mean 'standard'?" in str(error.value.hint)
