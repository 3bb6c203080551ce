"""What a run remembers: settings of its record stand for what is not given, another subject is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.families import network

from misdirection.artefacts import write_json
from misdirection.errors import MisdirectionError
from misdirection.models import number_format
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.recall import RecordedSettings, facts_of, go_on, held_in, make_one, recall, settled
from misdirection.studies.registry import studies


def kept(folder: Path, config: object, made: bool = True) -> RecordedSettings:
    """A run of `config`, with a step in it."""
    write_json(folder / "run.json", {"facts": facts_of(config, "misdirection audit --samples 7")})
    if made:
        (folder / "steps" / "answers-0").mkdir(parents=True)
        (folder / "steps" / "answers-0" / "answers.parquet").touch()
    held = held_in(folder)
    assert held is not None
    return held


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("base", "one", "two", "run", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_not_given_comes_from_the_record_and_what_changes_is_said(places: Path) -> None:
    config = AuditConfig(
        model="base", adapter="one", samples=7, coefficients=(1.0, 2.0), training={"lr": 0.1, "rank": 2}
    )
    held = kept(places / "run", config)
    assert recall(AuditConfig, held, {}) == (config, [])
    again, said = recall(AuditConfig, held, {"samples": 20, "temperature": 1.0, "training": {"lr": 0.2}})
    assert (again.samples, again.adapter, dict(again.training)) == (20, "one", {"lr": 0.2, "rank": 2})
    assert said == ["--samples is 20 now; it was 7", "--training is lr 0.2, rank 2 now; it was lr 0.1, rank 2"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "two"}, ("model base", "--model is two")),
        ({"adapter": "two"}, ("adapter one", "--adapter is two")),
        ({"tuned": "two"}, ("--adapter one", "--tuned is two")),
        ({"data": ("organism:bad-medical",)}, ("--adapter one", "--data is organism:bad-medical")),
        ({"model": "organism"}, ("model base", "--model is organism")),
    ],
)
def test_another_subject_is_refused_with_both_names(
    given: dict[str, object], told: tuple[str, str], places: Path
) -> None:
    held = kept(places / "run", AuditConfig(model="base", adapter="one"))
    with pytest.raises(MisdirectionError) as error:
        recall(AuditConfig, held, given)
    assert all(part in error.value.message for part in told), error.value.message
    assert str(places / "run") in error.value.message and "--out" in str(error.value.hint)


def test_the_same_in_another_spelling_is_the_same(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = kept(places / "run", AuditConfig(model="base", adapter="one"))
    assert recall(AuditConfig, held, {"model": "./base", "adapter": str(places / "one")})[1] == []
    # Typed elsewhere, relative names of the record still mean what they meant where it was made.
    (places / "elsewhere" / "one").mkdir()
    monkeypatch.chdir(places / "elsewhere")
    held = held_in("../run")
    assert held is not None
    config, _ = recall(AuditConfig, held, {})
    assert (config.model, config.adapter) == (str(places / "base"), str(places / "one"))
    with pytest.raises(MisdirectionError, match="--adapter is one now"):
        recall(AuditConfig, held, {"adapter": "one"})


def test_the_dear_judge_s_table_is_found_from_elsewhere_too(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "dear.csv").touch()
    kept(places / "run", AuditConfig(model="base", adapter="one", check="table:dear.csv@90"))
    monkeypatch.chdir(places / "elsewhere")
    held = held_in("../run")
    assert held is not None
    assert recall(AuditConfig, held, {})[0].check == f"table:{places / 'dear.csv'}@90"


def test_a_base_alone_may_be_given_what_was_tuned_and_several_adapters_are_no_audit(places: Path) -> None:
    held = kept(places / "run", SampleConfig(model="base"))
    assert recall(AuditConfig, held, {"adapter": "one"})[0].adapter == "one"
    held = kept(places / "elsewhere", SampleConfig(model="base", adapters=("a=one", "b=two")))
    assert recall(SampleConfig, held, {"adapters": ("a=./one", "b=two")})[1] == []
    with pytest.raises(MisdirectionError, match="run of the adapter a=one, b=two"):
        recall(SampleConfig, held, {"adapters": ("a=one",)})
    with pytest.raises(MisdirectionError, match="of another kind"):
        recall(AuditConfig, held, {})


def test_a_start_that_made_nothing_binds_nobody_and_still_remembers(places: Path) -> None:
    held = kept(places / "run", AuditConfig(model="base", adapter="one", samples=7), made=False)
    assert recall(AuditConfig, held, {})[0].adapter == "one"
    assert recall(AuditConfig, held, {"model": "two", "tuned": "one"}) == (AuditConfig(model="two", tuned="one"), [])


def test_a_run_of_another_kind_is_named_by_its_command(places: Path) -> None:
    held = kept(places / "run", studies()["narrow"].settings())
    with pytest.raises(MisdirectionError, match="made by: misdirection audit --samples 7"):
        recall(AuditConfig, held, {})
    assert go_on(places / "run") == f"misdirection study narrow --out {places / 'run'}"
    with pytest.raises(MisdirectionError):
        recall(StudyConfig, held, {})
    kept(places / "elsewhere", ImportedConfig(tables=("t.csv",)))
    assert go_on(places / "elsewhere") == f"misdirection judge {places / 'elsewhere'}"
    assert go_on(places / "base") is None


def test_the_record_of_every_study_is_completed_to_itself(places: Path) -> None:
    for name, settings in ((n, s.settings) for n, s in studies().items() if s.listed):
        completed = settings().completed()
        held = kept(places / name, completed)
        assert recall(settings, held, {})[0].completed() == completed, name


def test_a_folder_that_is_taken_is_not_advised(places: Path) -> None:
    assert make_one("run").endswith("--out run") and make_one("new").endswith("--out new")
    (places / "run" / "thesis.tex").touch()
    assert make_one("run").endswith("--out FOLDER")


def test_a_run_keeps_the_number_format_that_auto_stood_for(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network("llama").to(torch.bfloat16).save_pretrained(places / "base")
    monkeypatch.setattr(number_format, "SMALL", 0)
    monkeypatch.setattr(number_format, "has_flags", lambda: True)
    monkeypatch.setattr(number_format, "times_faster", lambda: 3.0)
    begun = settled(SampleConfig(model="base", device="cpu"), places / "run")
    assert begun.dtype == "bfloat16"
    held = kept(places / "run", begun)
    monkeypatch.setattr(number_format, "has_flags", lambda: False)  # gone on with on another machine
    assert settled(recall(SampleConfig, held, {})[0], places / "run").dtype == "bfloat16"
    assert settled(SampleConfig(model="base", device="cpu"), places / "two").dtype == "float32"
    assert settled(SampleConfig(model="base", device="cpu", dtype="float16"), places / "two").dtype == "float16"


def test_a_run_of_before_keeps_the_format_that_its_weights_are_stored_in(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network("llama").to(torch.bfloat16).save_pretrained(places / "base")
    monkeypatch.setattr(number_format, "SMALL", 0)
    held = kept(places / "run", SampleConfig(model="base", device="cpu"))
    monkeypatch.setattr(number_format, "has_flags", lambda: False)
    gone_on = settled(recall(SampleConfig, held, {})[0], places / "run")
    assert gone_on.dtype == "stored"
    assert gone_on.loading.format == Loading().format == "auto"
