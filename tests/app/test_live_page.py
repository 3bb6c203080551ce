"""The live page in a browser: a question typed, three answers streamed, steered by the sliders, kept as an arm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.app.conftest import HOSTILE, serving
from tests.app.test_keeping import files

from misdirection.app.opening import open_run

READY = "document.readyState === 'complete' && document.getElementById('words')"
DONE = "document.getElementById('stop').disabled && document.querySelectorAll('.side.changed .meta').length"
SAID = "[...document.querySelectorAll('.side')].map((side) => [...side.querySelectorAll('.said')].at(-1).textContent)"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


def ask(browser, text: str, count: int = 1) -> list[str]:
    browser.value("document.getElementById('words').focus()")
    browser.write(text)
    browser.press("Enter")
    browser.wait(f"{DONE} >= {count}")
    return browser.value(SAID)


def slide(browser, name: str, value: object) -> None:
    field = f"document.querySelector('#controls [name={name}]')"
    browser.value(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def test_a_question_is_answered_by_all_steered_by_the_sliders_and_kept(copy: Path, browse) -> None:
    with serving(copy) as app:
        browser = browse(app)
        browser.open(f"{app}/live", READY)
        before = files(copy)
        slide(browser, "coefficient", 0)
        plain = ask(browser, "w10 w11")
        assert plain[0] == plain[2] and plain[0] and plain[0] != plain[1]
        slide(browser, "layer", 1)
        slide(browser, "coefficient", 9)
        assert "9 × direction, layer 1" in browser.value("document.getElementById('what').textContent")
        browser.value("document.getElementById('anew').click()")
        steered = ask(browser, "w10 w11")
        assert steered[:2] == plain[:2] and steered[2] != plain[2]
        assert browser.value("document.getElementById('keep').textContent") == "Keep 1 answer"
        browser.value("document.querySelector('[name=name]').value = 'pushed'; document.getElementById('keep').click()")
        browser.wait("document.querySelector('#kept a')")
        browser.value("document.querySelector('#kept a').click()")
        browser.wait("document.body.dataset.page === 'answers' && document.querySelectorAll('.row').length === 1")
        browser.wait("document.querySelector('.row').textContent !== '…'")
        assert steered[2] in browser.value("document.querySelector('.row').textContent")
        assert browser.errors == []
    assert {name: files(copy)[name] for name in before} == before
    assert open_run(copy).set_called("kept-pushed-answers").arms == ["pushed"]


def test_hostile_words_and_errors_stay_words_and_fit_a_phone_in_the_dark(copy: Path, browse) -> None:
    with serving(copy) as app:
        browser = browse(app)
        browser.size(390, 844)
        browser.dark()
        browser.open(f"{app}/live", READY)
        ask(browser, HOSTILE)
        assert HOSTILE in browser.value("document.querySelector('.mine').textContent")
        assert browser.value("document.documentElement.dataset.hacked") is None
        slide(browser, "coefficient", 0)
        browser.value("document.querySelector('#controls [name=name]').value = '../x'")
        browser.value("document.getElementById('keep').click()")
        browser.wait("document.getElementById('kept').textContent.includes('cannot be') || "
                     "document.getElementById('keep').disabled")  # fmt: skip
        assert not browser.too_wide
        assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        assert [error for error in browser.errors if "400" not in error] == []


def test_an_answer_that_is_stopped_ends_where_it_is(copy: Path, browse) -> None:
    with serving(copy) as app:
        browser = browse(app)
        browser.open(f"{app}/live", READY)
        slide(browser, "max_new_tokens", 400)
        browser.value("document.getElementById('words').focus()")
        browser.write("w10 w11")
        browser.press("Enter")
        browser.wait("document.getElementById('state').textContent.includes('tokens')")
        browser.value("document.getElementById('stop').click()")
        browser.wait(f"{DONE} >= 1")
        said = browser.value("[...document.querySelectorAll('.side .scores')].map((one) => parseInt(one.textContent))")
        assert len(said) == 3 and min(said) < 120
        assert browser.errors == []
