from __future__ import annotations

import base64
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.said import HOSTILE

from misdirection.report.charts import plain_text
from misdirection.report.embed import clean, embed_json, script_hash


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_embedded_json_can_end_its_element(text):
    made = embed_json([clean(text)])
    assert not set(made) & set("<>&\u2028\u2029")
    assert json.loads(made) == [clean(text)]


@given(st.text())
def test_embedded_text_comes_back(text):
    held = clean(text)
    assert json.loads(embed_json({"a": [held]})) == {"a": [held]}
    assert "<" not in embed_json(held)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_five_significant_digits(value):
    back = json.loads(embed_json(value))
    assert math.isclose(back, value, rel_tol=1e-4, abs_tol=0.0) or back == value


def test_floats_that_json_lacks_become_null():
    assert embed_json([math.nan, math.inf, 1.0, 0.1 + 0.2]) == "[null,null,1,0.3]"


@given(st.text(alphabet=st.characters(codec=None)))
def test_clean_text_is_utf8_without_control_characters(text):
    held = clean(text)
    assert held.encode("utf-8").decode("utf-8") == held
    assert not any(ord(c) < 32 and c not in "\t\n\r" for c in held)


def test_clean_reaches_keys_and_nested_values():
    assert clean({"a\x00": ["\ud800", ("x\x1b",), 1, None]}) == {"a\ufffd": ["?", ["x\ufffd"], 1, None]}


def test_script_hash_is_that_of_the_policy_standard():
    # The example of the Content Security Policy specification, section on hash usage for inline scripts.
    source = "doSomething();"
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert script_hash(source) == f"'sha256-{digest}'"


def test_text_in_charts_keeps_its_tags_as_text():
    assert plain_text("<b>a</b> & &lt;") == "&lt;b&gt;a&lt;/b&gt; &amp; &amp;lt;"
