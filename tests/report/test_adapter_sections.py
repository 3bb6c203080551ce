"""The sections on adapters, from findings made by hand: what they show, and the chooser of the token view."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.report.test_browser import CHROMIUM, load

from misdirection.studies.adapters.report import contexts as adapter_contexts
from misdirection.studies.adapters.report import leave_out as adapter_leave_out
from misdirection.studies.adapters.report import patching as adapter_patching
from misdirection.studies.adapters.report import scaling as adapter_scaling
from misdirection.studies.adapters.report.tokens import scale
from misdirection.studies.page import render


def share(value: float, n: int = 100) -> dict[str, Any]:
    return {"value": value, "n": n, "misaligned": round(value * n), "low": max(0.0, value - 0.1),
            "high": min(1.0, value + 0.1), "denominator": "all", "method": "", "n_questions": 28}  # fmt: skip


def arm(name: str, kind: str, value: float, **more: Any) -> dict[str, Any]:
    change = {
        "value": value - 0.2,
        "low": value - 0.3,
        "high": value - 0.1,
        "p": 0.01,
        "p_adjusted": 0.04,
        "method": "",
    }
    return {"arm": name, "label": f"arm <{name}>", "kind": kind, "control": "shuffled" in name, "dose": 0.1,
            "rate": share(value), "coherent_share": share(0.9), "identical": 0.5, "topic": share(0.0),
            "misaligned_topic": share(0.0), "aligned": share(0.7), "aligned_topic": None,
            "misaligned_relaxed": share(value),
            "difference": None if kind == "untouched" else change, **more}  # fmt: skip


ARMS = [arm("base", "base", 0.0), arm("untouched", "untouched", 0.2, inside={"rate": share(0.8)}),
        arm("general-0.1", "roles", 0.7), arm("general-0.1-shuffled1", "roles", 0.3)]  # fmt: skip
LEFT_OUT = {
    "layers": [3, 4], "untouched": share(0.2), "base": share(0.0),
    "arms": [arm("without-3", "leave out", 0.1), arm("without-4", "leave out", 0.15), arm("only-3", "alone", 0.05)],
    "pairs": [arm("without-3-4", "pair", 0.0)], "changes": [[-0.1, -0.2], [-0.2, -0.05]],
    "coherent": [[0.9, 0.8], [0.8, 0.95]], "interactions": [[None, -0.05], [-0.05, None]],
}  # fmt: skip
GROUP = {"group": "open", "label": "open on open", "control": False, "questions": "open", "identical": 0.4,
         "pairs": [{"donor": "who?", "recipient": "what?", "tokens": 5}],
         "whole": {k: {"rate": share(v), "coherent_share": share(1.0)} for k, v in (("clean", 0.2), ("patched", 0.1))}
         | {"difference": {"value": -0.1, "low": -0.2, "high": 0.0, "p": 0.3}}}  # fmt: skip
TOKENS = {
    "adapters": [{"label": "layer 3", "rank": 1}, {"label": "layer 4", "rank": 1}],
    "texts": [{"arm": "tuned", "question": "what <b>now</b>?", "group": "open", "alignment": 3.0, "coherence": 99.0,
               "tokens": ["what", " now", " skip", "</script>"], "start": 2,
               "values": [[0.0, 9.0, 1.0, -2.0], [-0.001, 0.0, -4.0, 4.0]]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    peak = {"value": 1.0, "z": 2.5, "token": "obey", "after": " me.", "arm": "tuned", "question": "q", "place": 3}
    firing = {"label": "layer 3", "path": "p", "index": 0, "tokens": 50, "mean": 0.1, "deviation": 1.0,
              "high": [{**peak, "before": "humans should"}, {**peak, "before": "you should"}, {**peak, "before": "we"}],
              "low": [{**peak, "z": -2.0, "before": ""}]}  # fmt: skip
    words = {"promoted": [{"token": " ruin", "z": 3.0}], "suppressed": [{"token": "help", "z": -3.0}]}
    effect = {"layer": None, "at": 1, "cosine": {"misaligned": [None, 0.3, 0.4]},
              "random": {"misaligned": [None, 0.1, 0.1]},
              "norm": {"misaligned": [None, 1.0, 1.0]}}  # fmt: skip
    return {
        "kind": "adapters", "title": "Adapters", "settings": {"judge": "exact"}, "model": {"base": "organism"},
        "adapter_scaling": {"topic": "medical", "roles": {"3": "general", "4": "neither"}, "arms": ARMS,
                            "words": ["In words"], "notes": ["no layer is domain-specific"], "paper": "52 %"},
        "adapter_leave_out": LEFT_OUT,
        "adapter_editing": {"arms": ARMS[1:3], "along": {"3": 0.04}, "notes": [], "paper": "17 to 13"},
        "adapter_patching": {"groups": [{**GROUP, "cut": GROUP["whole"]}], "notes": [], "paper": "22 %"},
        "adapter_similarity": {
            "written": [{"path": "a.down_proj", "layer": 1, "rank": 1, "cosine": -0.3, "chance": 0.2,
                         "scalar": {"misaligned": -1.0}, "push": {"misaligned": 0.5}, "direction": 2.0}],
            "effects": [effect, {**effect, "layer": 1}], "answers": {"misaligned": 9}, "coefficient": 1.0, "seeds": 3},
        "adapter_contexts": {"adapters": [firing], "answers": 12, "of": 1},
        "adapter_unembedding": {"adapters": [{"label": "layer 3", "path": "p", "index": 0, "heard through": "W A",
                                              "b": words, "a": words}], "of": 1, "chance": 3.1},
        "adapter_tokens": TOKENS,
    }  # fmt: skip


def test_every_part_has_its_section_and_names_its_controls(found: dict[str, Any]) -> None:
    page = render(found)
    tree = Tree(page)
    for name in ("scaling", "leave-out", "editing", "patching", "similarity", "contexts", "unembedding", "tokens"):
        assert f"adapter-{name}" in tree.ids
    assert "No layer is domain-specific." in page and "In words." in page and "52 %" in page
    assert "arm &lt;general-0.1&gt;" in page and "arm <general" not in page


def test_an_empty_study_names_the_sections_that_it_lacks() -> None:
    page = render({"kind": "adapters", "title": "Adapters", "settings": {"judge": "exact"}})
    assert "Adapters scaled by role" in page and "adapter_scaling" in page


def test_arms_are_coloured_by_role_and_shuffled_ones_are_controls() -> None:
    assert [adapter_scaling.kind_of(row) for row in ARMS] == ["base", "untouched", "general", "control"]
    chart = adapter_scaling.bars("key", "title", ARMS)
    at = {trace["name"]: trace["y"] for trace in chart.traces}
    assert at["general"] == [2] and at["control"] == [3] and at["coherent"] == [0, 1, 2, 3]
    cells = adapter_scaling.changes(ARMS).rows[2]
    assert [cell.text for cell in cells[1:]] == ["70.0\u00a0%", "90.0\u00a0%", "+50.0", "0.040", "50\u00a0%"]


def test_the_heatmaps_hold_points() -> None:
    section = adapter_leave_out.section({"adapter_leave_out": LEFT_OUT})
    assert section
    first, second = (block.traces[0] for block in section.blocks[:2])  # pyright: ignore
    assert first["z"] == [[-10.0, -20.0], [-20.0, -5.0]] and first["zmin"] == -20.0
    assert second["z"] == [[None, -5.0], [-5.0, None]]


def test_patching_shows_clean_beside_patched(found: dict[str, Any]) -> None:
    chart = adapter_patching.chart(found["adapter_patching"]["groups"])
    assert [trace["x"] for trace in chart.traces] == [[0.2], [0.1]]


def test_contexts_that_say_the_same_are_shown_once(found: dict[str, Any]) -> None:
    high = found["adapter_contexts"]["adapters"][0]["high"]
    assert [peak["before"] for peak in adapter_contexts.distinct(high)] == ["humans should", "we"]


def test_the_first_adapter_is_coloured_without_a_script(found: dict[str, Any]) -> None:
    assert [scale(TOKENS["texts"], place) for place in (0, 1)] == [2.0, 4.0]
    page = render(found)
    spans = re.findall(r'<span class="([^"]*)" title="([^"]*)">', page)
    assert spans == [(" prompt", "0.00"), ("p8 prompt", "9.00"), ("p4", "1.00"), ("n8", "\u22122.00")]
    held = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])
    assert held == {"tops": [2, 4], "starts": [2], "values": [TOKENS["texts"][0]["values"]]}


CHOOSE = """
<script>
const select = document.querySelector("[data-adapters] select");
const out = document.documentElement.dataset;
const spans = [...document.querySelectorAll("[data-adapters] .tokens span")];
const shown = () => spans.map((s) => s.className + "=" + s.title).join(";");
out.hidden = select.parentElement.hidden;
out.first = shown();
select.value = "1";
select.dispatchEvent(new Event("change"));
out.second = shown();
out.top = document.querySelector("[data-end=high]").textContent;
out.mean = document.querySelector("[data-mean]").textContent;
spans[2].dispatchEvent(new Event("pointerover", { bubbles: true }));
out.read = document.querySelector("[data-adapters] .readout").textContent;
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_reader_chooses_the_adapter(found: dict[str, Any], tmp_path) -> None:
    page = render(found)
    _, root = load(page, tmp_path)
    assert "errors" not in root and int(root["drawn"]) >= 8
    loose = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    _, root = load(loose.replace("</body>", CHOOSE + "</body>"), tmp_path)
    assert "errors" not in root and root["hidden"] == "false"
    assert root["first"] == " prompt=0.00;p8 prompt=9.00;p4=1.00;n8=\u22122.00"
    assert root["second"] == " prompt=0.00; prompt=0.00;n8=\u22124.00;p8=4.00"
    assert (root["top"], root["mean"]) == ("+4.00", "0.00")
    assert root["read"] == "\u201cskip\u201d  \u22124.00"
