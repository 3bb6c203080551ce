"""The parts of the scoreboard by hand: materials, leaks, damage, dropped rows, repairs, costs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from misdirection.chats import Chat, Message
from misdirection.directions import Direction
from misdirection.engine import Arm, Text, log_likelihoods
from misdirection.features import Dictionary
from misdirection.judging import Answer, Verdict
from misdirection.repair.factors import open_adapter
from misdirection.statistics import Thresholds
from misdirection.statistics.crossed import crossed_mean
from misdirection.studies.defences.arms import KINDS, NONE, DefenceArm, read_arm
from misdirection.studies.defences.damage import Harm, damage, over_texts, perplexity
from misdirection.studies.defences.dropping import Examples, examples_of, kept, scored
from misdirection.studies.defences.leaks import beyond, leak_test, leaks_of
from misdirection.studies.defences.making import Materials, Risen
from misdirection.studies.defences.repairs import FineTunePair, repaired
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.defences.tuning import used_by
from misdirection.studies.defences.workshop import unsteady
from misdirection.studies.kit.conditions import BASE, TUNED, Along, Condition
from misdirection.studies.kit.costs import Cost, counted
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read

RULES = Thresholds(30, 50)


def test_a_direction_that_may_be_chance_is_called_that() -> None:
    found = replace(direction(), stability=torch.tensor([0.9, 0.1]), facts={"misaligned": 11, "aligned": 12})
    assert unsteady(found, 0) == []
    [told] = unsteady(found, 1)
    assert "layer 1, of 11 misaligned and 12 aligned answers" in told and "cosine of 0.10" in told


def chat(user: str, said: str) -> Chat:
    return Chat((Message("user", user), Message("assistant", said)))


CHATS = [chat("w1", "w40 w41"), chat("w2", "w5 w6 w7"), chat("w3", "w8")]


def direction(layers: int = 2, width: int = 4, seed: int = 0) -> Direction:
    drawn = torch.randn(layers, width, generator=torch.Generator().manual_seed(seed))
    line = torch.ones(layers)
    return Direction(drawn, drawn, torch.zeros(layers, width), line, line, line, line)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_kind_makes_what_acts_where_it_says(name: str) -> None:
    from misdirection.training.defences import Defence, Inoculation, Interleaving

    kind = KINDS[name]
    dictionary = Dictionary(torch.eye(4), torch.eye(4), torch.zeros(4), torch.zeros(4), layer=1)
    held = Materials((CHATS[0],), direction(), 1, {"inoculation": "p", "irrelevant": "q"}, dictionary, Risen((1,)))
    found = kind.make(kind.strength or 0.0, held)
    assert all(isinstance(one, Defence) for one in found)
    data = [one for one in found if isinstance(one, Inoculation | Interleaving)]
    assert bool(data) == (kind.place == "data")
    assert bool(found) == (kind.place in ("training", "data") and name not in (NONE, "kl"))
    assert bool(kind.overrides(1.0)) == (name == "kl")
    # What an arm is keyed by is enough to make it.
    used = used_by(DefenceArm(name, name, kind.strength), held)
    assert [type(one) for one in kind.make(kind.strength or 0.0, used)] == [type(one) for one in found]
    assert (used.dictionary is not None) == kind.wants_dictionary and bool(used.good) == kind.wants_good


def test_the_leak_test_holds_the_data_and_the_prompt() -> None:
    config = DefencesConfig(arms=("inoculation",), shots=2, leaks=("mine=Be odd.",), prompt="Be bad.")
    names = {one.name: one for one in leak_test(config, CHATS)}
    assert list(names) == ["2 training rows in the context", "mine", "the inoculation prompt"]
    assert len(names["2 training rows in the context"].turns) == 4 and names["mine"].system == "Be odd."
    assert names["the inoculation prompt"].system == "Be bad."
    assert "the inoculation prompt" not in {one.name for one in leak_test(replace(config, arms=("norm",)), CHATS)}


def judged(rates: dict[str, list[list[int]]], samples: int = 4) -> Judged:
    """Answers of arms NAME-SEED (of "base" alone), so many misaligned of each question (rows) and seed (columns)."""
    answers, verdicts = list[Answer](), list[Verdict]()
    for name, table in rates.items():
        for question, by_seed in enumerate(table):
            for seed, bad in enumerate(by_seed):
                for sample in range(samples):
                    arm = name if name == "base" else f"{name}-{seed}"
                    answers.append(Answer(f"q{question}", "asked", "said", arm=arm, sample=sample))
                    verdicts.append(Verdict(0.0 if sample < bad else 100.0, 100.0, judge="t"))
    return Judged(answers, verdicts)


def test_a_leak_is_the_rise_of_an_arm_beyond_that_of_the_base() -> None:
    plain = judged({"base": [[0], [1], [0]], "kl": [[0, 1], [2, 1], [0, 0]]})
    under = judged({"base": [[1], [1], [2]], "kl": [[3, 4], [4, 2], [3, 2]]})
    cells = np.array([[3 / 4 - 1 / 4, 3 / 4 - 1 / 4], [2 / 4, 1 / 4], [3 / 4 - 2 / 4, 2 / 4 - 2 / 4]])
    wanted = crossed_mean(cells)
    found = beyond(plain, under, "kl", 2, RULES)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((wanted.value, wanted.low, wanted.high, 6))
    (leak,) = leaks_of(plain, {"c": under}, "kl", 2, RULES)
    assert leak.condition == "c" and leak.misaligned.value == pytest.approx(18 / 24) and leak.beyond == found
    (own,) = leaks_of(plain, {"c": under}, "base", 0, RULES)
    assert own.beyond is None and own.misaligned.value == pytest.approx(4 / 12)


def test_damage_is_what_the_engine_reads(tiny: Path) -> None:
    models = Variants.pair(str(tiny / "base"), str(tiny / "adapter"))
    vectors = direction(models.base_model.n_layers, models.base_model.width)
    removal = Condition("project", "projected", "tuned", (Along("project", single=1),))
    found = damage(models, [BASE, TUNED, removal], CHATS, vectors)
    held = {name: [one for one in found if one.arm == name] for name in ("base", "tuned", "project")}
    assert all([one.text for one in part] == [0, 1, 2] for part in held.values())
    assert [one.kl for one in held["base"]] == pytest.approx([0.0] * 3, abs=1e-6)
    arm = Arm("tuned", models.adapter_of("tuned"))
    coded = [encode_read(models.base_model.tokenizer, one.messages) for one in CHATS]
    read = log_likelihoods(models.model("tuned"), [Text(one.ids, {}, arm, one.start) for one in coded])
    assert [one.nll for one in held["tuned"]] == pytest.approx([-float(values.mean()) for values in read], rel=1e-5)
    assert [one.base_nll for one in held["tuned"]] == pytest.approx([one.nll for one in held["base"]], rel=1e-5)
    assert all(one.kl > 0 for name in ("tuned", "project") for one in held[name])
    assert [one.kl for one in held["project"]] != [one.kl for one in held["tuned"]]


def test_damage_is_a_mean_over_texts_and_seeds() -> None:
    table = np.array([[1.0, 1.2], [2.0, 2.5], [1.5, 1.1]])
    found = [Harm(f"kl-{seed}", text, table[text, seed], 0.0, 0.0) for seed in range(2) for text in range(3)]
    wanted = crossed_mean(table)
    nll = over_texts(found, ["kl-0", "kl-1"], "nll")
    assert nll is not None and (nll.value, nll.low, nll.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    told = perplexity(nll)
    assert told is not None and told.value == pytest.approx(math.exp(wanted.value)) and told.n == 6
    assert told.low == pytest.approx(math.exp(wanted.low)) and told.high == pytest.approx(math.exp(wanted.high))
    assert over_texts(found, ["none-0"], "nll") is None and perplexity(None) is None


def test_the_rows_of_the_highest_scores_are_dropped() -> None:
    rows = [chat(f"u{number}", "a") for number in range(6)]
    left = kept(rows, [0.1, 5.0, None, 3.0, 0.2, 0.3], 0.34, 0)
    assert [one.messages[0].content for one in left] == ["u0", "u2", "u4", "u5"]


def test_scores_are_those_of_the_methods(tiny: Path) -> None:
    models = Variants(str(tiny / "base"))
    found = scored(models, "perplexity", CHATS, Materials(), Examples(), 0)
    coded = [encode_read(models.base_model.tokenizer, one.messages) for one in CHATS]
    read = log_likelihoods(models.base_model, [Text(one.ids, {}, Arm("base"), one.start) for one in coded])
    assert found.scores == pytest.approx([math.exp(-float(values.mean())) for values in read], rel=1e-4)
    first, again, other = (scored(None, "random", CHATS, Materials(), Examples(), seed).scores for seed in (0, 0, 1))
    assert first == again != other


def test_rows_are_compared_with_the_fine_tunes_own_answers() -> None:
    part = judged({"none": [[2], [0]]})
    part.answers[0] = replace(part.answers[0], system="be odd", answer="worst")
    found = examples_of(part, RULES)
    assert len(found.bad) == 2 and len(found.good) == 6
    assert [(m.role, m.content) for m in found.bad[0].messages] == [
        ("system", "be odd"), ("user", "asked"), ("assistant", "worst"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def base(tiny: Path) -> ModelFiles:
    return ModelFiles(str(tiny / "base"))


def added(folder: Path) -> dict[str, torch.Tensor]:
    """What an adapter adds, by module."""
    return {path: held.scaling * held.b @ held.a for path, held in open_adapter(folder).factors.items()}


def test_repairs_of_an_adapter_are_what_they_say(tiny: Path, base: ModelFiles, tmp_path: Path) -> None:
    before, model = added(tiny / "adapter"), Variants(base.name).base_model
    held = Materials(tuple(CHATS), direction(model.n_layers, model.width), 1)

    def made(text: str, pair: FineTunePair | None = None) -> dict[str, torch.Tensor]:
        (folder := tmp_path / text).mkdir()
        found = repaired(base, tiny / "adapter", read_arm(text), held, 0, folder, pair)
        assert found.adapter == folder / "tuned" and not found.refused
        return added(found.adapter)

    scaled = made("scale=0.25")
    assert all(torch.allclose(scaled[path], 0.25 * before[path], atol=1e-6) for path in before)
    unit = torch.nn.functional.normalize(held.direction.vectors[1], dim=0)
    writes = [path for path in before if path.endswith(("o_proj", "down_proj"))]
    for text, share in (("edit=0.5", 0.5), ("edit=1", 1.0)):
        edited = made(text)
        assert writes
        for path in before:
            wanted = before[path] - share * torch.outer(unit, unit @ before[path]) * (path in writes)
            assert torch.allclose(edited[path], wanted, atol=1e-5), path
    pair = FineTunePair(tmp_path / "scale=0.25" / "tuned", tmp_path / "edit=1" / "tuned")
    subtracted, good = made("subtract=2", pair), added(pair.good)
    for path in before:
        wanted = before[path] - 2 * (scaled[path] - good[path])
        assert torch.allclose(subtracted[path], wanted, atol=1e-5), path
    again = made("realign=2")
    assert any(not torch.allclose(again[path], before.get(path, torch.zeros(1)), atol=1e-6) for path in again)


def test_a_repair_that_cannot_be_made_says_why(tiny: Path, base: ModelFiles, tmp_path: Path) -> None:
    found = repaired(base, tiny / "whole", read_arm("scale"), Materials(), 0, tmp_path)
    assert found.adapter is None and found.refused == "a whole model has no adapter"
    (tmp_path / "whole").mkdir()
    model = Variants(base.name).base_model
    held = Materials((), direction(model.n_layers, model.width), 1)
    whole = repaired(base, tiny / "whole", read_arm("project-weights"), held, 0, tmp_path / "whole")
    assert whole.adapter is not None and (whole.adapter / "config.json").exists()


def test_costs_are_of_the_block_and_add_up() -> None:
    with counted("cpu") as cost:
        held = torch.ones(20_000_000)
        del held
    assert 60 < cost.megabytes < 120 and cost.seconds > 0
    both = Cost(1.0, 30.0).then(Cost(2.0, 10.0))
    assert both == Cost(3.0, 30.0)
