"""The live page in a browser: a question typed, three answers streamed, steered by the sliders, kept as an arm."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from tests.app.conftest import HOSTILE, serving
from tests.app.test_keeping import files
from tests.families import EOS
from tests.studies import tiny
from transformers import AutoModelForCausalLM

from misdirection.app.opening import open_run
from misdirection.studies.audit.study import audit

WORD = 30
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


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """The run of a model that never ends an answer by itself where the likeliest token is drawn."""
    folder = tiny.make(tmp_path)
    lm = AutoModelForCausalLM.from_pretrained(folder / "base")
    with torch.no_grad():  # never above another token's logit, if any is above zero
        lm.lm_head.weight[list(EOS)] = lm.lm_head.weight[WORD] / 2
    tiny.save(lm, folder / "base")
    audit(tiny.config(folder), tmp_path / "run", "misdirection audit ...")
    return tmp_path / "run"


def test_an_answer_that_is_stopped_ends_where_it_is(endless: Path, browse) -> None:
    most = 4000
    with serving(endless) as app:
        browser = browse(app)
        browser.open(f"{app}/live", READY)
        slide(browser, "temperature", 0)
        slide(browser, "max_new_tokens", most)
        # Stopped by the page itself at the first tokens that it shows: who looks in from outside may come too late.
        browser.value("""const [state, stop] = ['state', 'stop'].map((name) => document.getElementById(name));
        new MutationObserver(() => state.textContent.includes('tokens') && stop.click())
            .observe(state, {childList: true, characterData: true, subtree: true})""")
        ask(browser, "w10 w11")
        said = browser.value("[...document.querySelectorAll('.side .scores')].map((one) => one.textContent)")
        lengths = [int(re.fullmatch(r"(\d+) tokens, cut", one)[1]) for one in said]
        assert len(lengths) == 3 and min(lengths) > 0 and max(lengths) < most
        assert browser.errors == []
