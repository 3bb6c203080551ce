"""What sparse features are told as: sentences, tables and charts, from results made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.results.made import made

from misdirection.report.parts import Chart, Note
from misdirection.studies.features.report import decomposition, lists, overlap
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.decomposition import ListAgreement
from misdirection.studies.features.results.overlap import Intersection, ListLength
from misdirection.studies.features.verdict import verdict


@pytest.fixture
def results() -> FeaturesResults:
    """Two lists of 20 latents that share 9, and nothing else."""
    found = made(FeaturesResults, "features")
    part = found.latent_overlap
    shuffled = replace(part.between.pairs[0].shuffled, mean=2.25, high=5.0, n=100, p=0.02)
    pair = replace(
        part.between.pairs[0], one="data", other="answers", shared=9, expected=1.5, odds_ratio=None, p=1e-4,
        of=(20, 20), alive=400, ranks=-0.125, shuffled=shuffled,
    )  # fmt: skip
    between = replace(
        part.between, pairs=(pair,),
        lists=(ListLength(name="data", latents=20), ListLength(name="answers", latents=20)),
        intersections=(Intersection(lists=("data",), count=11), Intersection(lists=("data", "answers"), count=9)),
    )  # fmt: skip
    bare: dict[str, Any] = {"latent_decomposition": None, "latent_steering": None, "mixtures": None}
    return replace(found, **bare, latent_overlap=replace(part, between=between, domains=(), shared=(4, 5)))


def test_the_verdict_counts_what_the_lists_share(results: FeaturesResults):
    said = verdict(results)
    assert said.state == "finding"
    assert said.sentence == (
        "Of the 20 latents at the top, 9 stand in both lists: the data and the answers (1.0 by chance). Odds ratios: "
        "data and answers without end; lists of shuffled labels share 2 of their 9."
    )
    assert said.details[-1] == (
        "The data and the answers share 9 (1.5 by chance among 400 live latents, odds ratio without end, Fisher p < "
        "0.001); lists of shuffled labels share 2.2 on average, 95 % up to 5 (p = 0.02); rank correlation of all live "
        "latents -0.12."
    )
    alone = replace(results.latents, lists=results.latents.lists[:1])
    assert verdict(replace(results, latents=alone)).state == "unclear"


def test_each_list_and_the_domains_behind_it_have_a_sentence(results: FeaturesResults):
    one = replace(
        results.latents.lists[0], name="model", title="tuned against base model", significant=30, alive=400,
        significant_up=20, significant_in_list=7,
    )  # fmt: skip
    pairs = results.latent_overlap.between.pairs
    within = replace(
        made(FeaturesResults, "features").latent_overlap.domains[0], list="model",
        pairs=(pairs[0], replace(pairs[0], shared=4, ranks=0.5), replace(pairs[0], ranks=None)),
    )  # fmt: skip
    part = replace(
        results, latents=replace(results.latents, lists=(one, one)),
        latent_overlap=replace(results.latent_overlap, domains=(within,)),
    )  # fmt: skip
    said = verdict(part).details
    assert said[0] == (
        "The model (tuned against base model, 2 domains): 30 of 400 live latents differ with q < 0.05, 20 of them "
        "upwards; of the 2 at the top 7."
    )
    assert said[-1] == "Between domains, the model: lists share 4 to 9 latents, rank correlations -0.12 to +0.50."
    unknown = replace(within, pairs=(replace(pairs[0], ranks=None),))
    part = replace(part, latent_overlap=replace(part.latent_overlap, domains=(unknown,)))
    assert verdict(part).details[-1].endswith("rank correlations unknown to unknown.")


def test_the_top_of_a_list_names_the_others_that_hold_a_latent(results: FeaturesResults):
    first, second = results.latents.lists
    row = replace(first.rows[0], latent=7, q=0.2)
    first = replace(first, name="model", rows=(row, replace(row, latent=8, q=0.01)), title="tuned against base model")
    second = replace(second, name="data", rows=(replace(row, latent=8),))
    table = lists.top(first, (first, second))
    assert [[line[1].text, line[4].sub, line[-1].text] for line in table.rows] == [
        ["7", "may be chance", "–"], ["8", "", "data"],
    ]  # fmt: skip
    assert table.columns[5:7] == ("Mean, tuned", "Mean, base") and table.caption == "Tuned against base model: all 2"
    section = lists.section(replace(results, latents=replace(results.latents, lists=(first, second))))
    assert section is not None
    assert [block.caption for block in section.blocks if isinstance(block, lists.Table)][2:3] == [
        "Largest falls from base to tuned model"
    ]
    assert lists.section(replace(results, latents=replace(results.latents, lists=()))) is None


def test_lists_that_share_nothing_are_said_to(results: FeaturesResults):
    part = results.latent_overlap
    assert overlap.shared(part).text == "In two lists, by mean rank (2): 4, 5."
    nothing = overlap.shared(replace(part, shared=()))
    assert nothing.kind == "warn" and nothing.text == "No latent stands in two lists."
    upset = overlap.upset("x", "t", part.between)
    assert upset.traces[-1]["x"] == [11, 9] and upset.traces[1]["x"] == [0, 1] and upset.traces[2]["x"] == [1]
    shown = overlap.table(part.between.pairs, "caption").rows[0]
    assert [cell.text for cell in shown] == ["data and answers", "9", "∞", "2.2", "−0.12"]
    alone = replace(part, between=replace(part.between, pairs=()))
    assert overlap.section(replace(results, latent_overlap=alone)) is None


def test_directions_as_latents_beside_random_vectors(results: FeaturesResults):
    part = made(FeaturesResults, "features").latent_decomposition
    direction, other = part.rows
    omp = replace(
        direction.methods["omp"], latents=(3, 9), explained=(0.5, 0.75), coefficients=(1.0, 2.0),
        agreement=ListAgreement(overlap=0.5, chance=0.01, signs=1.0),
    )  # fmt: skip
    through = replace(direction.through, cosine=0.9, explained=0.8)
    direction = replace(
        direction, name="medical", kind="mean difference", rank=1, methods={**direction.methods, "omp": omp},
        through=through,
    )  # fmt: skip
    adapter = replace(other, name="medical: B of down_proj, layer 5", kind="B", rank=4, through=None)
    random = {name: replace(curves, mean=(0.1, 0.25)) for name, curves in part.random.items()}
    part = replace(part, rows=(direction, adapter), random=random, most=8)
    said = verdict(replace(results, latent_decomposition=part)).details[-2:]
    assert said == (
        "2 latents explain 75 % of the fine-tunes' mean-difference directions, and 25 % of random vectors.",
        "Through activations the latents account for 80 % of a direction (cosine 0.90 to 0.90); of the latents of the "
        "decomposition 50 % are among as many of the largest parts (1 % by chance), 100 % with the same sign.",
    )
    section = decomposition.section(replace(results, latent_decomposition=part))
    assert section is not None
    charts = [block.key for block in section.blocks if isinstance(block, Chart)]
    assert charts == ["decomposition-directions", "decomposition-adapters"]
    assert [block.text for block in section.blocks if isinstance(block, Note)] == list(part.notes)
    table = decomposition.table(part.rows, part, "")
    assert table.columns[1:3] == ("4 latents", "8 latents") and table.rows[0][1].text == "75\u00a0%"
    assert table.rows[0][-1].text == "3, 9" and table.rows[1][0].sub.endswith("; leading pair of 4")
    assert decomposition.section(replace(results, latent_decomposition=None)) is None
    nothing = replace(part, rows=(adapter,))
    assert not any(
        "Through activations" in text for text in verdict(replace(results, latent_decomposition=nothing)).details
    )
