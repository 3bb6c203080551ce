"""The pages as a person has them in a browser: read, filtered, moved through by keys, narrow and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.conftest import serving

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
ROWS = "[...document.querySelectorAll('.row:not(.empty)')]"


@pytest.fixture(scope="module")
def app(large: Path):
    with serving(large) as address:
        yield address


def test_a_list_of_ten_thousand_holds_few_rows_and_reaches_the_last(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers", f"{ROWS}.length > 5 && document.querySelector('.space')")
    assert browser.value(PAINTED) is not None
    assert browser.value("document.getElementById('count').textContent") == "10,000 answers"
    assert browser.value("document.querySelectorAll('.row').length") < 60
    browser.value("document.getElementById('list').scrollTop = 1e9")
    browser.wait(f"{ROWS}.some((row) => row.textContent.includes('answer 09999'))")
    assert browser.value("document.querySelectorAll('.row').length") < 60
    browser.value("document.getElementById('list').scrollTop = 300 * 118")
    browser.wait(f"{ROWS}.some((row) => row.textContent.includes('answer 00302'))")
    assert browser.errors == []


def test_words_filter_as_they_are_typed_and_stay_in_the_address(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers", "document.querySelector('.space')")
    browser.press("/")
    assert browser.value("document.activeElement.name") == "text"
    browser.write("answer 01234")
    browser.wait("document.getElementById('count').textContent === '1 answers'")
    assert browser.value("location.search") == "?text=answer+01234"
    browser.open(f"{app}/answers?text=nothing+like+it", "document.querySelector('.nothing')")
    assert browser.errors == []


def test_by_keys_alone_one_moves_opens_reads_on_and_comes_back(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers?arm=tuned", "document.querySelector('.space')")
    browser.value("document.getElementById('list').focus()")
    browser.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp")
    assert browser.value("document.activeElement.dataset.place") == "1"
    browser.press("End")
    browser.wait("document.activeElement.textContent.includes('answer 09999')")
    browser.press("Enter")
    browser.wait("document.body.dataset.page === 'answer' && document.readyState === 'complete'")
    assert "answer 09999" in browser.value("document.getElementById('answer').textContent")
    browser.press("ArrowLeft")
    browser.wait("document.getElementById('answer')?.textContent.includes('answer 09997')")
    assert browser.value("document.querySelector('.steps a').search") == "?arm=tuned"
    assert browser.errors == []


def test_hostile_words_stay_words(app: str, browse) -> None:
    browser = browse(app)
    for page in ("/answers", "/answers/0/answers/0"):
        browser.open(f"{app}{page}", "document.body.innerText.includes('onerror=alert(1)')")
        assert browser.value("document.documentElement.dataset.hacked") is None
        assert browser.value("document.images.length") == 0
    # Even a script of the page's own cannot make markup of a text.
    told = browser.value(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made' } catch (e) { return e.name } })()"
    )
    assert told == "TypeError"


@pytest.mark.parametrize("page", ["/", "/answers", "/answers/0/answers/2"])
def test_narrow_and_dark_everything_fits(app: str, browse, page: str) -> None:
    browser = browse(app)
    browser.size(390, 844)
    browser.dark()
    browser.open(f"{app}{page}", "document.readyState === 'complete'")
    assert not browser.too_wide
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(20, 23, 27)"
    assert browser.errors == []


def test_every_page_has_one_heading_and_names_for_its_fields(app: str, browse) -> None:
    browser = browse(app)
    for page in ("/", "/answers", "/answers/0/answers/2"):
        browser.open(f"{app}{page}", "document.readyState === 'complete'")
        assert browser.value("document.querySelectorAll('h1').length") == 1
        unnamed = (
            "[...document.querySelectorAll('input,select,textarea,button')].filter((one) => "
            "!(one.labels?.length || one.ariaLabel || one.textContent.trim())).length"
        )
        assert browser.value(unnamed) == 0
    assert browser.errors == []
