from __future__ import annotations

from pathlib import Path

import pytest
from tests.judging.test_table import ROWS, csv_of

from misdirection.errors import MisdirectionError
from misdirection.judging.readers import READERS, read_judged
from misdirection.judging.table import load_table


def test_a_table_is_read_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "Arm.CSV"
    path.write_text(csv_of(ROWS))
    wanted = load_table(path, arm="a", domain="medical", system="be brief")
    assert read_judged(path, arm="a", domain="medical", system="be brief") == wanted
    assert wanted[0][0].system == "be brief" and wanted[0][0].domain == "medical"


def test_an_ending_that_nobody_reads(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match=r"unknown kind of table '\.xlsx'") as caught:
        read_judged(tmp_path / "a.xlsx")
    assert all(ending in str(caught.value.hint) for ending in READERS)
