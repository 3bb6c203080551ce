from __future__ import annotations

import json
from typing import Any

import pytest
from tests.report.example import findings, results, without_judge
from tests.report.html_tree import Tree

from misdirection.studies.audit.results import AuditResults
from misdirection.studies.page import render


@pytest.fixture(scope="session")
def full() -> dict[str, Any]:
    return findings()


@pytest.fixture(scope="session")
def audited() -> AuditResults:
    """The same as the object that sections are made from."""
    return results()


@pytest.fixture(scope="session")
def full_page(full: dict[str, Any]) -> str:
    return render(full)


@pytest.fixture(scope="session")
def full_tree(full_page: str) -> Tree:
    return Tree(full_page)


@pytest.fixture(scope="session")
def drift_page() -> str:
    return render(without_judge())


@pytest.fixture(scope="session")
def charts(full_tree: Tree) -> dict[str, Any]:
    """The chart specs as the browser will read them, by id."""
    return {a["data-chart"]: json.loads(text) for a, text in full_tree.scripts if a.get("type") == "application/json"}
