"""Coloured tokens and the pages of directions and latents in a browser: read by eye, by keys and as numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.app.conftest import HOSTILE, serving

COLOURED = "document.querySelector('#answer.tokens span')"
SHADES = "[...document.querySelectorAll('#answer span')].map((one) => one.className)"
ABOUT = "document.querySelector('.context') && !document.querySelector('[data-part] [role=status]')"


@pytest.fixture(scope="module")
def app(finished: Path):
    with serving(finished) as address:
        yield address


def choose(browser, name: str, value: str) -> None:
    field = f"document.querySelector('#look [name={name}]')"
    browser.value(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('change', {{bubbles: true}}))")


def test_tokens_are_coloured_read_by_keys_as_numbers_and_put_back(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers/0/answers/2", "!document.getElementById('look').hidden")
    plain = browser.value("document.getElementById('answer').textContent")
    choose(browser, "look", "direction:direction")
    browser.wait(COLOURED)
    assert browser.value("document.getElementById('answer').textContent").split() == plain.split()
    values = browser.value("[...document.querySelectorAll('#answer span')].map((one) => one.title)")
    assert len(values) == len(browser.value(SHADES)) and any(browser.value(SHADES))
    assert "middle:" in browser.value("document.querySelector('[data-zero]').textContent")
    assert browser.value("document.querySelectorAll('.other .tokens span').length") > 0
    browser.value("document.getElementById('answer').focus()")
    browser.press("ArrowRight", "ArrowRight", "ArrowLeft")
    read = browser.value("document.querySelector('.readout').textContent")
    assert values[0] in read and f"token 1 of {len(values)}" in read
    assert browser.value("location.pathname").endswith("/answers/2"), "arrows within the tokens leave the page alone"
    browser.value("document.querySelector('[name=numbers]').click()")
    shown = browser.value("getComputedStyle(document.querySelector('#answer span'), '::after').content")
    assert values[0] in shown
    choose(browser, "layer", "1")
    browser.wait("document.querySelector('[data-what]').textContent.includes('layer 1')")
    browser.open(f"{app}/answers/0/answers/4", COLOURED)
    assert "layer 1" in browser.value("document.querySelector('[data-what]').textContent"), "the choice stays"
    choose(browser, "look", "")
    browser.wait("document.querySelectorAll('#answer span').length === 0")
    assert browser.errors == []


def test_the_scalars_of_the_adapter_can_be_chosen_among(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers/0/answers/2?by=scalar&of=tuned", COLOURED)
    assert browser.value("[...document.querySelector('[name=column]').options].map((one) => one.value)") == [
        "layer 1", "layer 2",
    ]  # fmt: skip
    choose(browser, "column", "layer 2")
    browser.wait("document.querySelector('[data-what]').textContent.includes('tuned, layer 2')")
    assert "read in tuned." in browser.value("document.querySelector('[data-what]').textContent")
    assert browser.errors == []


def test_a_direction_leads_to_contexts_and_these_to_their_answers(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/directions", "document.readyState === 'complete'")
    browser.value("document.querySelector('tbody a').click()")
    browser.wait(ABOUT)
    assert browser.value("document.querySelectorAll('.context .own').length") == browser.value(
        "document.querySelectorAll('.context').length"
    )
    peak = browser.value("document.querySelector('.context .chip').textContent")
    assert browser.value("document.querySelector('.context .own').title") == peak
    browser.value("document.querySelector('.context .tokens').focus()")
    browser.press("ArrowRight")
    assert "token 1 of" in browser.value("document.querySelector('[data-part=contexts] .readout').textContent")
    browser.value("document.querySelector('.context a').click()")
    browser.wait(COLOURED)
    assert peak in browser.value("[...document.querySelectorAll('#answer span')].map((one) => one.title)")
    assert browser.errors == []


def test_hostile_tokens_stay_words(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers/0/answers/2?by=direction&of=direction", COLOURED)
    told = browser.value(
        f"paint(document.getElementById('answer'), [{json.dumps(HOSTILE)}], [1], {{ zero: 0, top: 1, "
        "readout: document.querySelector('.readout'), label: 'answer' }); document.getElementById('answer').textContent"
    )
    browser.value("document.getElementById('answer').focus()")
    browser.press("ArrowRight")
    assert told == HOSTILE and "onerror" in browser.value("document.querySelector('.readout').textContent")
    assert browser.value("document.documentElement.dataset.hacked") is None
    assert browser.value("document.images.length") == 0


@pytest.mark.parametrize(
    ("page", "ready"),
    [
        ("/directions", "document.readyState === 'complete'"),
        ("/direction?by=direction&of=direction&layer=2", ABOUT),
        ("/answers/0/answers/2?by=direction&of=direction&layer=2", COLOURED),
    ],
)
def test_narrow_and_dark_everything_fits_and_has_a_name(app: str, browse, page: str, ready: str) -> None:
    browser = browse(app)
    browser.size(390, 844)
    browser.dark()
    browser.open(f"{app}{page}", ready)
    assert not browser.too_wide
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert browser.value("document.querySelectorAll('h1').length") == 1
    unnamed = (
        "[...document.querySelectorAll('input:not([type=hidden]),select,button')].filter((one) => "
        "!(one.labels?.length || one.ariaLabel || one.textContent.trim())).length"
    )
    assert browser.value(unnamed) == 0
    assert browser.errors == []


def test_what_cannot_be_read_is_told_on_the_page(app: str, browse) -> None:
    browser = browse(app)
    browser.open(f"{app}/answers/0/answers/2?by=direction&of=direction&layer=2", COLOURED)
    browser.value("document.querySelector('[name=layer]').append(new Option('77'))")
    choose(browser, "layer", "77")
    browser.wait("document.getElementById('looking').textContent.includes('after layer 77')")
    assert browser.value("document.querySelectorAll('#answer span').length") == 0
    assert [error for error in browser.errors if "400" not in error] == []
