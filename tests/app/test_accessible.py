"""Every page of the app as axe-core sees it, light and dark, on a desk and on a phone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.browser import Browser
from tests.app.conftest import serving
from tests.axe import grave

DONE = "document.readyState === 'complete'"
TOLD = "!document.querySelector('[data-part] [role=status]')"
PAGES = {
    "overview": ("/", DONE),
    "answers": ("/answers", "document.querySelector('.space .row:not(.empty)')"),
    "one answer": ("/answers/0/answers/2", "!document.getElementById('look').hidden"),
    "tokens coloured": ("/answers/0/answers/2?by=direction&of=direction", "document.querySelector('.tokens span')"),
    "compare": ("/compare", "document.querySelector('#tested table, #tested .note')"),
    "directions": ("/directions", DONE),
    "a direction": ("/direction?run=0&by=direction&of=direction&layer=1", TOLD),
    "live": ("/live", "document.getElementById('words')"),
    "a fault": ("/answers/0/answers/99999", DONE),
}
QUICK = ("overview", "answers", "one answer")
"""What the default tests look at."""


@pytest.fixture(scope="module")
def app(finished: Path, large: Path) -> Iterator[str]:
    with serving(finished, large) as address:
        yield address


def look(browser: Browser, app: str, name: str, width: int, dark: bool) -> list[str]:
    path, ready = PAGES[name]
    browser.size(width)
    browser.dark(dark)
    browser.open(f"{app}{path}", f"{DONE} && {ready}")
    browser.value("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    return grave(browser)


def test_the_pages_that_are_read_most_have_no_grave_fault(app: str, browse) -> None:
    browser = browse(app)
    for name, (width, dark) in itertools.product(QUICK, ((1280, False), (390, True))):
        assert look(browser, app, name, width, dark) == [], (name, width, dark)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_grave_fault(app: str, browse, name: str) -> None:
    browser = browse(app)
    found = {(w, dark): look(browser, app, name, w, dark) for w, dark in itertools.product((1280, 390), (False, True))}
    assert not any(found.values()), found
