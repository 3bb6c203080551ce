"""Tokens that a server tells by their bytes: a number spelled so is a number, and half of a character is none."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest

from misdirection.judging.replies import parse_reply, plain_token


def reply(top: Mapping[str, float], first: str, *more: str) -> bytes:
    likeliest = [{"token": token, "logprob": math.log(chance)} for token, chance in top.items()]
    steps = [{"token": first, "logprob": -0.1, "top_logprobs": likeliest}]
    steps += [{"token": token, "logprob": -0.1, "top_logprobs": []} for token in more]
    message = {"role": "assistant", "content": "85"}
    return json.dumps(
        {"choices": [{"message": message, "finish_reason": "stop", "logprobs": {"content": steps}}]}
    ).encode()


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("bytes:\\x38", "8"),
        ("bytes:\\x38\\x35", "85"),
        ("bytes: \\x38\\x35", " 85"),
        ("bytes:8\\x35", "85"),
        ("bytes:\\xe2\\x82\\xac", "\u20ac"),
        ("bytes:\\xe2\\x82", "bytes:\\xe2\\x82"),
        ("<0x38>", "8"),
        ("<0x0A>", "\n"),
        ("<0xE2>", "<0xE2>"),
        ("bytes", "bytes"),
        ("bytes:85", "bytes:85"),
        ("\u2581" + "85", " 85"),
        ("85", "85"),
    ],
)
def test_bytes_are_the_text_that_they_are(token: str, text: str) -> None:
    assert plain_token(token) == text


def test_a_number_that_is_told_by_its_bytes_is_the_score() -> None:
    spelled = {"bytes:\\x38\\x35": 0.6, "bytes:\\x32\\x30": 0.2, "bytes:\\xf0\\x9f": 0.1}
    found = parse_reply(reply(spelled, "bytes:\\x38\\x35"))
    assert found is not None
    read = found.read()
    assert (read.outcome, read.score) == ("scored", pytest.approx((0.6 * 85 + 0.2 * 20) / 0.8))
    assert read.mass == pytest.approx(0.8)


def test_one_digit_told_by_its_byte_may_be_the_beginning_of_a_number() -> None:
    found = parse_reply(reply({"bytes:\\x38": 0.9}, "bytes:\\x38", "bytes:\\x35"))
    assert found is not None and found.one_digit_only and found.cut_number == "85"
    read = found.read()
    assert (read.outcome, read.score) == ("parsed", 85.0)
