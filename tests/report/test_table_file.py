"""Tables of the report as files that the page carries."""

from __future__ import annotations

import base64
import csv
import io

from tests.report.example import findings
from tests.report.html_tree import Tree

from misdirection.report.embed import clean
from misdirection.report.page import build, expected
from misdirection.report.parts import Cell, Chart, Section, Table
from misdirection.report.table_file import as_csv, csv_link, file_name
from misdirection.studies.page import sections
from misdirection.studies.reading import typed

TABLE = Table(
    ("Arm", "Rate", ""),
    (
        (Cell("base"), Cell("0.6\u00a0%", "0.0 to 6.0"), Cell("\u22120.25", kind="num")),
        (Cell("=HYPERLINK(1)"), Cell("+5 %"), Cell("- a, \"b\"")),
    ),
    "Rates, by arm",
)  # fmt: skip


def test_a_table_is_written_with_its_details_in_columns_of_their_own() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(TABLE))))
    assert rows[0] == ["Arm", "Rate", "Rate, detail", "column 3"]
    assert rows[1] == ["base", "0.6 %", "0.0 to 6.0", "-0.25"]
    # Answers of a model stand in tables; a spreadsheet must not run them.
    assert rows[2] == ["'=HYPERLINK(1)", "+5 %", "", '\'- a, "b"']


def test_the_page_carries_each_table_and_each_chart_s_numbers(full_tree: Tree) -> None:
    links = [attrs for tag, attrs in full_tree.tags if tag == "a" and attrs.get("class") == "csv"]
    found = clean(findings())
    results = typed(found)
    made = [build(entry, found, results) for entry in sections() if expected(entry, found, results)]
    charts = [block for part in made if isinstance(part, Section) for block in part.blocks if isinstance(block, Chart)]
    assert charts and len(links) > len(charts)
    texts = []
    for link in links:
        head, _, body = str(link["href"]).partition(",")
        assert head == "data:text/csv;charset=utf-8;base64" and str(link["download"]).endswith(".csv")
        texts.append(base64.b64decode(body).decode())
    for chart in charts:
        assert as_csv(chart.table) in texts
        assert file_name(chart.title) in [link["download"] for link in links]


def test_names_of_files() -> None:
    assert file_name("Rates, by arm") == "rates-by-arm.csv" and file_name("?") == "table.csv"
    assert csv_link(TABLE).startswith("data:text/csv;charset=utf-8;base64,")
