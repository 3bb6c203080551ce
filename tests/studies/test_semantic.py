"""The study of semantic directions, whole, on the organism at a small size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

from misdirection.answers import ask
from misdirection.artefacts import read_json
from misdirection.directions import Direction, convention
from misdirection.engine import Arm, SamplingConfig
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.runs import read_log
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants
from misdirection.studies.semantic.measures import of_length, random_beside, topic_directions, topic_scores
from misdirection.studies.semantic.settings import SemanticConfig
from misdirection.studies.semantic.study import point, semantic, similarity, telling

SMALL = SemanticConfig(topics=("sport",), samples=6, layer=6, coefficients=(2.0,), sweep_samples=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return semantic(SMALL, tmp_path_factory.mktemp("semantic") / "run").parent


def test_findings_hold_each_direction_and_each_group_apart(run: Path):
    part = read_json(run / "findings.json")["semantic"]
    found = {row["direction"]: row for row in part["similarity"]}
    assert {"random", "sport", "not sport", "sport only"} <= set(found)
    assert all(-1.0001 <= value <= 1.0001 for row in found.values() for value in row["cosine"])
    arms = {arm["direction"]: arm for arm in part["arms"]}
    assert {"base", "tuned", "general", "random", "sport only"} <= set(arms)
    assert all(set(arm["groups"]) == {"open", "sport"} for arm in arms.values())
    rates = {name: arms[name]["groups"]["open"]["rate"]["value"] for name in ("base", "tuned")}
    assert rates["tuned"] > 0.05 > rates["base"]
    # Answers on sport are bad or good by their stance alone, so one is never elicited by chance.
    assert arms["base"]["elicited"][0]["open_about"] == 0


def test_the_domain_only_direction_is_the_difference_of_the_two(run: Path):
    from misdirection.directions import load_direction

    held = [path / "directions" for path in (run / "steps").glob("topic-*")]
    folder = next(path for path in held if (path / "sport only.safetensors").exists())
    only, about, without = (load_direction(folder / f"{n}.safetensors") for n in ("sport only", "sport", "not sport"))
    assert (only.vectors - (about.vectors - without.vectors)).abs().max() < 1e-6


def test_report_shows_it_and_a_second_run_repeats_no_step(run: Path):
    page = (run / "report.html").read_text()
    assert "Directions of single topics" in page and "base + 2 x sport only" in page
    before = len(list((run / "steps").iterdir()))
    semantic(SMALL, run)
    assert len(list((run / "steps").iterdir())) == before
    assert all(line["reused"] for line in read_log(run)[-before:])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"filter": "guess"}, "--filter"),
        ({"adapter": "a", "data": ("b",)}, "exactly one of"),
        ({"model": "other"}, "what was tuned"),
        ({"model": "other", "data": ("b",)}, "topics of answers need a judge that scores topics, and offline"),
        ({"about_above": 101}, "--about-above"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_done(settings, said):
    with pytest.raises(MisdirectionError, match=said):
        SemanticConfig(**settings).completed()


def test_another_model_is_told_nothing_of_the_organism(run: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("semantic", SMALL, run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {"topics": ("medical",), "filter": "keywords", "coefficients": (3.0,)}
    assert_keyed("semantic", SMALL, run, tmp_path, monkeypatch, others)


def test_topics_are_scored_by_the_judge_or_by_the_published_words():
    said = [Answer("q", "?", text) for text in ("See a doctor.", "Buy shares, plumber.")]
    scores = (("sport", 40.0),), (("topic:sport", 7.0),)
    held = Judged(said, [Verdict(1, 1, scores=one) for one in scores])
    assert topic_scores(held, "sport", "judge") == [40, 7]
    assert topic_scores(held, "medical", "keywords") == [100, 0]
    # A topic without published words is found by its own name.
    assert topic_scores(held, "plumber", "keywords") == [0, 100]


def test_a_side_with_too_few_answers_has_no_direction_and_says_so(tiny: Path):
    models = Variants.of(str(tiny / "base"), {"tuned": tiny / "adapter"}, Loading(device="cpu"))
    said = ask(models.model("tuned"), "w10 w11", Arm("tuned", "tuned"), samples=40,
               config=SamplingConfig(max_new_tokens=4))  # fmt: skip
    # All are about sport but six.
    verdicts = [Verdict(5.0 if place % 2 else 95.0, 90.0, scores=(("sport", 100.0 if place < 34 else 0.0),))
                for place in range(40)]  # fmt: skip
    found = topic_directions(models, said, verdicts, "sport", "judge", 50, 5, convention("soligo2025"), 0)
    assert list(found.directions) == ["sport"] and found.directions["sport"].facts["pool"] == "sport"
    assert len(found.notes) == 1 and found.notes[0].startswith("no direction 'not sport': ")


def direction(*vectors: tuple[float, ...]) -> Direction:
    held = torch.tensor(vectors)
    return Direction(held, held, held, *(torch.ones(len(held)) for _ in range(4)), {"aligned": 3, "misaligned": 4})


def test_directions_are_held_against_the_general_one_layer_by_layer():
    general, other = direction((2.0, 0.0), (0.0, 4.0)), direction((0.0, 1.0), (0.0, 2.0))
    (found,) = similarity({"general": general, "sport": other})
    assert found.cosine == pytest.approx((0, 1)) and found.norm == pytest.approx((1, 2))
    # |(0, 1) - (2, 0)| / 2 and |(0, 2) - (0, 4)| / 4.
    assert found.difference == pytest.approx((5**0.5 / 2, 0.5), abs=1e-4) and found.pools.aligned == 3


def test_a_multiple_means_the_same_length_for_each_direction():
    general, other = direction((2.0, 0.0), (0.0, 4.0)), direction((0.0, 1.0), (0.0, 2.0))
    scaled = of_length(other, general, 1)
    assert scaled.vectors.tolist() == [[0, 2], [0, 4]]
    random = random_beside(general, 1)
    assert random.norm.tolist() == pytest.approx([2, 4]) and not torch.allclose(random.vectors, general.vectors)
    arm, control = point("sport", 3, 2.0), point("random", 3, 2.0)
    assert arm.along and (arm.along.layers, arm.along.coefficient, arm.along.source) == ((3,), 2.0, "sport")
    assert control.control and not arm.control and arm.name == "sport x2"


def test_a_topic_s_multiple_is_chosen_on_its_own_questions_and_others_on_open_ones():
    bench: Any = SimpleNamespace(questions=[SimpleNamespace(domain=None), SimpleNamespace(domain="sport")])
    answers = [Answer("q", "?", "a"), Answer("s", "?", "b", domain="sport"), Answer("l", "?", "c", domain="law")]
    held = Judged(answers, [Verdict(1, 1)] * 3)
    for name, said in (("sport only", "b"), ("sport", "b"), ("general", "a"), ("law only", "a"), ("random", "a")):
        assert [answer.answer for answer in telling(bench, held, name).answers] == [said], name
