"""Names beside the points of a chart, in the browser: on a phone none lies over another, or is cut; wide, all stand."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from tests.app.browser import CHROMIUM, Browser
from tests.results.made import made

from misdirection.studies.page import render
from misdirection.studies.registry import studies

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

PLOT = "document.getElementById('chart-defences-scoreboard')"
NAMES = f"""(() => {{
  const box = (node) => {{ const r = node.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; }};
  const seen = [...{PLOT}.querySelectorAll('.textpoint text, .annotation-text')]
    .filter((node) => node.textContent && getComputedStyle(node).visibility !== 'hidden');
  return {{
    names: seen.map((node) => [node.textContent, box(node)]),
    inside: box({PLOT}.querySelector('.nsewdrag')),
    hidden: Number({PLOT}.dataset.unnamed),
  }};
}})()"""
ARMS = ("none", "kl=1", "block=1", "block=0.1", "norm=0.001", "norm=0.01", "interleave=0.25", "preventative=1",
        "edit=0.5", "scale=0.75", "subtract=0.5", "realign=35", "ablation", "set-weights", "project")  # fmt: skip
PLACES = ("training", "training", "training", "training", "training", "training", "data", "training",
          "weights", "weights", "weights", "weights", "training", "weights", "after")  # fmt: skip


def crowded() -> dict[str, Any]:
    """A scoreboard of fifteen arms, in a cluster that a wide chart has room for."""
    found = copy.deepcopy(made(studies()["defences"].results, "defences").to_json())
    row = found["defences"]["rows"][0]
    rows: list[dict[str, Any]] = []
    for number, (arm, place) in enumerate(zip(ARMS, PLACES, strict=True)):
        one = copy.deepcopy(row) | {"arm": arm, "place": place, "mixed": False, "front": arm == "kl=1"}
        one["open"]["misaligned"]["value"] = 0.6 if arm == "none" else 0.02 + 0.025 * (number % 6)
        one["domains"]["misaligned"]["value"] = 0.8 if arm == "none" else 0.03 + 0.045 * number
        one["reduction"] = None if arm == "none" else one["reduction"]
        rows.append(one)
    found["defences"]["rows"] = rows
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        page = tmp_path_factory.mktemp("page") / "page.html"
        page.write_text(render(crowded()), encoding="utf-8")
        opened.open(page.as_uri())
        yield opened


def shown(browser: Browser, width: int) -> dict[str, Any]:
    browser.size(width)
    # Only a chart that has been drawn is drawn again at another width.
    browser.value("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    browser.wait(f"'unnamed' in {PLOT}.dataset && {PLOT}.querySelector('svg.main-svg').clientWidth <= {width}")
    return browser.value(NAMES)


def over(one: list[float], other: list[float]) -> bool:
    """Whether two boxes share more than their edges."""
    return min(one[2], other[2]) - max(one[0], other[0]) > 1 and min(one[3], other[3]) - max(one[1], other[1]) > 2


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_no_name_lies_over_another_or_is_cut_at_the_plot_s_edge(browser: Browser, width: int) -> None:
    found = shown(browser, width)
    names = found["names"]
    pairs = [(a, b) for n, (a, one) in enumerate(names) for b, other in names[n + 1 :] if over(one, other)]
    assert not pairs
    assert len(names) + found["hidden"] == len(ARMS)
    assert {"none", "kl=1"} <= {name for name, _ in names}, "those that a reader looks for first"
    left, right = found["inside"][0], found["inside"][2]
    assert all(left - 2 <= box[0] and box[2] <= right + 2 for _, box in names)
    assert browser.errors == []


def test_what_a_phone_has_no_room_for_a_wide_page_shows(browser: Browser) -> None:
    phone, wide = shown(browser, 390), shown(browser, 1280)
    assert phone["hidden"] > 0 and len(wide["names"]) > len(phone["names"])
    assert "names" in browser.value("document.body.textContent") and wide["hidden"] == 0
