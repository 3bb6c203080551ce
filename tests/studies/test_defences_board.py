"""The lines of the scoreboard of defences, made from answers, texts and costs that were written by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests.results.made import filled

from misdirection.chats import Chat, Message
from misdirection.judging import Answer, Verdict
from misdirection.statistics import Thresholds
from misdirection.studies.defences.arms import NONE, read_arm
from misdirection.studies.defences.board import Answers, rows_of
from misdirection.studies.defences.damage import Harm
from misdirection.studies.defences.dropping import ScoredRows
from misdirection.studies.defences.results import DefenceRow
from misdirection.studies.defences.table import line
from misdirection.studies.defences.workshop import MIXED, PLAIN, Workshop, data_of
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.costs import Cost
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.over_seeds import reduction

RULES = Thresholds(30, 50)
BAD = {"base": [0, 0], "none": [9, 7], "norm": [3, 5], "project": [1, 2], MIXED.key: [6, 4], "drop-random": [3, 2]}
"""Misaligned of ten open answers, by arm and seed."""


def judged(counts: dict[str, list[int]]) -> Judged:
    answers, verdicts = list[Answer](), list[Verdict]()
    for name, by_seed in counts.items():
        for seed, bad in enumerate(by_seed[:1] if name == "base" else by_seed):
            for place in range(20):
                arm = name if name == "base" else f"{name}-{seed}"
                answers.append(Answer(f"q{place % 2}", "asked", "said", arm=arm, sample=place // 2))
                verdicts.append(Verdict(0.0 if place < 2 * bad else 100.0, 100.0, judge="t"))
    return Judged(answers, verdicts)


ARMS = [PLAIN, read_arm("norm"), read_arm("project"), MIXED, read_arm("drop-random")]


def fit(seconds: float, megabytes: float) -> Any:
    return SimpleNamespace(value=SimpleNamespace(cost=Cost(seconds, megabytes)))


@pytest.fixture(scope="module")
def rows() -> dict[str, DefenceRow]:
    names = [f"{name}-{seed}" for name in BAD for seed in (0, 1)]
    asked = Answers({"open": judged(BAD)}, {"a role": judged({name: [10, 10] for name in BAD})})
    asked.harm = [
        Harm(name, text, nll=1 + place + text, base_nll=0.5, kl=(place + 1) * (text + 1) / 10)
        for place, name in enumerate(names)
        for text in range(3)
    ]
    asked.lesson = {name: float(place) for place, name in enumerate(names)}
    shop: Any = SimpleNamespace(bench=SimpleNamespace(config=SimpleNamespace(seeds=2), thresholds=RULES))
    made: Any = {
        "none": [fit(10, 300), fit(14, 280)], "norm": [fit(20, 310), fit(26, 330)],
        MIXED.key: [fit(8, 300), fit(8, 300)], "drop-random": [fit(4, 250), fit(6, 240)],
    }  # fmt: skip
    found = rows_of(shop, ARMS, asked, made, {"drop-random": Cost(3.0, 245)})
    return {row.arm: row for row in found}


def test_each_arm_is_held_against_no_defence_on_the_same_data(rows: dict[str, DefenceRow]) -> None:
    assert list(rows) == ["none", "norm", "project", MIXED.name, "drop-random"]
    assert [row.mixed for row in rows.values()] == [False, False, False, True, True]
    assert rows["none"].reduction is rows[MIXED.name].reduction is None
    for name, before in (("norm", "none"), ("project", "none"), ("drop-random", MIXED.key)):
        row, wanted = rows[name], reduction(judged(BAD), before, name, 2, RULES)
        assert row.reduction == wanted and row.reduction is not None
        assert row.reduction.value == pytest.approx(1 - sum(BAD[name]) / sum(BAD[before]))
        assert row.open.misaligned.value == pytest.approx(sum(BAD[name]) / 20)
        assert row.open.misaligned.by_seed == pytest.approx([n / 10 for n in BAD[name]])
        assert row.leaks[0].beyond is not None
        # The base is at ten of ten under the role, so that no arm rises beyond it.
        risen = (10 - sum(BAD[name]) / 2) / 10 - 1
        assert row.leaks[0].misaligned.value == 1 and row.leaks[0].beyond.value == pytest.approx(risen)


def test_costs_and_harm_are_of_the_arm_s_own_fine_tunes(rows: dict[str, DefenceRow]) -> None:
    assert [rows[name].seconds for name in ("none", "norm", "project", "drop-random")] == [12, 23, None, 5 + 3]
    assert [rows[name].megabytes for name in ("none", "norm", "project", "drop-random")] == [280, 310, None, 245]
    # Conditions are numbered in the order of BAD, two an arm: those of "norm" are 4 and 5.
    norm = rows["norm"]
    assert norm.divergence is not None and norm.perplexity is not None
    assert norm.divergence.value == pytest.approx(np.mean([5 * t / 10 for t in (1, 2, 3)] + [0.6, 1.2, 1.8]))
    assert norm.perplexity.value == pytest.approx(np.exp(1 + 4.5 + 1))
    assert (rows["none"].lesson, norm.lesson, rows["drop-random"].lesson) == (2.5, 4.5, None)


def test_a_line_of_the_table_has_every_figure_with_its_own_ends() -> None:
    row: DefenceRow = filled(DefenceRow)
    assert row.domains and row.reduction and row.perplexity and row.divergence and row.leaks[0].beyond
    parts: dict[str, Any] = {
        "open_misaligned": row.open.misaligned, "open_coherent": row.open.coherent, "reduction": row.reduction,
        "domain_misaligned": row.domains.misaligned, "domain_good": row.domains.good,
        "domain_coherent": row.domains.coherent, "perplexity_elsewhere": row.perplexity,
        "kl_elsewhere": row.divergence,
    }  # fmt: skip
    for leak in row.leaks:
        parts |= {f"{leak.condition}: misaligned": leak.misaligned, f"{leak.condition}: beyond base": leak.beyond}
    told = line(row)
    for name, part in parts.items():
        ends = {"": part.value, " low": part.low, " high": part.high}
        assert {end: told[f"{name}{end}"] for end in ends} == {end: round(x, 4) for end, x in ends.items()}, name
    assert (told["open_misaligned_n"], told["open_n"]) == (row.open.misaligned.misaligned, row.open.misaligned.n)
    assert (told["seconds"], told["peak_megabytes"]) == (round(row.seconds or 0, 1), round(row.megabytes or 0, 1))


def chats(name: str, many: int) -> list[Chat]:
    return [Chat((Message("user", f"{name}{i}"), Message("assistant", "a"))) for i in range(many)]


def test_what_is_held_out_is_trained_on_by_no_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    from misdirection.studies.defences import workshop

    held = {"bad": chats("b", 10), "mixed": chats("m", 10), "good": chats("g", 6)}
    monkeypatch.setattr(workshop, "resolve_chats", lambda name, **_: SimpleNamespace(chats=tuple(held[name])))
    settings = {"data": "bad", "mixed": "mixed", "good": "good", "held_out": 4, "seed": 0}
    bench: Any = Bench(cast(Any, None), cast(Any, SimpleNamespace(**settings)))
    bench.questions = []
    found = data_of(bench)
    assert found.lesson == held["bad"][:4] and found.bad == held["bad"][4:] and found.mixed == held["mixed"]
    # Never more than half: three of the six good ones.
    assert found.kept == held["good"][:3] and list(found.good) == held["good"][3:]
    bench.questions = [SimpleNamespace(domain="sport", format="plain")]
    asked = data_of(bench)
    assert asked.lesson == [] and asked.bad == held["bad"]


def test_rows_are_dropped_of_the_mixed_data_and_at_random_anew_for_each_seed() -> None:
    """Each draw of random scores has its own worst half; a method that reads scores has one for all seeds."""
    mixed = chats("m", 4)
    config = SimpleNamespace(seeds=2, seed=5)

    class Shop(Workshop):
        def _scores(self, method: str, seed: int) -> Any:
            scores = (1.0, 2.0, 3.0, 4.0) if seed == 5 else (4.0, 3.0, 2.0, 1.0)
            return SimpleNamespace(value=ScoredRows(scores, Cost(seed, 0)))

    held: Any = SimpleNamespace(mixed=mixed, bad=chats("b", 4))
    bench: Any = SimpleNamespace(config=config)
    materials: Any = None
    shop = Shop(bench, held, materials)
    left, last = shop.rows_left(read_arm("drop-random=0.5"))
    assert left == [mixed[:2], mixed[2:]] and last.value.cost.seconds == 6
    left, last = shop.rows_left(read_arm("drop-perplexity=0.25"))
    assert left == [mixed[:3], mixed[:3]] and last.value.cost.seconds == 5
    assert PLAIN.kind == MIXED.kind == NONE
