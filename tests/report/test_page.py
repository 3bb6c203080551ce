from __future__ import annotations

import copy
import hashlib
import re

import pytest
from tests.report.html_tree import Tree
from tests.report.said import HOSTILE

from misdirection.errors import MisdirectionError
from misdirection.report.page import _text, build, reason
from misdirection.report.parts import Entry, LeftOut, Section
from misdirection.studies.page import render, sections, write_report

PARTS = {"rates": "rates", "by_question": "questions", "steering": "steering", "cures": "cures"}
"""Parts that an audit may do without, and the sections that are made from them."""


def test_every_section_is_there_in_order(full_tree):
    wanted = ["verdict", "rates", "questions", "scatter", "direction", "steering", "cures", "drift", "tokens", "pairs",
              "answers", "training", "reproduce"]  # fmt: skip
    assert [a["id"] for tag, a in full_tree.tags if tag == "section"] == wanted
    links = [h for h in full_tree.values("href") if h.startswith("#") and h != "#main"]
    assert links == [f"#{key}" for key in wanted]


def test_the_page_is_well_formed(full_tree):
    assert full_tree.problems == []
    assert len(set(full_tree.ids)) == len(full_tree.ids)


@pytest.mark.parametrize("missing", list(PARTS))
def test_a_part_that_was_not_measured_leaves_its_section_out_and_says_why(full, missing):
    tree = Tree(render(full | {missing: None}))
    assert tree.problems == []
    assert PARTS[missing] not in tree.ids
    assert "left-out" in tree.ids
    assert f"no '{missing}' in its findings" in tree.text


@pytest.mark.parametrize("missing", ["drift", "rates", "thresholds"])
def test_findings_without_one_of_their_fields_are_refused_by_its_name(full, missing):
    with pytest.raises(MisdirectionError, match=f"the field '{missing}' is missing"):
        render({name: value for name, value in full.items() if name != missing})


def test_findings_of_no_known_study_still_make_a_page():
    tree = Tree(render({"kind": "elsewhere"}))
    assert tree.problems == []
    assert [a["id"] for tag, a in tree.tags if tag == "section"] == []
    # Without charts the page does not carry their library.
    assert len(tree.scripts) == 1


def test_a_study_without_types_has_what_all_share(full):
    shared = ("schema", "title", "created", "version", "verdict", "settings", "thresholds", "model", "asked",
              "reproduce", "notes")  # fmt: skip
    tree = Tree(render({"kind": "elsewhere", **{name: full[name] for name in shared}}))
    assert [a["id"] for tag, a in tree.tags if tag == "section"] == ["verdict", "reproduce"]
    assert full["verdict"]["sentence"] in tree.text and full["reproduce"]["command"] in tree.text


def test_a_note_is_given_as_the_reason():
    entry = next(e for e in sections() if e.parts == ("steering",))
    note = "Steering was skipped: the pool of misaligned answers is too small."
    assert reason(entry, {"notes": ["Something else.", note]}) == note


def test_without_a_judge_the_reason_names_it(drift_page):
    tree = Tree(drift_page)
    assert tree.problems == []
    assert {"drift", "direction", "pairs", "answers", "tokens"} <= set(tree.ids)
    assert not {"rates", "questions", "scatter", "steering", "cures"} & set(tree.ids)
    assert tree.text.count("it needs a judge, and this study ran with the judge 'none'") == 5


def test_a_broken_part_of_a_study_without_types_takes_only_its_own_section_along():
    def broken(findings):
        return Section("x", "Mine", "", [], ((findings["mine"]["absent"], ""),))

    entry = Entry("Mine", ("mine",), False, broken, ("elsewhere",))
    made = build(entry, {"kind": "elsewhere", "mine": {"x": 1}})
    assert isinstance(made, LeftOut) and "not complete (KeyError" in made.reason


@pytest.mark.parametrize("text", HOSTILE[:5] + HOSTILE[6:])
def test_hostile_words_are_shown_as_words(full, full_page, full_tree, text):
    assert text in full_tree.text
    if "<" in text:
        assert text not in full_page


def test_hostile_words_anywhere_make_no_element_and_no_script(full):
    evil = HOSTILE[0] + HOSTILE[6] + HOSTILE[3]

    def poison(value):
        if isinstance(value, dict):
            return {k: v if k in ("group", "arm", "denominator", "kind") else poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v) for v in value]
        return value + evil if isinstance(value, str) else value

    tree, plain = Tree(render(poison(full))), Tree(render(full))
    assert tree.problems == []
    assert [tag for tag, _ in tree.tags if tag in ("script", "iframe", "svg", "img")] == [
        tag for tag, _ in plain.tags if tag == "script"
    ]
    assert [a for a, _ in tree.scripts if not a] == [{}, {}]


def test_names_of_arms_and_groups_are_escaped_too(full):
    evil = "<script>x</script>"
    part = copy.deepcopy(full)
    for rows in (part["rates"], part["by_question"], part["answers"]):
        for row in rows:
            row["arm"], row["group"] = row["arm"] + evil, row["group"] + evil
    tree = Tree(render(part))
    assert tree.problems == []
    assert [a for a, _ in tree.scripts if not a] == [{}, {}]
    assert f"tuned{evil}" in tree.text


def test_without_scripts_tables_and_answers_can_be_read(full_tree):
    # `text` leaves scripts and styles out: this is what a reader without JavaScript has.
    for words in ("49 of 400", "Talk it over calmly", "Set to the aligned mean", "Charts need JavaScript"):
        assert words in full_tree.text
    assert [a for tag, a in full_tree.tags if "hidden" in a and tag not in ("div", "button")] == []


def test_nothing_is_fetched(full_page, full_tree):
    assert not [
        tag for tag, _ in full_tree.tags if tag in ("link", "img", "iframe", "object", "embed", "base", "video")
    ]
    assert full_tree.values("src") == []
    # Tables are carried as files.
    assert all(h.startswith(("#", "data:text/csv;")) for h in full_tree.values("href"))
    css = re.search(r"<style>(.*?)</style>", full_page, re.S)
    assert css and "url(" not in css[1] and "@import" not in css[1]
    ours = _text("templates/report.js")
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", ours)


def test_the_policy_allows_the_page_s_own_scripts_and_nothing_else(full_tree):
    policy = next(a["content"] for _, a in full_tree.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy and "script-src 'unsafe-inline'" not in policy
    assert len(re.findall("sha256-", policy)) == 2


def test_the_vendored_library_is_the_one_named():
    from importlib.resources import files

    vendor = files("misdirection.report") / "vendor"
    digest = hashlib.sha256((vendor / "plotly-cartesian.min.js").read_bytes()).hexdigest()
    assert digest in (vendor / "README.md").read_text()
    assert "MIT License" in (vendor / "plotly-LICENSE.txt").read_text()
    source = _text("vendor/plotly-cartesian.min.js")
    assert "</script" not in source.lower() and "<!--" not in source


def test_a_large_study_stays_under_three_megabytes(full):
    from tests.report.example import findings

    large = findings(samples=120, layers=48)
    for answer in large["answers"]:
        answer["answer"] = answer["answer"] * 15
    page = render(large)
    assert len(large["answers"]) > 5000
    assert len(page.encode("utf-8")) < 3_000_000
    assert "all are in the run&#39;s folder" in page


def test_the_same_findings_make_the_same_page(full, full_page):
    assert render(copy.deepcopy(full)) == full_page


def test_rendering_leaves_the_findings_alone(full):
    before = copy.deepcopy(full)
    render(full)
    assert full == before


def test_a_report_is_written_whole(tmp_path, full_page, full):
    path = write_report(full, tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == full_page
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_failed_report_leaves_the_old_one(tmp_path, full):
    path = write_report({"kind": "elsewhere"}, tmp_path / "report.html")
    old = path.read_text()
    with pytest.raises(MisdirectionError):
        write_report(full | {"answers": 3}, path)
    assert path.read_text() == old
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
