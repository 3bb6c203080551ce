"""When a request to a judge's server is made again, how long to wait before it, and when to give up."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from misdirection.errors import MisdirectionError

LONGER = 10
"""How much longer than it is said to a request may take at most, where a slow server is asked one thing at a time."""

TRANSIENT_STATUS = (408, 409, 425, 429)
"""Client errors that pass; server errors (500 and above) do too."""


class JudgeError(MisdirectionError):
    """A judge cannot be asked at all."""


@dataclass(frozen=True)
class Patience:
    """How long a judge's server is borne with.

    Attributes:
        attempts: Tries of one request.
        first_wait: Seconds before the second try; doubled for each further one.
        longest_wait: Seconds that no wait of ours exceeds.
        longest_order: Seconds that a server's Retry-After may ask for; more is taken as a refusal.
        timeout: Seconds that one request may take.
        tolerated: Share of the requests that may fail for good; beyond it the judge gives up.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_order: float = 900.0
    timeout: float = 60.0
    tolerated: float = 0.01

    def wait(self, tries: int) -> float:
        """Seconds before the next try: exponential, half of it at random so that requests do not come in step."""
        whole = min(self.longest_wait, self.first_wait * 2 ** (tries - 1))
        return whole * (0.5 + 0.5 * random.random())


class Gate:
    """Holds back every request while the server has asked for quiet (Retry-After)."""

    def __init__(self) -> None:
        self._open_at = 0.0

    def close(self, seconds: float) -> None:
        """Hold requests back for so many seconds from now."""
        self._open_at = max(self._open_at, time.monotonic() + seconds)

    async def passed(self) -> None:
        """Wait until requests may go."""
        while (left := self._open_at - time.monotonic()) > 0:
            await asyncio.sleep(left)


class Room:
    """How many requests are on their way, and how long each may take: fewer and longer where a server is too slow.

    A server that is given more than it can do in time works on after the client has turned away, and is given the same
    again: nothing would ever come. By Little's law as many requests may wait as are answered within the time of one.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._longest = LONGER * seconds
        self._now = 0
        self._came: deque[float] = deque(maxlen=most)
        self._narrowed = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        """Wait until there is room for one more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._now < self.most)
            self._now += 1

    async def __aexit__(self, *fault: object) -> None:
        """One is through."""
        async with self._changed:
            self._now -= 1
            self._changed.notify()

    def came(self) -> None:
        """An answer came in time."""
        self._came.append(time.monotonic())

    def too_long(self, begun: float) -> bool:
        """Take less at a time where fewer answers came within the time of one request than are waited for.

        Args:
            begun: When the request began that took too long, by the monotonic clock.

        Returns:
            Whether it is less from now on, or longer; never twice for requests that began together.
        """
        now = time.monotonic()
        came = sum(at > now - self.seconds for at in self._came)
        if begun < self._narrowed or came >= self._now:
            return False
        self._narrowed = now
        if self.most == 1:
            self.seconds = min(2 * self.seconds, self._longest)
        self.most = max(1, min(self.most, came // 2))
        return True


def is_transient(status: int) -> bool:
    """Whether a status may pass by itself."""
    return status in TRANSIENT_STATUS or status >= 500


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, by `retry-after-ms` or `Retry-After` (seconds or a date); 0 for none."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers.get("retry-after", "0")))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return 0.0
