"""Who may talk to the app: this machine's browser, with the token of this start, from our own pages.

A page of the open web can send requests to loopback too, and a name that it owns can be made to mean 127.0.0.1 (DNS
rebinding). So every request must name us as its host, come from our own origin where it says where it comes from, and
bring the token: once in the address that the terminal printed, from then on as a cookie that no other site's request
carries. What we answer may load scripts and styles of ours alone, and stands in nobody's frame.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""What our pages may do; scripts cannot even turn text into markup."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

LARGEST = 2**20
"""Bytes of a request's body."""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


class Guard:
    """ASGI middleware in front of the app.

    Args:
        app: What is guarded.
        token: Of this start.
        port: Where the app listens.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token, self.port = app, token, port
        self.cookie = f"misdirection-{port}"
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, let in, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self._refusal(scope) or self._entrance(scope) or self.app
        await answer(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is not listened to, None where it is."""
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self.hosts:
            return PlainTextResponse("This app answers to 127.0.0.1 alone.", 403)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin.lower().removeprefix("http://") not in self.hosts:
            return PlainTextResponse("Requests of other origins are refused.", 403)
        arrives = scope["method"] == "GET" and self._has_token(scope)
        if site not in ("none", "same-origin") and not (arrives and headers.get("sec-fetch-mode") == "navigate"):
            return PlainTextResponse("Requests of other sites are refused.", 403)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > LARGEST:
            return PlainTextResponse(f"A request holds at most {LARGEST:,} bytes.", 413)
        return None

    def _entrance(self, scope: Scope) -> Response | None:
        """What is said to those who have no cookie yet; None for those who have it."""
        if scope["method"] == "GET" and self._has_token(scope):
            return self._let_in(scope)
        if secrets.compare_digest(_cookies(scope).get(self.cookie, "").encode(), self.token.encode()):
            return None
        return HTMLResponse(_page("Open the address that the terminal printed: it holds the token of this start."), 401)

    def _has_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _let_in(self, scope: Scope) -> Response:
        """Give the cookie, and go on from a page of ours: a redirect would count as the other site's request."""
        asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        rest = urlencode([(name, value) for name, held in asked.items() if name != "token" for value in held])
        # One slash alone: two would name a host.
        place = "/" + str(scope["path"]).lstrip("/") + (f"?{rest}" if rest else "")
        answer = HTMLResponse(_page("Opening the app.", place))
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _cookies(scope: Scope) -> dict[str, str]:
    held: Any = SimpleCookie()
    try:
        held.load(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in held.items()}


def _page(said: str, onward: str = "") -> str:
    from markupsafe import escape

    place = escape(onward)
    head = '<meta charset="utf-8"><title>misdirection</title><link rel="icon" href="data:,">'
    if onward:
        head += f'<meta http-equiv="refresh" content="0;url={place}">'
        said += f' <a href="{place}">Go on</a>'
    body = f"<main><h1>misdirection</h1><p>{said}</p></main>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
