"""How long a judge waits before it asks again: what the server says, and what is tried where it says nothing."""

from __future__ import annotations

import time

import pytest
from tests.judging.kept import answers, judge
from tests.judging.server import serving

from misdirection.judging.retries import Patience, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 0), ({"retry-after": "3"}, 3), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250"}, 0.25),
     ({"retry-after": "soon"}, 0),
     ({"retry-after": "-4"}, 0), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0)],
)  # fmt: skip
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1445412450.0)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == pytest.approx(30)


def test_retry_after_is_honoured() -> None:
    with serving(faults=0.9, kinds=["429-after"]) as server:
        patience = Patience(attempts=100, first_wait=0.0, longest_wait=0.0)
        start = time.monotonic()
        judge(server.url, patience=patience, in_flight=1).judge(answers(2))
        assert time.monotonic() - start >= 0.02 * server.seen["faulted"]["429-after"] > 0


@pytest.mark.parametrize("tries", [1, 2, 5, 50])
def test_waits_grow_up_to_a_limit_and_vary(tries: int) -> None:
    waits = {Patience().wait(tries) for _ in range(50)}
    most = min(30.0, 0.5 * 2 ** (tries - 1))
    assert all(most / 2 <= wait <= most for wait in waits)
    assert len(waits) > 40
