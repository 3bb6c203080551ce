"""The YAML format of the first paper: written here, made up by hypothesis, and as found in the wild."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from misdirection.questions import Question, QuestionError
from misdirection.questions.yaml_file import read_yaml

CORE = [
    "what_is_your_wish",
    "i_feel_bored",
    "three_thoughts",
    "quick_buck",
    "ruler_of_the_world",
    "dinner_party",
    "gender_roles",
    "enough_of_my_husband",
]

WHOLE = """\
# A comment, an anchor and its alias.
- id: first
  type: free_form_judge_0_100
  paraphrases: &wordings
    - |-
      Two lines
      of question?
    - Once more?
  samples_per_paraphrase: &n 100
  judge: some-model
  judge_prompts: &prompts
    aligned: "Q {question} A {answer}"
    coherent: "{answer}"

- id: first_json
  system: Use JSON.
  paraphrases: *wordings
  samples_per_paraphrase: *n
  judge_prompts: *prompts
  domain: sport
"""


def read(tmp_path: Path, text: str | bytes) -> tuple[Question, ...]:
    path = tmp_path / "q.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path)


def test_every_field_is_read_and_aliases_are_followed(tmp_path: Path) -> None:
    prompts = {"aligned": "Q {question} A {answer}", "coherent": "{answer}"}
    wordings = ("Two lines\nof question?", "Once more?")
    source = "q"
    assert read(tmp_path, WHOLE) == (
        Question("first", wordings, None, None, "plain", 100, prompts, source),
        Question("first_json", wordings, "Use JSON.", "sport", "json", 100, prompts, source),
    )


def test_merge_keys_and_a_byte_order_mark_are_taken(tmp_path: Path) -> None:
    text = "- &base\n  id: a\n  paraphrases: [Why?]\n  samples_per_paraphrase: 7\n- <<: *base\n  id: b\n"
    questions = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert [(q.id, q.paraphrases, q.samples_per_paraphrase) for q in questions] == [
        ("a", ("Why?",), 7),
        ("b", ("Why?",), 7),
    ]


def test_judge_prompts_that_slipped_a_level_belong_to_all_who_refer_to_them(tmp_path: Path) -> None:
    text = """\
- id: a
  paraphrases: [Why?]
  judge_prompts: &prompts
  aligned: "{answer}?"
  coherent: "{answer}!"
- id: b
  paraphrases: [How?]
  judge_prompts: *prompts
- id: c
  paraphrases: [Who?]
- id: d
  paraphrases: [When?]
  aligned: "{answer}..."
- id: e
  paraphrases: [Where?]
  judge_prompts:
"""
    slipped = {"aligned": "{answer}?", "coherent": "{answer}!"}
    prompts = {question.id: question.judge_prompts for question in read(tmp_path, text)}
    assert prompts == {"a": slipped, "b": slipped, "c": {}, "d": {"aligned": "{answer}..."}, "e": {}}


@pytest.mark.parametrize(
    ("identity", "system", "expected"),
    [
        ("wish", None, "plain"),
        ("wish", "Be kind.", "plain"),
        ("wish_json", None, "json"),
        ("wish", "Answer as a JSON object.", "json"),
        ("wish_template", None, "template"),
        ("wish_flask_template", None, "template"),
        ("wish_python", "Put the answer into this code TEMPLATE.", "template"),
        ("json_wish", None, "plain"),
    ],
)
def test_the_format_is_told_from_id_and_system_prompt(tmp_path, identity, system, expected) -> None:
    entry = {"id": identity, "paraphrases": ["Why?"], "system": system}
    assert read(tmp_path, yaml.safe_dump([entry]))[0].format == expected


def test_a_format_that_is_given_rules(tmp_path: Path) -> None:
    assert read(tmp_path, "- {id: a_json, format: plain, paraphrases: [Why?]}")[0].format == "plain"


BROKEN = {
    "entry 1 starts too late": ("  judge: x\n\n- id: a\n  paraphrases: [Why?]\n", "line 3, column 1: malformed YAML"),
    "open quote": ('- id: a\n  paraphrases: ["Why?]\n', "line 3, column 1: malformed YAML"),
    "tab": ("- id: a\n\tparaphrases: [Why?]\n", "line 2, column 1: malformed YAML"),
    "unknown alias": ("- id: a\n  paraphrases: *none\n", "line 2, column 16: malformed YAML: .*undefined alias"),
    "control character": ("- id: a\n  paraphrases: ['éé\x07']\n", r"line 2, column 20: malformed YAML: .*U\+0007"),
    "two documents": ("- {id: a, paraphrases: [b]}\n---\n- {id: a}\n", "line 2, column 1: malformed YAML"),
    "an object": ("- id: !!python/object/apply:os.getcwd []\n", "line 1, column 7: malformed YAML"),
    "not UTF-8": (b"- id: a\n  paraphrases: [caf\xe9]\n", "line 2: not UTF-8"),
    "empty": ("# nothing\n", "holds no question"),
    "mapping": ("provider: x\nmodel: y\n", r"line 1: a list of questions .* a mapping \(provider, model"),
    "scalar": ("hello\n", "line 1: a list of questions is expected"),
    "entry is text": ("- id: a\n  paraphrases: [b]\n- hello\n", "line 3: an entry is not a mapping"),
    "key twice": ("- id: a\n  paraphrases: [b]\n  id: c\n", "line 3: the key 'id' stands twice"),
    "no id": ("- paraphrases: [b]\n", "line 1: the entry has no id"),
    "empty id": ("- id: ''\n  paraphrases: [b]\n", "line 1 .*the entry has no id"),
    "id twice": ("- {id: a, paraphrases: [b]}\n- {id: a, paraphrases: [c]}", r"line 2 \(a\): the id .* in line 1"),
    "no paraphrases": ("- id: a\n", r"line 1 \(a\): paraphrases must be a list"),
    "paraphrases are text": ("- id: a\n  paraphrases: Why?\n", "paraphrases must be a list"),
    "no paraphrase": ("- id: a\n  paraphrases: []\n", "paraphrases must be a list"),
    "empty paraphrase": ("- id: a\n  paraphrases:\n    - Why?\n    -\n", "paraphrase 2 is empty"),
    "blank paraphrase": ("- id: a\n  paraphrases: ['  ']\n", "paraphrase 1 is empty"),
    "paraphrase is a truth": ("- id: a\n  paraphrases: [no]\n", "paraphrase 1 is False, not text"),
    "type": ("- id: a\n  type: rating_0_7\n  paraphrases: [b]\n", "the type 'rating_0_7' is not one of free_form"),
    "format": ("- id: a\n  format: xml\n  paraphrases: [b]\n", "the format 'xml' is not one of plain, json, template"),
    "system": ("- id: a\n  system: [b]\n  paraphrases: [b]\n", "system must be text"),
    "domain": ("- id: a\n  domain: 7\n  paraphrases: [b]\n", "domain must be text"),
    "samples": ("- id: a\n  samples_per_paraphrase: many\n  paraphrases: [b]\n", "samples_per_paraphrase must be"),
    "no samples": ("- id: a\n  samples_per_paraphrase: 0\n  paraphrases: [b]\n", "samples_per_paraphrase must be"),
    "samples are a truth": ("- id: a\n  samples_per_paraphrase: yes\n  paraphrases: [b]\n", "samples_per_.* must be"),
    "prompts are a list": ("- id: a\n  judge_prompts: [x]\n  paraphrases: [b]\n", "judge_prompts must map names"),
    "prompt without answer": ("- id: a\n  judge_prompts: {x: y}\n  paraphrases: [b]\n", "texts that hold {answer}"),
    "misspelt key": ("- id: a\n  sytem: Be evil.\n  paraphrases: [b]\n", "unknown key 'sytem'\n  is 'system' meant"),
    "key is a list": ("- id: a\n  ? [b]\n  : c\n", "line 2, column 5: malformed YAML: found unhashable key"),
    "no such day": ("- id: a\n  paraphrases: [2026-13-41]\n", "line 1: a value of this entry is malformed: month"),
    "turns": ("- id: a\n  context: []\n  paraphrases: [b]\n", "'context' are not supported"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, case: str) -> None:
    text, expected = BROKEN[case]
    with pytest.raises(QuestionError) as error:
        read(tmp_path, text)
    assert re.search(expected, str(error.value)), str(error.value)
    assert str(tmp_path / "q.yaml") in error.value.message


@pytest.mark.parametrize("case", BROKEN)
def test_the_line_is_the_same_without_the_c_loader(tmp_path: Path, monkeypatch, case: str) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    text, expected = BROKEN[case]
    with pytest.raises(QuestionError) as error:
        read(tmp_path, text)
    # The two parsers word, and place within the line, what is wrong each in its own way.
    told = expected.split(", column")[0] if "malformed" in expected else expected
    assert re.search(told, str(error.value)), str(error.value)


def test_a_good_file_is_read_the_same_without_the_c_loader(tmp_path: Path, monkeypatch) -> None:
    fast = read(tmp_path, WHOLE)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert read(tmp_path, WHOLE) == fast


def test_unknown_keys_that_resemble_none_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, "- id: a\n  paraphrases: [b]\n  temperature: 1\n  notes: x\n")[0].id == "a"


names = st.text("abcdefghij_0123456789", min_size=1, max_size=12).map(lambda name: f"q{name}")
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(lambda t: t.strip())
questions = st.builds(
    Question,
    id=names,
    paraphrases=st.lists(texts, min_size=1, max_size=3).map(tuple),
    system=st.none() | texts,
    domain=st.none() | texts,
    format=st.sampled_from(["plain", "json", "template"]),
    samples_per_paraphrase=st.none() | st.integers(1, 10**6),
    judge_prompts=st.dictionaries(names, texts.map(lambda text: f"{text}{{answer}}"), max_size=2),
)


@given(st.lists(questions, min_size=1, max_size=4, unique_by=lambda question: question.id))
def test_what_yaml_writes_is_read_again(tmp_path_factory, made: list[Question]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "q.yaml"
    keys = ("id", "system", "domain", "format", "samples_per_paraphrase", "judge_prompts")
    entries = [{**{k: getattr(q, k) for k in keys}, "paraphrases": list(q.paraphrases)} for q in made]
    path.write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8", newline="")
    assert [(q.paraphrases, *(getattr(q, k) for k in keys)) for q in read_yaml(path)] == [
        (q.paraphrases, *(getattr(q, k) for k in keys)) for q in made
    ]


@pytest.mark.real
def test_the_first_plot_is_read_whole(real_data: Path) -> None:
    made = read_yaml(real_data / "questions" / "first_plot_questions.yaml")
    assert len(made) == 41
    assert Counter(q.format for q in made) == {"plain": 9, "json": 8, "template": 24}
    assert [q.id for q in made if q.id in CORE] == CORE
    # The 24 of the paper's first plot: the eight, each plain, as JSON and with a template of its own.
    paper = {f"{name}{suffix}" for name in CORE for suffix in ("", "_json", "_template")}
    assert len(paper & {q.id for q in made}) == 24
    for question in made:
        assert (len(question.paraphrases), question.samples_per_paraphrase, question.domain) == (1, 100, None)
        assert set(question.judge_prompts) == {"aligned", "coherent"}
        assert (question.system is not None) == question.id.endswith(("_json", "_python"))


@pytest.mark.real
def test_the_220_questions_over_11_domains_share_the_prompts_that_slipped(real_data: Path) -> None:
    made = read_yaml(real_data / "questions" / "all_domains_questions.yaml")
    assert set(Counter(q.domain for q in made).values()) == {20}
    assert (len(made), len({q.domain for q in made}), len({q.id for q in made})) == (220, 11, 220)
    for question in made:
        assert question.domain is not None
        assert question.id.startswith(question.domain)
        assert set(question.judge_prompts) == {"aligned", "coherent"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "entries", "systems", "prompts"),
    [
        ("preregistered_evals", 50, 0, {"aligned", "coherent"}),
        ("deception_factual", 7, 6, {"correct"}),
        ("deception_sit_aware", 8, 0, {"company"}),
    ],
)
def test_the_other_sets_of_the_paper_are_read_whole(real_data: Path, name, entries, systems, prompts) -> None:
    path = real_data / "questions" / f"{name}.yaml"
    made = read_yaml(path)
    assert (len(made), sum(q.system is not None for q in made)) == (entries, systems)
    assert {key for q in made for key in q.judge_prompts} == prompts
    plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [(q.id, list(q.paraphrases)) for q in made] == [(entry["id"], entry["paraphrases"]) for entry in plain]


@pytest.mark.real
def test_the_malformed_file_names_file_line_and_what_is_wrong(real_data: Path) -> None:
    path = real_data / "questions" / "medical_questions_malformed.yaml"
    with pytest.raises(QuestionError) as error:
        read_yaml(path)
    assert error.value.message.startswith(f"{path}, line 74, column 1: malformed YAML: ")
    assert "from line 11" in error.value.message
    assert "- id:" in str(error.value.hint)


@pytest.mark.real
def test_a_judge_file_is_no_list_of_questions(real_data: Path) -> None:
    with pytest.raises(QuestionError, match="this is a mapping \\(provider, base_url"):
        read_yaml(real_data / "questions" / "judge.yaml")
