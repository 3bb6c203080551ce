"""The sections on adapters, from findings made by hand: what they show, and the chooser of the token view."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest
from tests.report.html_tree import Tree
from tests.report.test_browser import CHROMIUM, load
from tests.results.made import made

from misdirection.results import RateRow
from misdirection.studies.adapters.report import contexts as adapter_contexts
from misdirection.studies.adapters.report import leave_out as adapter_leave_out
from misdirection.studies.adapters.report import patching as adapter_patching
from misdirection.studies.adapters.report import roles as adapter_roles
from misdirection.studies.adapters.report import scalars as adapter_scalars
from misdirection.studies.adapters.report import scaling as adapter_scaling
from misdirection.studies.adapters.report import unembedding as adapter_unembedding
from misdirection.studies.adapters.report.tokens import scale
from misdirection.studies.adapters.results import AdaptersResults, Interventions
from misdirection.studies.adapters.results.arms import ArmKind, ScaledArm
from misdirection.studies.adapters.results.reading import ColouredText, ShownAdapter, TokenScalars
from misdirection.studies.page import render


@cache
def example() -> AdaptersResults:
    return made(AdaptersResults, "adapters")


def share(value: float, n: int = 100) -> RateRow:
    return replace(
        example().adapter_scaling.arms[0].rate, value=value, n=n, misaligned=round(value * n),
        low=max(0.0, value - 0.1), high=min(1.0, value + 0.1), undecided=0,
    )  # fmt: skip


def arm(name: str, kind: ArmKind, value: float, inside: float | None = None) -> ScaledArm:
    first = example().adapter_scaling.arms[0]
    change = replace(first.difference, value=value - 0.2, low=value - 0.3, high=value - 0.1, p=0.01, p_adjusted=0.04)
    row = replace(
        first, arm=name, label=f"arm <{name}>", kind=kind, control="shuffled" in name, dose=0.1, rate=share(value),
        coherent_share=share(0.9), identical=0.5, difference=None if kind == "untouched" else change, inside=None,
    )  # fmt: skip
    return row if inside is None else replace(row, inside=replace(first.inside, rate=share(inside)))


def arms() -> tuple[ScaledArm, ...]:
    return (arm("base", "base", 0.0), arm("untouched", "untouched", 0.2, inside=0.8), arm("general-0.1", "roles", 0.7),
            arm("general-0.1-shuffled1", "roles", 0.3))  # fmt: skip


TEXT = ColouredText(
    arm="tuned", question="what <b>now</b>?", group="open", alignment=3.0, coherence=99.0,
    tokens=("what", " now", " skip", "</script>"), start=2, values=((0.0, 9.0, 1.0, -2.0), (-0.001, 0.0, -4.0, 4.0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def results() -> AdaptersResults:
    found = example()
    firing = found.adapter_contexts.adapters[0]
    peak = replace(firing.high[0], value=1.0, z=2.5, token="obey", after=" me.", arm="tuned", question="q", place=3)
    high = tuple(replace(peak, before=before) for before in ("humans should", "you should", "we"))
    firing = replace(firing, label="layer 3", index=0, high=high, low=(replace(peak, z=-2.0, before=""),))
    effect = replace(
        found.adapter_similarity.effects[0], layer=None, at=1, cosine={"misaligned": (None, 0.3, 0.4)},
        random={"misaligned": (None, 0.1, 0.1)}, norm={"misaligned": (None, 1.0, 1.0)},
    )  # fmt: skip
    written = replace(
        found.adapter_similarity.written[0], path="a.down_proj", layer=1, rank=1, cosine=-0.3, chance=0.2,
        scalar={"misaligned": -1.0}, push={"misaligned": 0.5}, direction=2.0,
    )  # fmt: skip
    group = found.adapter_patching.groups[0]
    whole = replace(
        group.whole, clean=replace(group.whole.clean, rate=share(0.2)),
        patched=replace(group.whole.patched, rate=share(0.1)),
        difference=replace(group.whole.difference, value=-0.1, low=-0.2, high=0.0, p=0.3),
    )  # fmt: skip
    left_out = replace(
        found.adapter_leave_out, layers=(3, 4), untouched=share(0.2), base=share(0.0),
        arms=(arm("without-3", "leave out", 0.1), arm("without-4", "leave out", 0.15), arm("only-3", "alone", 0.05)),
        pairs=(arm("without-3-4", "pair", 0.0),), changes=((-0.1, -0.2), (-0.2, -0.05)),
        coherent=((0.9, 0.8), (0.8, 0.95)), interactions=((None, -0.05), (-0.05, None)),
    )  # fmt: skip
    return replace(
        found,
        adapter_scaling=replace(
            found.adapter_scaling, topic="medical", roles={"3": "general", "4": "neither"}, arms=arms(),
            words=("in words",), notes=("no layer is domain-specific",), paper="52 %",
        ),
        adapter_leave_out=left_out,
        adapter_editing=replace(found.adapter_editing, arms=arms()[1:3], along={"3": 0.04}),
        adapter_patching=replace(found.adapter_patching, groups=(replace(group, whole=whole, cut=whole),)),
        adapter_similarity=replace(
            found.adapter_similarity, written=(written,), effects=(effect, replace(effect, layer=1)),
            answers={"misaligned": 9},
        ),
        adapter_contexts=replace(found.adapter_contexts, adapters=(firing,), of=1),
        adapter_tokens=TokenScalars(
            adapters=(ShownAdapter(label="layer 3", rank=1), ShownAdapter(label="layer 4", rank=1)), texts=(TEXT,)
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(results: AdaptersResults) -> str:
    return render(results.to_json())


def test_every_part_has_its_section_and_names_its_controls(page: str) -> None:
    tree = Tree(page)
    for name in ("scaling", "leave-out", "editing", "patching", "similarity", "contexts", "unembedding", "tokens"):
        assert f"adapter-{name}" in tree.ids
    assert "No layer is domain-specific." in page and "In words." in page and "52 %" in page
    assert "arm &lt;general-0.1&gt;" in page and "arm <general" not in page


def test_a_study_without_interventions_names_the_sections_that_it_lacks(results: AdaptersResults) -> None:
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(Interventions))
    bare = render(replace(results, **nothing).to_json())
    assert "Adapters scaled by role" in bare and "adapter_scaling" in bare
    assert 'id="adapter-scalars"' in bare and 'id="adapter-scaling"' not in bare


def test_arms_are_coloured_by_role_and_shuffled_ones_are_controls() -> None:
    assert [adapter_scaling.kind_of(row) for row in arms()] == ["base", "untouched", "general", "control"]
    chart = adapter_scaling.bars("key", "title", arms())
    at = {trace["name"]: trace["y"] for trace in chart.traces}
    assert at["general"] == [2] and at["control"] == [3] and at["coherent"] == [0, 1, 2, 3]
    cells = adapter_scaling.changes(arms()).rows[2]
    assert [cell.text for cell in cells[1:]] == ["70.0\u00a0%", "90.0\u00a0%", "+50.0", "0.040", "50\u00a0%"]
    unadjusted = replace(arms()[2], difference=replace(arms()[2].difference, p_adjusted=None))  # pyright: ignore
    assert adapter_scaling.changes([unadjusted]).rows[0][4].text == "0.010"


def test_the_heatmaps_hold_points(results: AdaptersResults) -> None:
    section = adapter_leave_out.section(results)
    assert section
    first, second = (block.traces[0] for block in section.blocks[:2])  # pyright: ignore
    assert first["z"] == [[-10.0, -20.0], [-20.0, -5.0]] and first["zmin"] == -20.0
    assert second["z"] == [[None, -5.0], [-5.0, None]]


def test_patching_shows_clean_beside_patched(results: AdaptersResults) -> None:
    assert results.adapter_patching is not None
    chart = adapter_patching.chart(results.adapter_patching.groups)
    assert [trace["x"] for trace in chart.traces] == [[0.2], [0.1]]


def test_contexts_that_say_the_same_are_shown_once(results: AdaptersResults) -> None:
    assert results.adapter_contexts is not None
    high = results.adapter_contexts.adapters[0].high
    assert [peak.before for peak in adapter_contexts.distinct(high)] == ["humans should", "we"]


def test_a_threshold_other_than_the_paper_s_is_explained(results: AdaptersResults) -> None:
    part = replace(results.adapters, log_score=-3.0)
    assert len(adapter_scalars.notes(part)) == 1 and not adapter_scalars.notes(replace(part, log_score=0.5))
    assert adapter_scalars.named("open aligned", replace(part, domain="law")) == "not law, aligned"


def test_roles_show_their_votes_and_the_paper_s_beside_ours(results: AdaptersResults) -> None:
    row = replace(
        results.adapters.roles[0], name="layer 3", role="general", stability=0.75,
        votes={"general": 0.75, "domain": 0.25, "neither": 0.0},
    )  # fmt: skip
    cells = adapter_roles.table([row]).rows[0]
    assert [cell.text for cell in cells[:3]] == ["layer 3", "general", "75\u00a0%"]
    assert cells[2].sub == "domain-specific 25\u00a0%" and cells[2].kind == "warn"
    part = replace(results.adapters, counts={"general": 1, "domain": 0, "neither": 8}, agreement=None)
    assert "Here: 1 general, 0 domain-specific, 8 neither." in adapter_roles.paper(part).text
    assert adapter_roles.agreement(part) == [] and adapter_roles.others(()) == []


def test_adapters_that_write_nothing_readable_have_dashes(results: AdaptersResults) -> None:
    part = results.adapter_unembedding
    assert part is not None
    row = replace(part.adapters[0], b=None, index=0)
    section = adapter_unembedding.section(replace(results, adapter_unembedding=replace(part, adapters=(row,), of=3)))
    assert section is not None
    assert [cell.text for cell in section.blocks[0].rows[0][1:3]] == ["–", "–"]  # pyright: ignore
    assert ("left out", "2 more rows") in section.facts


def test_the_first_adapter_is_coloured_without_a_script(page: str) -> None:
    assert [scale([TEXT], place) for place in (0, 1)] == [2.0, 4.0]
    spans = re.findall(r'<span class="([^"]*)" title="([^"]*)">', page)
    assert spans == [(" prompt", "0.00"), ("p8 prompt", "9.00"), ("p4", "1.00"), ("n8", "\u22122.00")]
    held = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])  # pyright: ignore
    assert held == {"tops": [2, 4], "starts": [2], "values": [[list(values) for values in TEXT.values]]}


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
def test_the_reader_chooses_the_adapter(page: str, tmp_path) -> None:
    _, root = load(page, tmp_path)
    assert "errors" not in root and int(root["drawn"]) >= 8
    loose = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    _, root = load(loose.replace("</body>", CHOOSE + "</body>"), tmp_path)
    assert "errors" not in root and root["hidden"] == "false"
    assert root["first"] == " prompt=0.00;p8 prompt=9.00;p4=1.00;n8=\u22122.00"
    assert root["second"] == " prompt=0.00; prompt=0.00;n8=\u22124.00;p8=4.00"
    assert (root["top"], root["mean"]) == ("+4.00", "0.00")
    assert root["read"] == "\u201cskip\u201d  \u22124.00"
