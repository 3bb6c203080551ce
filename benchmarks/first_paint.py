"""How soon pages of the app stand on the screen: first paint, and the first answer shown, of a run of 10,000 answers.

    python -m benchmarks.first_paint [--answers 10000] [--repeats 5]

Headless Chromium opens the app as it is served, by the clock from the click on: `first-contentful-paint` as the browser
reports it, and when what the page is for (a list's first answer) is in the page. Cold is with nothing in the browser's
cache; what else runs on the machine counts too, so its load is printed beside.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.app.browser import CHROMIUM, Browser
from tests.app.conftest import TOKEN, made_run, many, serving

PAGES = {"overview": "/", "answers": "/answers", "one answer": "/answers/0/answers/2"}
TARGET = 1.0
SHOWN = {"answers": ".row:not(.empty)", "one answer": "#answer"}
"""What a person waits for, where it is more than the page itself."""

WATCH = """
const look = () => {{
  if (!window.shown && document.querySelector({what!r})?.textContent.trim()) window.shown = performance.now();
}};
new MutationObserver(look).observe(document, {{childList: true, subtree: true, characterData: true}});
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@contextmanager
def entered(address: str) -> Iterator[Browser]:
    """A browser with a profile of its own that was let in by the token."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Browser(Path(folder)) as browser:
        browser.open(f"{address}/?token={TOKEN}", "document.readyState === 'complete'")
        yield browser


def seconds(browser: Browser, address: str, page: str, cold: bool) -> tuple[float, float]:
    """First paint of a page, and when what it is for was there."""
    if cold:
        browser.send("Network.clearBrowserCache")
    what = SHOWN.get(page, "body")
    told = browser.send("Page.addScriptToEvaluateOnNewDocument", source=WATCH.format(what=what))
    browser.open(address + PAGES[page], f"{PAINT} && window.shown")
    browser.send("Page.removeScriptToEvaluateOnNewDocument", identifier=told["identifier"])
    return browser.value(PAINT) / 1000, browser.value("window.shown") / 1000


def main(given: list[str] | None = None) -> None:
    """Print a line a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(given)
    if CHROMIUM is None:
        raise SystemExit("no chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, serving(made_run(Path(folder) / "run", *many(options.answers))) as at:
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(options.repeats):
            with entered(at) as browser:
                for kind in ("cold", "warm"):
                    for page in PAGES:
                        found.setdefault((page, kind), []).append(seconds(browser, at, page, kind == "cold"))
    load = ", ".join(f"{one:.0f}" for one in os.getloadavg())
    print(f"{options.answers:,} answers, {options.repeats} times, {os.cpu_count()} cores, load {load}")
    for (page, kind), times in found.items():
        paint, shown = ([one[place] for one in times] for place in (0, 1))
        met = "met" if median(paint) < TARGET else "missed"
        print(
            f"  {page:12} {kind}: first paint {median(paint):.2f} s ({min(paint):.2f} to {max(paint):.2f}; target "
            f"{TARGET:g} s: {met}), shown after {median(shown):.2f} s ({min(shown):.2f} to {max(shown):.2f})"
        )


if __name__ == "__main__":
    main()
