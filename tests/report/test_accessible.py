"""Reports in the browser as axe-core sees them, printed, and taken as pictures: of every study, light and dark."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.browser import CHROMIUM, Browser
from tests.axe import grave
from tests.report.example import findings
from tests.results.made import made

from misdirection.studies.page import render
from misdirection.studies.registry import studies

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
TYPED = sorted(name for name, study in studies().items() if study.results is not None)
DRAWN = "[...document.querySelectorAll('.plot')].every((plot) => 'ready' in plot.dataset)"
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => (one.open = true)); scrollTo(0, 0)"
SIZED = "[...document.querySelectorAll('.plot svg.main-svg, table')]"
INKS = "[...document.querySelectorAll('.xtick text, .ytick text')].map((text) => getComputedStyle(text).fill)"


@pytest.fixture(scope="module")
def audit_page() -> str:
    """An audit of few answers: each of their cards takes time, and they are alike."""
    return render(findings(samples=3))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def show(browser: Browser, html: str, place: Path, width: int, dark: bool) -> None:
    """Open the page with all its charts drawn and all its tables shown."""
    page = place / "page.html"
    page.write_text(html, encoding="utf-8")
    browser.size(width)
    browser.dark(dark)
    browser.open(page.as_uri())
    draw(browser)
    browser.value(OPEN_ALL)


def draw(browser: Browser) -> None:
    """Printing draws the charts that were not in sight."""
    browser.value("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    browser.wait(DRAWN)


def test_an_audit_s_report_has_no_grave_fault(browser: Browser, audit_page: str, tmp_path: Path) -> None:
    for width, dark in ((1280, False), (390, True)):
        show(browser, audit_page, tmp_path, width, dark)
        assert grave(browser) == []
        assert browser.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPED)
def test_no_study_s_report_has_a_grave_fault(browser: Browser, kind: str, tmp_path: Path) -> None:
    html = render(made(studies()[kind].results, kind).to_json())
    for width, dark in itertools.product((1280, 390), (False, True)):
        show(browser, html, tmp_path, width, dark)
        assert grave(browser) == [], (width, dark)
    assert browser.errors == []


def test_charts_are_taken_as_pictures_with_their_words(browser: Browser, audit_page: str, tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    show(browser, audit_page, tmp_path, 1280, True)
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    names = browser.value("[...document.querySelectorAll('[data-svg]')].map((button) => button.dataset.svg)")
    assert len(names) >= 8
    # Chromium takes ten files of a page without a gesture of its user.
    for name in names[:9]:
        browser.value(f"document.querySelector('[data-svg={name}]').click()")
        root = ET.parse(come(browser, folder / f"{name.removeprefix('chart-')}.svg")).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        title = browser.value(f"document.getElementById('{name}').layout.xaxis.title?.text || ''")
        assert title in "".join(root.itertext())
        assert "rgb(20, 23, 27)" in ET.tostring(root, encoding="unicode"), "its ground is that of its inks"


def come(browser: Browser, file: Path) -> Path:
    """A file that the browser is writing, once it is there."""
    for _ in range(1200):
        if file.is_file() and file.stat().st_size:
            return file
        browser.value("new Promise((done) => setTimeout(done, 50))")
    raise AssertionError(f"{file.name} never came: {browser.value('document.documentElement.dataset.errors')}")


def test_on_paper_ink_is_dark_and_no_table_is_cut(browser: Browser, audit_page: str, tmp_path: Path) -> None:
    show(browser, audit_page, tmp_path, 1280, True)
    assert set(browser.value(INKS)) == {"rgb(231, 234, 238)"}
    browser.value("dispatchEvent(new Event('beforeprint'))")
    browser.wait(DRAWN)
    assert set(browser.value(INKS)) == {"rgb(0, 0, 0)"}
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.size(717)
    assert browser.value(f"{SIZED}.filter((one) => one.getBoundingClientRect().right > 717).length") == 0
    assert browser.value(f"Math.max(...{SIZED}.map((one) => one.matches('svg') ? one.clientHeight : 0))") == 700
    browser.send("Emulation.setEmulatedMedia", media="")
    browser.value("dispatchEvent(new Event('afterprint'))")
    browser.dark(True)
    draw(browser)
    assert set(browser.value(INKS)) == {"rgb(231, 234, 238)"}
    assert browser.errors == []
