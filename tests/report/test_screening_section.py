"""The section on screening: its table, its charts, and that nothing of the data is read as HTML."""

from __future__ import annotations

from typing import Any

from tests.report.html_tree import Tree

from misdirection.studies.page import render
from misdirection.studies.screening import report as screening

HOSTILE = '<script>document.body.innerHTML = ""</script>'


def rate(value: float) -> dict[str, Any]:
    ends = {"low": max(0.0, value - 0.05), "high": value + 0.05}
    return {"misaligned": int(100 * value), "n": 100, "value": value, **ends, "denominator": "all", "method": "m"} | {
        "by_seed": [value, value]
    }


def arm(name: str, em: float, **extra: Any) -> dict[str, Any]:
    held = {what: rate(v) for what, v in (("misaligned", em), ("good", 0.8), ("coherent", 0.95))}
    return {"name": name, "does": HOSTILE, "open": dict(held), "domains": dict(held), **extra}


def part(known: int | None = 40) -> dict[str, Any]:
    told = {"precision": 0.7, "recall": 0.9, "auc": 0.95, "found": 35, "dropped": 50, "bad": 40, "rows": 100}
    latents = arm("latents", 0.02, choices=[{"agreement": told if known else None}])
    latents["open"]["reduction"] = {"value": 0.8, "low": 0.6, "high": 0.9, "method": "m"}
    scores = {
        "method": "latents", "edges": [0.0, 1.0, 2.0], "counts": {"good": [60, 0], "bad": [10, 30]}, "threshold": 1.0,
        "unscored": 2,
    }  # fmt: skip
    row = {"row": 7, "score": 2.5, "bad": True, "question": HOSTILE, "answer": "a & b", "kind": "bad-law"}
    return {
        "base": {"open": arm("base", 0.0)["open"], "domains": arm("base", 0.0)["domains"]},
        "methods": [arm("unfiltered", 0.1), latents], "rows": 100, "known_bad": known, "dropped": 50, "seeds": 2,
        "steps": 9, "preset": "rank1", "scores": [scores], "top": [{"method": "latents", "rows": [row]}], "paper": {},
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    verdict = {"state": "finding", "sentence": "s", "details": []}
    return render({"kind": "screening", "title": "t", "verdict": verdict, "screening": found, "settings": {}})


def test_rates_reductions_and_agreement_stand_in_the_page() -> None:
    made = screening.section({"screening": part()})
    assert made is not None
    text = page(part())
    for said in ("80\u00a0%", "[60.0,\u00a090.0]", "90.0\u00a0%", "0.950", "35 of 50", "by seed: 10.0\u00a0%", "row 7"):
        assert said in text, said
    assert "40.0\u00a0% of all rows are bad" in text and "2 rows have no score" in text


def test_without_known_rows_there_is_no_agreement() -> None:
    assert "AUC of the scores" not in page(part(None)) and "AUC of the scores" in page(part())
    assert screening.section({}) is None and screening.section({"screening": {"methods": []}}) is None


def test_data_is_never_read_as_html() -> None:
    text = page(part())
    assert HOSTILE not in text and "&lt;script&gt;document" in text
    assert not [body for _, body in Tree(text).scripts if body.startswith("document.body")]
