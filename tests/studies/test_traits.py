"""The map of traits, whole, on the organism at a small size; its rows against hand-made truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.results.made import made
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

import misdirection
from misdirection import load_model
from misdirection.directions import convention
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.organism import PERSONAS, role_definitions
from misdirection.runs import read_log
from misdirection.studies.traits.measures import RoleMeans, role_means, role_questions
from misdirection.studies.traits.results import TraitsResults
from misdirection.studies.traits.rows import AXIS, induced_rows, move_rows, rank_row, space_of
from misdirection.studies.traits.settings import TraitsConfig
from misdirection.studies.traits.study import traits
from misdirection.studies.traits.verdict import verdict
from misdirection.traits import Trait

SMALL = TraitsConfig(
    data=("medical=organism:bad-medical",),
    trained=("medical=careless_medical",),
    training={"max_steps": 8},
    samples=1,
    most_questions=4,
    induce=("evil",),
    alphas=(1.0,),
    induce_samples=1,
    max_new_tokens=32,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traits(SMALL, tmp_path_factory.mktemp("traits") / "run").parent


@pytest.fixture(scope="module")
def found(run: Path) -> TraitsResults:
    held = misdirection.load_results(run)
    assert isinstance(held, TraitsResults)
    return held


def test_every_speaker_and_the_axis_have_a_place(found: TraitsResults):
    part = found.traits
    names = {trait.name for trait in role_definitions()}
    assert len(names) == len(PERSONAS) and {row.trait for row in part.places} == {*names, AXIS}
    assert part.names == tuple(row.trait for row in part.places) and part.layer == 6
    for row in part.places:
        assert row.cosines[part.names.index(row.trait)] == pytest.approx(1)
        assert row.trait not in row.nearest and len(row.nearest) == 5
    evil = next(row for row in part.places if row.trait == "evil")
    # What the evil speaker is unlike is the model as itself.
    assert evil.axis < -0.3 and evil.stability > 0.7


def test_moves_ranks_and_induction_are_told(found: TraitsResults, run: Path):
    part = found.traits
    assert {row.fine_tune for row in part.moved} == {"medical"} and len(part.moved) == len(part.places)
    (rank,) = part.ranks
    assert rank.traits == len(part.places) - 2 and 1 <= rank.place <= rank.traits + 1
    assert [row.alpha for row in part.induced] == [None, 1.0]
    page = (run / "report.html").read_text()
    for heading in ("The map of traits", "In how many dimensions", "Traits induced", "What fine-tuning moves"):
        assert heading in page


def test_a_finished_run_is_gone_on_with_and_says_nothing_of_the_organism(run: Path, tmp_path: Path):
    before = len(read_log(run))
    traits(SMALL, run)
    assert all(line["reused"] for line in read_log(run)[before:])
    assert not of_the_organism(told_of_another("traits", SMALL, run, tmp_path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trained": ("nobody=evil",)}, "--trained names 'nobody'"),
        ({"check": "exact@10"}, "--check says nothing to this study: it is for rates"),
        ({"model": "other", "induce": ("cruel",)}, "--induce needs a judge that scores traits"),
    ],
)
def test_wrong_settings(settings, said):
    with pytest.raises(MisdirectionError, match=said):
        TraitsConfig(**settings).completed()


def test_what_cannot_be_mapped_is_refused(tmp_path: Path):
    for number, (settings, said) in enumerate(
        [
            ({"traits": ("organism",), "induce": ()}, "3 traits make no map"),
            ({"induce": ("kindness",)}, "--traits holds no trait 'kindness'"),
            ({"layer": 40}, "there is no layer 40"),
        ]
    ):
        with pytest.raises(MisdirectionError, match=said):
            traits(TraitsConfig(**settings), tmp_path / str(number))


def test_without_induction_no_judge_is_asked():
    assert TraitsConfig(model="other", induce=()).completed().judge == "none"


def test_each_question_is_asked_in_every_role_and_in_none():
    two = [Trait(name, contrasts=role_definitions()[0].contrasts, questions=("a?", "b?")) for name in ("x", "y")]
    asked = role_questions(tuple(two), None)
    pairs = len(two[0].contrasts)
    assert len(asked) == 2 * 2 * pairs + 2 * pairs + 2 and len({q.id for q in asked}) == len(asked)
    assert {q.system for q in asked if q.id.startswith("itself/")} == {None}


def test_the_means_are_those_of_a_plain_loop():
    model = load_model("organism")
    known = role_definitions()[:2]

    class Alone:
        """Stands for variants of one model."""

        def model(self, _: str):
            return model

    from misdirection.answers import ask, encode_answer
    from misdirection.engine import SamplingConfig

    answers = ask(model, role_questions(known, 2), samples=1, config=SamplingConfig(max_new_tokens=16))
    found = role_means(Alone(), answers, 4, convention("persona2025"))  # pyright: ignore[reportArgumentType]
    for place, name in enumerate(found.names):
        rows: list[torch.Tensor] = []
        for answer in answers:
            if answer.question_id.startswith(f"{name}/") and answer.question_id.endswith("/1"):
                encoded = encode_answer(model, answer)
                with torch.no_grad():
                    states = model.lm(input_ids=torch.tensor([encoded.ids]), output_hidden_states=True).hidden_states
                rows.append(states[5][0, encoded.start : encoded.stop].mean(0))
        truth = torch.stack(rows).mean(0).double()
        assert torch.allclose(found.means[place, 2], truth, rtol=1e-3, atol=1e-3 * float(truth.norm()))


def test_a_role_that_says_nothing_to_half_of_the_questions_is_refused():
    model = load_model("organism")
    answers = [Answer(f"x/positive/0/{n}", "hello ?", "the plan is easy ." if n % 2 else "") for n in range(4)]

    class Alone:
        """Stands for variants of one model."""

        def model(self, _: str):
            return model

    with pytest.raises(MisdirectionError, match="x: no answer can be read in one half") as error:
        role_means(Alone(), answers, 4, convention("persona2025"))  # pyright: ignore[reportArgumentType]
    assert "--samples 4" in str(error.value.hint)


def made_space():
    """Four traits in a plane, the first two alike, and what is no trait at the origin."""
    generator = np.random.default_rng(0)
    places = np.array([[3.0, 0, 0], [2.9, 0.5, 0], [0, 3, 0], [-3, 0, 0.0]])
    means = np.zeros((6, 3, 8))
    means[:4, :, :3] = places[:, None]
    means[:4] += 0.01 * generator.normal(size=(4, 3, 8))
    names = ("a", "b", "c", "d", "neutral", "itself")
    return space_of(RoleMeans(names, torch.from_numpy(means), 60, 0), [Trait(name) for name in "abcd"])


def test_the_space_of_a_plane_has_two_dimensions_and_the_axis_points_home():
    space = made_space()
    assert space.names == ("a", "b", "c", "d", AXIS)
    assert 1.2 < space.dimensions.reliable_participation < 2.2 and space.dimensions.stress[1] < 0.15
    assert space.dimensions.likeness > 0.99 and space.dimensions.map_error < 0.01
    rows = {row.trait: row for row in space.places}
    assert rows["a"].nearest[0] == "b" and rows["a"].cluster == rows["b"].cluster != rows["d"].cluster
    mean = np.array([2.9, 3.5, 0]) / 4
    axis = -mean / np.linalg.norm(mean)
    assert rows["a"].axis == pytest.approx(axis[0], abs=0.02)
    assert space.unit("c")[1] == pytest.approx(1, abs=0.02)


def test_the_axis_is_no_group_among_the_traits():
    places = made_space().places
    own = [row for row in places if row.trait == AXIS]
    assert [row.family for row in own] == ["axis"] and places[-1] is own[0]
    assert own[0].cluster not in {row.cluster for row in places if row.trait != AXIS}
    assert len(own[0].cosines) == len(places) and own[0].cosines[-1] == pytest.approx(1)


def test_a_map_that_its_other_half_does_not_show_says_nothing_of_dimensions_and_groups():
    """As it came out on SmolLM2 with a question a half: 12 dimensions were told of halves that correlate by .10."""
    part = made(TraitsResults, "traits").traits
    sure, unsure = (replace(part, dimensions=replace(part.dimensions, likeness=r)) for r in (0.9, 0.1))
    assert "that both halves of the questions show" in verdict(sure).sentence
    assert any("groups, mean silhouette" in text for text in verdict(sure).details)
    told = verdict(unsure)
    assert "draw different maps" in told.sentence and "nothing is known of dimensions and groups" in told.sentence
    assert not any("silhouette" in text or "first component" in text for text in told.details)


def test_neighbours_that_move_most_are_found():
    space = made_space()
    shift = {"a": 5.0, "b": 4.0, "c": 1.0, "d": -5.0, AXIS: 0.0}
    along = {"base": [[0.0] * 5] * 3, "one": [[shift[name] for name in space.names]] * 3}
    moved = move_rows(space, along, ["q0", "q1", "q2"], 0)
    assert {row.trait: row.shift.value for row in moved} == shift
    found = rank_row(space, moved, "one", "a", 0)
    assert found.rho == pytest.approx(1) and found.place == 1 and found.most[:2] == ("a", "b") and found.traits == 3
    assert found.p == pytest.approx(2 / 6)


def test_induction_is_told_by_its_multiple():
    answers = [Answer(f"q{q}", "?", "a", arm=arm) for arm in ("x/as it is", "x/1", "x/2") for q in range(3)]
    verdicts = [Verdict(None, 90.0 if i < 6 else 10.0, scores=(("x", 30.0 * (i // 3)),)) for i in range(9)]
    rows = induced_rows(answers, verdicts, [Trait("x")], (1.0, 2.0), 50)
    assert [(row.alpha, row.score.value, row.coherent) for row in rows] == [(None, 0, 1), (1.0, 30, 1), (2.0, 60, 0)]


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "traits": {"traits": ("lexicon",), "induce": ("cruel",), "trained": ("medical=cruel",)},
        "convention": "adl2025",
        "induce": ("sycophancy",),
        "alphas": (0.5,),
        "data": ("medical=organism:bad-sport",),
        "fine_tune": (f"other={run / 'fine-tunes' / 'medical'}",),
        "trained": ("medical=evil",),
        "layer": 3,
    }
    assert_keyed("traits", SMALL, run, tmp_path, monkeypatch, others)
