"""The page as a browser shows it: charts drawn, no error, nothing hostile run. Skipped where there is no Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.report.example import findings, read

from misdirection.report.shared.answers import chosen
from misdirection.studies.page import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

# What a reader does by hand: type into the filter, click a point.
HANDS = """
<script>
const search = document.querySelector("[data-filter=text]");
search.value = "rules are for people";
search.dispatchEvent(new Event("input", { bubbles: true }));
const out = document.documentElement.dataset;
out.visible = [...document.querySelectorAll(".card")].filter((card) => !card.hidden).length;
const plot = document.querySelector("[id^=chart-scatter]");
out.hover = plot.data.map((trace) => trace.text.join("\\n")).join("\\n");
// The page listens for clicks once the chart's promise is kept.
const click = () => {
  if (!("ready" in plot.dataset)) return setTimeout(click, 10);
  plot.emit("plotly_click", { points: [{ customdata: 3 }] });
  out.found = document.querySelector(".card.found").id;
  out.after = search.value;
};
click();
</script>
"""


def load(html: str, folder: Path, *options: str) -> tuple[str, dict[str, str]]:
    """The page after its scripts ran, and the data attributes of its root."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,16000", "--virtual-time-budget=20000", *options,
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, timeout=600, check=True).stdout.decode("utf-8", "replace")
    root = re.search(r"<html[^>]*>", dom)
    assert root, dom[:500]
    return dom, dict(re.findall(r'data-(\w+)="([^"]*)"', root[0]))


def test_every_chart_is_drawn_and_nothing_goes_wrong(full_page, charts, tmp_path):
    dom, root = load(full_page, tmp_path)
    assert "errors" not in root and "hacked" not in root
    assert root["drawn"] == str(len(charts))
    assert len(re.findall(r'<svg class="main-svg"', dom)) >= len(charts)
    for key in charts:
        assert re.search(rf'id="{key}" class="plot js-plotly-plot"|class="plot js-plotly-plot"[^>]*id="{key}"', dom), (
            key
        )
    # A question with tags in it stands on its axis as words.
    assert "&lt;b&gt;brief&lt;/b&gt;" in dom


def test_without_a_judge_the_charts_are_drawn_and_a_strange_script_is_stopped(drift_page, tmp_path):
    strange = "<script>document.documentElement.dataset.hacked = '1'</script><img src='http://127.0.0.1:9/x.png'>"
    page = drift_page.replace("</body>", strange + "</body>")
    _, root = load(page, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert int(root["drawn"]) >= 8
    assert "hacked" not in root
    assert sorted(error.strip().split()[1] for error in root["errors"].split("|")) == ["img-src", "script-src-elem"]


def test_filter_hover_and_click(tmp_path):
    few = findings(samples=6)
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(few))
    _, root = load(page.replace("</body>", HANDS + "</body>"), tmp_path)
    assert "errors" not in root
    wanted = [answer for answer in chosen(read(few)) if "rules are for people" in answer.answer]
    assert int(root["visible"]) == len(wanted) > 0
    assert "alignment" in root["hover"] and "Talk it over calmly" in root["hover"]
    # Words of answers reach plotly.js escaped (the attribute escapes "&" once more).
    assert "&amp;lt;/script&amp;gt;" in root["hover"]
    assert (root["found"], root["after"]) == ("a3", "")
