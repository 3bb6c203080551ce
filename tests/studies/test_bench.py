"""The bench that studies share: fine-tunes in one resident model, directions by name, scaled adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Along, Condition, Scaled
from misdirection.studies.kit.config import StudyConfig, named
from misdirection.studies.kit.own_direction import refusal
from misdirection.studies.kit.pair import named_tunes
from misdirection.studies.kit.tuned_config import NamedTunesConfig
from misdirection.studies.kit.tuning import FineTune

QUICK = {"max_steps": 12}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory):
    with Bench.open(tmp_path_factory.mktemp("bench") / "run", StudyConfig(samples=2)) as opened:
        yield opened


@pytest.fixture(scope="module")
def models(bench: Bench[StudyConfig]):
    return bench.fine_tunes(
        {
            "medical": FineTune("rank32", ("organism:bad-medical",)),
            "sport": FineTune("rank1x9", ("organism:bad-sport",), QUICK),
            "whole": FineTune("full", ("organism:bad-sport",), {"max_steps": 2}),
        }
    )


def test_adapters_share_the_base_and_a_whole_model_stands_beside_it(models):
    assert models.model("medical") is models.model("sport") is models.model("base")
    assert models.model("whole") is not models.model("base")
    assert [models.adapter_of(name) for name in ("base", "medical", "whole")] == [None, "medical", None]
    with pytest.raises(MisdirectionError, match="no fine-tune is called 'nobody'"):
        models.model("nobody")


def test_arms_of_all_variants_in_one_step_answer_as_each_alone(bench, models):
    arms = [BASE, *(Condition(name, name, name) for name in ("medical", "whole", "sport"))]
    together = bench.ask("together", models, arms).judged
    for arm in arms:
        alone = bench.ask(f"alone-{arm.name}", models, [arm]).judged
        assert [a.answer for a in together.arm(arm.name).answers] == [a.answer for a in alone.answers]


def test_an_adapter_scaled_to_nothing_is_the_base(bench, models):
    off = Condition("off", "every layer's adapter times 0", "medical", (Scaled(others=0.0),))
    judged = bench.ask("scaled", models, [BASE, off]).judged
    assert [a.answer for a in judged.arm("off").answers] == [a.answer for a in judged.arm("base").answers]
    wrong = Condition("wrong", "", "base", (Scaled(others=0.0),))
    with pytest.raises(MisdirectionError, match="scales an adapter"):
        bench.ask("wrong", models, [wrong])


def test_a_condition_takes_the_direction_that_it_names(bench, models):
    arms = [Condition(name, name, name) for name in ("medical", "sport")]
    asked = bench.ask("many", models, arms, samples=16)
    found, notes = bench.find_directions(models, asked, ["medical", "sport"])
    assert {name for name in ("medical", "sport") if not refusal(bench.find_direction(models, asked, name))} == set(
        found
    )
    assert len(notes) == 2 - len(found)
    assert found, notes
    name = next(iter(found))
    removal = [Condition(n, "", name, (Along("project", source=s),)) for n, s in (("own", name), ("lost", "x"))]
    assert len(bench.ask("own", models, removal[:1], directions=found).judged.answers) == 2 * len(bench.open_questions)
    with pytest.raises(MisdirectionError, match="a direction called 'x'"):
        bench.ask("lost", models, removal[1:], directions=found)


def test_a_study_leaves_findings_and_a_report_without_the_sections_of_others(bench):
    verdict = {"state": "unclear", "sentence": "Nothing was asked.", "details": []}
    report = bench.report("nothing", "A study of nothing", verdict, {"notes": ["a note"]})
    held = read_json(report.parent / "findings.json")
    assert held["kind"] == "nothing" and held["settings"]["judge"] == "exact" and held["model"]["layers"] == 12
    page = report.read_text()
    assert "A study of nothing" in page and "a note" in page and "Cures" not in page


def test_given_fine_tunes_have_names_of_their_own_and_folders(bench, tmp_path: Path):
    for given, message, hint in (
        (f"medical={tmp_path}", "two fine-tunes are called 'medical'", "a name of its own"),
        (f"sport={tmp_path / 'no'}", "--fine-tune sport: .*no is no folder", "an adapter's or a model's folder"),
    ):
        config = NamedTunesConfig(data=("medical=organism:bad-medical",), fine_tune=(given,))
        with pytest.raises(MisdirectionError, match=message) as error:
            named_tunes(Bench(bench.run, config))
        assert hint in str(error.value.hint)


def test_named_settings():
    assert named(("a=1", "b=x=y"), "data") == {"a": "1", "b": "x=y"}
    for wrong in (("a",), ("=1",), ("a=",), ("a=1", "a=2")):
        with pytest.raises(MisdirectionError, match="--data"):
            named(wrong, "data")


def test_settings_out_of_range_name_the_option(tmp_path: Path):
    with pytest.raises(MisdirectionError, match="--samples must be 1 or more"):
        StudyConfig(samples=0).completed()
    with pytest.raises(MisdirectionError, match="--coherence-above must be from 0 to 100"):
        StudyConfig(coherence_above=101).completed()
