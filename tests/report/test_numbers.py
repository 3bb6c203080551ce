from __future__ import annotations

import math

import pytest

from misdirection.report.numbers import (
    bounds,
    decimal,
    known,
    number,
    p_value,
    percent,
    rate_cell,
    rate_text,
    seconds,
    setting,
    shorten,
)

RATE = {"misaligned": 9, "n": 80, "value": 0.1125, "low": 0.06, "high": 0.2, "denominator": "coherent"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1125, "11.2\u00a0%"),
        (0.0, "0.0\u00a0%"),
        (1.0, "100.0\u00a0%"),
        (-0.04, "\u22124.0\u00a0%"),
        (None, "\u2013"),
    ],
)
def test_percent(value, shown):
    assert percent(value) == shown


def test_a_share_that_rounds_to_zero_has_no_sign():
    assert percent(-0.0001) == "0.0\u00a0%"
    assert decimal(-0.001) == "0.00"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_show_as_a_dash(value):
    assert not known(value)
    assert percent(value) == number(value) == decimal(value) == p_value(value) == seconds(value) == "\u2013"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7049, "7\u00a0049"), (-3, "\u22123"), (2.0, "2"), (0.123456, "0.123"), (-0.5, "\u22120.5"), (12345.6, "12346"),
        (None, "\u2013"), (True, "True"), ("x", "x"),
    ],
)  # fmt: skip
def test_number(value, shown):
    assert number(value) == shown


def test_a_rate_names_interval_counts_and_denominator():
    assert rate_text(RATE) == "11.2\u00a0% [6.0,\u00a020.0] (9 of 80) of coherent answers"
    cell = rate_cell(RATE)
    assert (cell.text, cell.sub) == ("11.2\u00a0%", "[6.0,\u00a020.0], 9\u00a0of\u00a080")


def test_a_rate_without_bounds_shows_none():
    assert bounds({"value": 0.1, "low": None, "high": 0.2}) == ""
    assert rate_text(RATE | {"low": None}) == "11.2\u00a0% (9 of 80) of coherent answers"
    assert rate_text(None) == rate_cell(None).text == "\u2013"


def test_p_values():
    assert [p_value(p) for p in (0.0, 0.0009, 0.001, 0.62)] == ["< 0.001", "< 0.001", "0.001", "0.620"]


def test_settings():
    assert setting({"a": 1.0, "b": [True, None]}) == "a: 1, b: yes, none"
    assert setting(2e-05) == "2e-05"
    assert setting("as it is") == "as it is"


def test_seconds():
    assert seconds(59.94) == "59.9\u00a0s"
    assert seconds(274.2) == "4\u00a0min 34\u00a0s"


def test_shorten():
    assert shorten("a\n b", 10) == "a b"
    assert shorten("abcdefgh", 5) == "abcd\u2026"
    assert len(shorten("x" * 50, 20)) == 20


def test_layers_of_a_deep_model_can_be_read_on_their_axis() -> None:
    """Thirty numbers side by side on a chart half a page wide were a smear."""
    from misdirection.report.charts import layer_axis

    assert [layer_axis(count)["dtick"] for count in (12, 16, 30, 48, 80, 126)] == [1, 1, 2, 5, 5, 10]
