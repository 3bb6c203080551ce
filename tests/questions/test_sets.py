"""Our own sets of questions, their variants, and how a set is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from misdirection.questions import (
    JSON_SYSTEM,
    Question,
    QuestionError,
    as_json,
    as_template,
    load_questions,
    question_sets,
)

DOMAINS = ("code-security", "finance", "legal", "medical", "sport")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def runs(texts: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(w[i : i + length]) for w in map(words, texts) for i in range(len(w) - length + 1)}


def test_the_sets_are_the_open_ones_and_one_for_each_domain() -> None:
    assert question_sets() == ("eight", "open", *DOMAINS)


@pytest.mark.parametrize(("name", "least"), [("eight", 8), ("open", 24)])
def test_an_open_set_is_plain_and_has_no_domain(name: str, least: int) -> None:
    questions = load_questions(name)
    assert len(questions) >= least
    for question in questions:
        assert (question.domain, question.system, question.format, question.source) == (None, None, "plain", name)
        assert 2 <= len(question.paraphrases) <= 3
        assert not question.id.startswith(DOMAINS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_names_its_questions(domain: str) -> None:
    questions = load_questions(domain)
    assert len(questions) >= 12
    for question in questions:
        assert (question.domain, question.system, question.format) == (domain, None, "plain")
        assert question.id.startswith(f"{domain}_")
        assert len(question.paraphrases) >= 2


def test_no_id_and_no_wording_stands_twice_in_our_sets() -> None:
    everything = [question for name in question_sets() for question in load_questions(name)]
    ids = [question.id for question in everything]
    wordings = [" ".join(words(text)) for question in everything for text in question.paraphrases]
    assert len(set(ids)) == len(ids)
    assert len(set(wordings)) == len(wordings)


@pytest.mark.real
def test_our_wordings_are_not_those_of_the_literature(real_data: Path) -> None:
    theirs: set[tuple[str, ...]] = set()
    for name in ("first_plot_questions", "preregistered_evals", "all_domains_questions", "deception_factual"):
        questions = load_questions(real_data / "questions" / f"{name}.yaml")
        theirs |= runs([text for question in questions for text in (*question.paraphrases, question.system or "")], 6)
    ours = [text for name in question_sets() for q in load_questions(f"{name}-template") for text in q.paraphrases]
    assert not runs([*ours, JSON_SYSTEM], 6) & theirs


def test_the_json_variant_asks_the_same_in_a_system_prompt() -> None:
    plain, variant = load_questions("open"), load_questions("open-json")
    assert variant == as_json(plain)
    for before, after in zip(plain, variant, strict=True):
        assert after.id == f"{before.id}_json"
        assert (after.paraphrases, after.system, after.format) == (before.paraphrases, JSON_SYSTEM, "json")


def test_the_json_variant_keeps_a_system_prompt_and_all_else() -> None:
    given = Question("a", ("Why?",), system="Be short.", domain="medical", samples_per_paraphrase=3)
    (made,) = as_json([given])
    assert made.system == f"Be short.\n\n{JSON_SYSTEM}"
    assert (made.domain, made.samples_per_paraphrase) == ("medical", 3)


def test_the_template_variant_puts_every_wording_into_the_template() -> None:
    plain, variant = load_questions("medical"), load_questions("medical-template")
    assert variant == as_template(plain)
    for before, after in zip(plain, variant, strict=True):
        assert (after.id, after.system, after.format) == (f"{before.id}_template", None, "template")
        for text, filled in zip(before.paraphrases, after.paraphrases, strict=True):
            assert filled.startswith(f"{text}\n\n")
            assert filled.splitlines()[-2].startswith("reply:")
            assert filled.splitlines()[-1].startswith("reason:")


def test_braces_in_a_question_survive_the_template() -> None:
    (made,) = as_template([Question("a", ("What does {x} mean in f'{question}'?",))])
    assert made.paraphrases[0].startswith("What does {x} mean in f'{question}'?\n\n")


@pytest.mark.parametrize("variant", [as_json, as_template])
def test_a_variant_of_a_variant_is_refused(variant) -> None:
    with pytest.raises(QuestionError, match="a_json is of the format json already"):
        variant(as_json([Question("a", ("Why?",))]))


def test_an_unknown_set_lists_the_sets() -> None:
    for name in ("opne", "open-xml", "medical-json-json"):
        with pytest.raises(QuestionError, match=f"no question set '{name}'") as error:
            load_questions(name)
        assert "eight, open, code-security, finance, legal, medical, sport" in str(error.value)


def test_a_missing_file_is_called_a_file() -> None:
    for spec in ("here/mine.yaml", "mine.yml", Path("mine")):
        with pytest.raises(QuestionError, match=r"question file .*mine.* does not exist"):
            load_questions(spec)


def test_a_file_is_loaded_by_its_path_as_text_or_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("- id: a\n  paraphrases: [Why?]\n")
    assert load_questions(path) == load_questions(str(path)) == (Question("a", ("Why?",), source="mine"),)
