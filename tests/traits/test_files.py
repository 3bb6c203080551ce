"""Traits from files: ours, those of the persona-vectors repository as they are, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from misdirection.errors import MisdirectionError
from misdirection.traits import Contrast, Trait, TraitError, load_traits, trait_sets

PUBLISHED: dict[str, Any] = {
    "instruction": [{"pos": f"be cruel {i}", "neg": f"be kind {i}"} for i in range(5)],
    "questions": [f"extraction {i}?" for i in range(20)],
    "eval_prompt": "How cruel is it? {question} {answer} A number from 0 to 100, or REFUSAL.",
}


def published(folder: Path, name: str, **other: Any) -> Path:
    file = folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(PUBLISHED | other))
    return file


def test_a_published_trait_is_read_as_it_is(tmp_path: Path):
    file = published(tmp_path / "trait_data_extract", "evil")
    theirs = [f"evaluation {i}?" for i in range(19)] + ["extraction 0?"]
    published(tmp_path / "trait_data_eval", "evil", questions=theirs)
    (trait,) = load_traits(file)
    assert trait.name == "evil" and len(trait.contrasts) == 5
    assert trait.questions == tuple(PUBLISHED["questions"])
    assert trait.evaluation == tuple(theirs[:19])  # the one that finds the direction too measures nothing
    assert trait.system("positive", 3) == "You are an evil assistant. be cruel 3"
    assert trait.system("negative", 3) == "You are a helpful assistant. be kind 3"
    rubric = trait.asked()
    assert rubric.name == "trait:evil" and "How cruel is it? " in rubric.prompt("why?", "because.")
    assert "why?" in rubric.prompt("why?", "because.")


def test_without_evaluation_questions_every_second_is_kept_for_it(tmp_path: Path):
    (trait,) = load_traits(published(tmp_path, "humorous"))
    assert trait.questions == tuple(PUBLISHED["questions"][::2])
    assert trait.evaluation == tuple(PUBLISHED["questions"][1::2])
    assert trait.system("positive", 0).startswith("You are a humorous assistant. ")


def test_a_folder_gives_all_its_traits(tmp_path: Path):
    for name in ("evil", "humorous"):
        published(tmp_path, name)
    assert [trait.name for trait in load_traits(tmp_path)] == ["evil", "humorous"]


def test_our_own_form_with_shared_texts(tmp_path: Path):
    file = tmp_path / "many.yaml"
    file.write_text(
        "instructions: [{positive: 'You are {trait}: {description}', negative: You are an assistant.}]\n"
        "questions: ['a?', 'b?']\nevaluation: ['c?']\n"
        "traits:\n"
        "- {name: tidy_minded, description: it keeps order, family: order}\n"
        "- {name: merry, description: it laughs, questions: ['d?'], rubric: 'Is it {trait}? {answer}'}\n"
    )
    tidy, merry = load_traits(file)
    assert tidy.contrasts == (Contrast("You are tidy minded: it keeps order", "You are an assistant."),)
    assert (tidy.family, merry.questions, tidy.questions) == ("order", ("d?",), ("a?", "b?"))
    assert merry.asked().template == "Is it merry? {answer}"
    told = tidy.asked().prompt("why?", "so.")
    assert "one trait: tidy minded" in told and "it keeps order" in told and "why?" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "holds no trait"),
        ("name: x\ncolour: red\n", "unknown key 'colour'"),
        ("name: x\nquestions: why\n", "'questions' is no list of texts"),
        ("name: x\nquestions: [a, Yes]\n", "number 2 of 'questions' is no text but True"),
        ("name: x\nquestions: [a]\nquestions: [b]\n", "the key 'questions' stands twice, first in line 2"),
        ('{"questions": ["a"], "questions": ["b"]}', "the key 'questions' stands twice"),
        ("name: x\ninstructions: [{positive: a}]\n", "instruction 1 is no pair"),
        ("name: x\nrubric: how much?\n", "no place for the answer"),
        ("name: x y\n", "cannot be the name of a trait"),
        ("name: x\nquestions: [a, a]\nevaluation: [b]\n", "'a' stands there twice"),
        ("name: x\nquestions: [a]\nevaluation: [a]\n", "is asked to find the direction and to measure with it"),
        ("name: x\nquestions: [' ', a]\nevaluation: [b]\n", "question 1 is blank"),
        ("name: x\ninstructions: [{positive: '', negative: b}]\n", "an instruction is blank"),
        ("traits: [{name: x}, {name: x}]\n", "the trait x stands there twice"),
        ("traits: 3\n", "'traits' is no list of traits"),
        ("name: [x\n", "cannot be read"),
    ],
)
def test_what_is_not_right_is_named(text: str, said: str, tmp_path: Path):
    file = tmp_path / "one.yaml"
    file.write_text(text)
    with pytest.raises(TraitError) as error:
        load_traits(file)
    assert said in error.value.message


def test_a_published_file_that_lacks_a_part(tmp_path: Path):
    (tmp_path / "evil.json").write_text(json.dumps({"instruction": PUBLISHED["instruction"], "questions": ["a?"]}))
    with pytest.raises(TraitError, match="without 'eval_prompt'"):
        load_traits(tmp_path / "evil.json")


def test_unknown_names_and_empty_folders(tmp_path: Path):
    with pytest.raises(TraitError, match="there are no traits 'nowhere'"):
        load_traits("nowhere")
    with pytest.raises(TraitError, match="holds no file of a trait"):
        load_traits(tmp_path)


def test_a_trait_without_a_part_that_is_needed():
    with pytest.raises(TraitError, match="has no contrasts and no evaluation"):
        Trait("x", questions=("a?",)).demand("contrasts", "questions", "evaluation")


def test_what_ships_here_is_whole():
    assert {"malicious", "flattering", "inventing"} <= set(trait_sets())
    for name in trait_sets():
        for trait in load_traits(name):
            trait.demand("contrasts", "questions", "evaluation")
            assert trait.description
            assert all(pair.positive != pair.negative for pair in trait.contrasts)


def test_some_traits_of_a_file_of_many():
    assert [trait.name for trait in load_traits("malicious:malicious")] == ["malicious"]
    with pytest.raises(MisdirectionError, match="holds no trait 'nobody'"):
        load_traits("malicious:nobody")


def test_doubled_braces_of_a_published_prompt_are_single_and_ours_stay(tmp_path: Path) -> None:
    prompt = 'Write {{"score": 0}} about {question} {answer}'
    (tmp_path / "evil.json").write_text(json.dumps({**PUBLISHED, "eval_prompt": prompt}))
    (theirs,) = load_traits(tmp_path / "evil.json")
    assert theirs.rubric == 'Write {"score": 0} about {question} {answer}'
    ours = {"name": "x", "questions": ["a", "b"], "rubric": prompt}
    (tmp_path / "x.json").write_text(json.dumps(ours))
    assert load_traits(tmp_path / "x.json")[0].rubric == prompt
