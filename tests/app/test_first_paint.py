"""The benchmark of the app's first paint finds a time for every page; which, it does not say here."""

from __future__ import annotations

import pytest
from benchmarks import first_paint
from tests.app.browser import CHROMIUM


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_every_page_is_painted_cold_and_warm(capsys: pytest.CaptureFixture[str]) -> None:
    first_paint.main(["--answers", "30", "--repeats", "1"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("30 answers, 1 times")
    assert [tuple(line.split(":")[0].rsplit(maxsplit=1)) for line in lines] == [
        (f"  {page}", kind) for kind in ("cold", "warm") for page in first_paint.PAGES
    ]
