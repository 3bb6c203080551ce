"""Headless Chromium by its own protocol over a pipe: what a person sees, types and presses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 90.0
"""Seconds that a page may take on a machine that is busy with other things; nothing is asserted of it."""

KEYS = {"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Tab": 9, "End": 35, "/": 191}


class Browser:
    """One page of a browser; use as a context manager."""

    def __init__(self, profile: Path) -> None:
        there, ours = os.pipe(), os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "--window-size=1280,900", "about:blank",
        ]  # fmt: skip
        # The protocol is read from descriptor 3 and written to descriptor 4.
        line = f'exec "$0" "$@" 3<&{there[0]} 4>&{ours[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, str(CHROMIUM), *flags],
            pass_fds=(there[0], ours[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(there[0])
        os.close(ours[1])
        self._out, self._in = os.fdopen(there[1], "wb", 0), os.fdopen(ours[0], "rb", 0)
        self._held, self._count, self._session = b"", 0, None
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for room in ("Page", "Runtime", "Log"):
            self.send(f"{room}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._in.close()

    def send(self, method: str, **params: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        number = self._count
        while True:
            told = self._read()
            if told.get("id") == number:
                assert "error" not in told, told["error"]
                return told["result"]
            self._event(told)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            part = self._in.read(2**16)
            assert part, "the browser has gone"
            self._held += part
        line, _, self._held = self._held.partition(b"\0")
        return json.loads(line)

    def _event(self, told: dict[str, Any]) -> None:
        method, params = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str(params["args"]))

    def value(self, expression: str) -> Any:
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until it is true; what cannot be asked of a page yet is not."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.value(f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; {self.value('document.body.innerText')[:2000]}")

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        self.send("Page.navigate", url=address)
        self.wait(f"location.href !== 'about:blank' && ({ready})")

    def press(self, *keys: str) -> None:
        for key in keys:
            how: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
            text = {"Enter": "\r", "/": "/"}.get(key)
            self.send("Input.dispatchKeyEvent", type="keyDown", **how, **({"text": text} if text else {}))
            self.send("Input.dispatchKeyEvent", type="keyUp", **how)

    def write(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def size(self, width: int, height: int = 900) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def dark(self, on: bool = True) -> None:
        wanted = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.send("Emulation.setEmulatedMedia", features=[wanted])

    def shot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    @property
    def too_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return self.value("document.documentElement.scrollWidth > document.documentElement.clientWidth")
