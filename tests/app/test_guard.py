"""Who is let in: our host, our origin, the token; and what every page is allowed to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.app.conftest import PORT, TOKEN

from misdirection.app.guard import LARGEST
from misdirection.app.opening import open_run
from misdirection.app.site import build

PAGES = ("/", "/answers", "/api/answers", "/answers/0/answers/0", "/runs/0/report", "/static/app.js", "/nothing")
OURS = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def site(large: Path):
    return build([open_run(large)], TOKEN, PORT)


@pytest.fixture
def stranger(site) -> TestClient:
    return TestClient(site, base_url=OURS, follow_redirects=False)


@pytest.fixture
def friend(site) -> TestClient:
    asking = TestClient(site, base_url=OURS, follow_redirects=False)
    asking.get("/", params={"token": TOKEN})
    return asking


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_shown_without_the_token(stranger: TestClient, page: str) -> None:
    for answer in (stranger.get(page), stranger.get(page, params={"token": "wrong"}), stranger.post(page)):
        assert answer.status_code == 401
        assert "question number" not in answer.text and "terminal" in answer.text


def test_the_token_becomes_a_cookie_that_no_other_site_sends_and_leaves_the_address(stranger: TestClient) -> None:
    answer = stranger.get("/answers", params={"token": TOKEN, "arm": "tuned", "text": "a b"})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 200
    assert "httponly" in cookie and "samesite=strict" in cookie and str(PORT) in cookie
    assert TOKEN not in answer.text and "/answers?arm=tuned&amp;text=a+b" in answer.text
    assert stranger.get("/answers").status_code == 200


def test_a_way_on_never_leads_to_another_host(stranger: TestClient) -> None:
    answer = stranger.get(f"{OURS}//evil.example/x?token={TOKEN}")
    assert 'url=/evil.example/x"' in answer.text


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", "[::1]:8642", ""])
def test_other_hosts_are_refused_even_with_the_token(friend: TestClient, host: str) -> None:
    for page in PAGES:
        assert friend.get(page, headers={"host": host}).status_code == 403


def test_localhost_is_a_name_of_ours(friend: TestClient) -> None:
    cookie = {"cookie": f"misdirection-{PORT}={TOKEN}"}
    assert friend.get("/", headers={"host": f"localhost:{PORT}", **cookie}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": "http://127.0.0.1:9000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_other_origins_and_sites_are_refused_even_with_the_cookie(friend: TestClient, headers: dict[str, str]) -> None:
    for page in PAGES:
        assert friend.get(page, headers=headers).status_code == 403
        assert friend.post(page, headers=headers).status_code == 403


def test_a_link_with_the_token_may_stand_elsewhere_and_nothing_else_may(stranger: TestClient) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert stranger.get("/", params={"token": TOKEN}, headers=link).status_code == 200
    script = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert stranger.get("/", params={"token": TOKEN}, headers=script).status_code == 403
    assert stranger.post("/", params={"token": TOKEN}, headers=link).status_code == 403


def test_our_own_pages_are_listened_to(friend: TestClient) -> None:
    headers = {"origin": OURS, "sec-fetch-site": "same-origin"}
    assert friend.get("/api/answers", headers=headers).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_says_what_a_page_may_do(friend: TestClient, page: str) -> None:
    headers = friend.get(page).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "base-uri 'none'" in policy
    assert "unsafe" not in policy or "sandbox" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_large_bodies_and_bodies_of_no_length_are_refused(friend: TestClient) -> None:
    assert friend.post("/", content=b"x" * (LARGEST + 1)).status_code == 413
    assert friend.post("/", content=iter([b"x"])).status_code == 413


def test_a_cookie_that_is_none_is_no_cookie(stranger: TestClient) -> None:
    for cookie in (f"misdirection-{PORT}=", f"misdirection-{PORT}={TOKEN}x", "=;=;", f"other={TOKEN}"):
        assert stranger.get("/", headers={"cookie": cookie}).status_code == 401


def test_two_apps_at_once_keep_their_cookies_apart(large: Path) -> None:
    """Browsers send a cookie to every port of a host: each app goes by its own name."""
    tokens = {PORT: TOKEN, PORT + 1: "another token"}
    jar: dict[str, str] = {}
    asking = {
        port: TestClient(build([open_run(large)], token, port), base_url=f"http://127.0.0.1:{port}")
        for port, token in tokens.items()
    }
    for port, token in tokens.items():
        jar |= dict(asking[port].get("/", params={"token": token}).cookies)
        asking[port].cookies.clear()
    both = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    assert len(jar) == 2
    assert [one.get("/answers", headers=both).status_code for one in asking.values()] == [200, 200]


def test_no_page_describes_the_routes(friend: TestClient) -> None:
    assert {friend.get(page).status_code for page in ("/docs", "/redoc", "/openapi.json")} == {404}
