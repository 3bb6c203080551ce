"""The section on screening: its table, its charts, and that nothing of the data is read as HTML."""

from __future__ import annotations

from dataclasses import replace

from tests.report.html_tree import Tree
from tests.results.made import made

from misdirection.report.numbers import NBSP
from misdirection.results import RateRow, Reduction
from misdirection.screening.choosing import DropAgreement
from misdirection.studies.page import render
from misdirection.studies.screening.results import Bin, DropChoice, Histogram, Screening, ScreeningResults, TopRow

HOSTILE = '<script>document.body.innerHTML = ""</script>'


def results(known: int | None = 40) -> ScreeningResults:
    """Forty of a hundred rows are bad, or nothing is known of them."""
    whole: ScreeningResults = made(ScreeningResults, "screening")
    part: Screening = whole.screening
    open_ = part.base.open
    rates = (replace(open_.misaligned, value=value, by_seed=(value, value)) for value in (0.1, 0.02))
    agreement = DropAgreement(rows=100, bad=40, dropped=50, found=35, precision=0.7, recall=0.9, auc=0.95)
    choice = DropChoice(method="", rows=100, dropped=50, kept=50, unscored=2, agreement=agreement if known else None)
    first, second = (
        replace(arm, open=replace(open_, misaligned=rate), does=HOSTILE)
        for arm, rate in zip(part.methods, rates, strict=True)
    )
    bins = ((0.0, 70, 10), (1.0, 30, 30))
    part = replace(
        part,
        methods=(
            replace(first, name="unfiltered", reduction=None, choices=()),
            replace(second, name="latents", reduction=Reduction(value=0.8, low=0.6, high=0.9, method="m"),
                    choices=(choice,)),
        ),
        rows=100,
        known_bad=known,
        scores=(
            Histogram(
                method="latents", unscored=2, threshold=1.0,
                bins=tuple(Bin(low=x, high=x + 1, rows=n, bad=bad if known else None) for x, n, bad in bins),
            ),
        ),
        top=(
            replace(
                part.top[0],
                rows=(TopRow(row=7, score=2.5, bad=True, kind="bad-law", question=HOSTILE, answer="a & b"),),
            ),
        ),
    )  # fmt: skip
    return replace(whole, screening=part)


def page(known: int | None = 40) -> str:
    return render(results(known).to_json()).replace(NBSP, " ")


def test_rates_reductions_and_agreement_stand_in_the_page() -> None:
    text = page()
    for said in ("80 %", "[60.0, 90.0]", "90.0 %", "0.950", "35 of 50", "by seed: 10.0 %, 10.0 %", "row 7"):
        assert said in text, said
    assert "40.0 % of all rows are bad" in text and "2 rows have no score" in text
    assert '"good rows"' in text and "[0.25,0.75]" in text.replace(", ", ",")


def test_without_known_rows_there_is_no_agreement() -> None:
    assert "AUC of the scores" in page() and "AUC of the scores" not in page(None)
    assert '"good rows"' not in page(None) and "[0.7,0.3]" in page(None).replace(", ", ",")


def test_an_arm_without_a_domain_has_dashes() -> None:
    whole = results()
    rate: RateRow = whole.screening.methods[0].open.misaligned
    assert f"{rate.misaligned} of {rate.n}" in page()
    part = whole.screening
    alone = replace(
        whole,
        screening=replace(
            part,
            base=replace(part.base, domains=None),
            methods=tuple(replace(arm, domains=None) for arm in part.methods),
        ),
    )
    assert "Bad in the domains" in page() and "Bad in the domains" not in render(alone.to_json())


def test_data_is_never_read_as_html() -> None:
    text = page()
    assert HOSTILE not in text and "&lt;script&gt;document" in text
    assert not [body for _, body in Tree(text).scripts if body.startswith("document.body")]
