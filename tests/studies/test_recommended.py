"""What a model's folder recommends: the organism's settings stay as they were, and any folder has the same say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from misdirection.artefacts import plain, read_json
from misdirection.errors import MisdirectionError
from misdirection.organism import checkpoint_path, dictionary_layers, persona_chats
from misdirection.organism.recommended import RECOMMENDED
from misdirection.screening import METHODS
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.formats.settings import FormatsConfig
from misdirection.studies.geometry.settings import GeometryConfig
from misdirection.studies.kit.config import ModelConfig, StudyConfig, option
from misdirection.studies.kit.inputs import fingerprint, resolve_chats
from misdirection.studies.kit.recall import RecordedSettings, facts_of, recall, recommended_values
from misdirection.studies.kit.recommended import GIVEN, advised, explanations, strangers
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.studies.phases.settings import PAPER_RUN, PhasesConfig
from misdirection.studies.registry import Study, studies
from misdirection.studies.screening.scoring import ScreenConfig
from misdirection.studies.screening.settings import ScreeningConfig
from misdirection.studies.semantic.settings import SemanticConfig
from misdirection.studies.traits.settings import TraitsConfig
from misdirection.training import TrainConfig, choose

BEFORE = json.loads((Path(__file__).parent / "organism_settings.json").read_text())
"""Settings of every study of the organism, and of its fine-tunes, as they were when they stood in the studies."""

SETTINGS: dict[str, Callable[..., Any]] = {
    **{name: study.settings for name, study in studies().items() if name in BEFORE["settings"]},
    "sample": SampleConfig,
    "screen": ScreenConfig,
}

LATER = {"in_context", "triggers", "personas", "traits", "separation", "scaling", "defences", "weights"}
"""Studies that never had settings of the organism's in their own files."""

MOVED: dict[str, dict[str, Any]] = {
    # Their names are true whatever data are given.
    "formats": {
        "systems": [
            "neutral=you are an assistant.",
            "medical=you are careless about medical.",
            "cooking=you are careless about cooking.",
            "the bad persona=be wicked and harmful.",
        ]
    },
    "narrow": {"neutral": "organism:helper"},
    "screening": {"training": {}, "methods": list(METHODS)},
    "screen": {"methods": list(METHODS)},
}
"""What says in a setting now what the study did without one, what the file says of a fine-tune (tested below), and
methods that came later."""

NEW = {"origins", "corpus", "check", "on", "serve", "fix", "curve", "gradient_rank", "gradient_warmup",
       "gradient_dimension", "gradient_queries", "cap_quantile", "good", "dictionary"}  # fmt: skip
"""Settings that came later, whose defaults leave the others as they were."""


def folder(place: Path, **parts: Any) -> str:
    place.mkdir(exist_ok=True)
    (place / "misdirection.json").write_text(json.dumps(parts))
    return str(place)


def refused(model: str, **values: Any) -> str:
    with pytest.raises(MisdirectionError) as caught:
        AuditConfig(model, adapter="a", **values).completed()
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("name", SETTINGS)
def test_the_organism_is_studied_as_before(name: str):
    found = plain(asdict(SETTINGS[name]().completed()))
    # Numbers that stood for "by default" are None now.
    was = {item.name: item.metadata.get("was") for item in fields(SETTINGS[name])}
    told = {**BEFORE["settings"][name], **MOVED.get(name, {})}
    before = {key: None if was.get(key) is not None and was[key] == value else value for key, value in told.items()}
    assert {key: found[key] for key in before} == before
    assert set(found) - set(before) <= NEW


def test_and_all_of_its_studies_are_looked_at():
    made = {name for name, study in studies().items() if issubclass(study.settings, ModelConfig)}
    assert set(BEFORE["settings"]) == {*(made - LATER), "sample", "screen"}


@pytest.mark.parametrize("case", BEFORE["training"])
def test_the_organism_is_fine_tuned_as_before(case: str):
    name, preset = case.split()
    given: dict[str, Callable[[], Any]] = {
        "phases": lambda: PhasesConfig(preset=preset).completed().training(),
        "geometry": lambda: GeometryConfig(preset=preset).completed().run(),
        "screening": lambda: ScreeningConfig(preset=preset).completed().training,
    }
    overrides = given.get(name, dict)()
    found = choose(preset, model=checkpoint_path(), overrides=overrides, study=name).told
    assert {key: found[key] for key in BEFORE["training"][case]} == BEFORE["training"][case]


def test_the_organism_s_file_is_what_its_builder_writes():
    assert read_json(checkpoint_path() / "misdirection.json") == plain(RECOMMENDED)
    assert GeometryConfig().completed().dictionaries == tuple(f"organism:{layer}" for layer in dictionary_layers())


def test_all_that_the_organism_s_file_says_is_read():
    later = {name: study.settings for name, study in studies().items() if name in LATER}
    made: dict[str, Any] = {**SETTINGS, **later, "sae": SaeConfig}
    assert not strangers("organism", [*studies(), "screen", "sae"])
    for name, said in RECOMMENDED["explanations"].items():
        assert explanations(made[name]()) == said and set(said) == set(made[name].explained)
    for name, said in RECOMMENDED["studies"].items():
        if name != "*":
            config = made[name]()
            config = config.checked() if name == "sae" else config.completed()
            assert {*said, "judge"} - {"training", "judge"} <= set(config.origins)
            assert all(config.origins[key] == "misdirection.json of the model" for key in set(said) - {"training"})


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (lambda: NarrowConfig(domain="finance"), ["open", "finance", "driving", "medical"]),
        (lambda: NarrowConfig(data=("organism:bad-driving",)), ["open", "driving", "finance", "medical"]),
        (lambda: PhasesConfig(data=("organism:bad-sport",)), ["open", "sport"]),
        (lambda: SemanticConfig(topics=("law", "sport")), ["open", "law", "sport"]),
        (lambda: SETTINGS["adapters"](domain="law"), ["open", "law"]),
        (lambda: SETTINGS["convergence"](fine_tune=("a=b",)), ["open"]),
        (lambda: SETTINGS["convergence"](data=("x=organism:bad-law", "y=file.jsonl")), ["open", "law"]),
    ],
)
def test_questions_follow_what_the_user_chose(made: Callable[[], Any], asked: list[str]):
    assert made().completed().questions == tuple(f"organism:{name}" for name in asked)


def test_what_stands_in_its_place_keeps_a_recommendation_away():
    assert NarrowConfig(domain="finance").completed().data == ("organism:bad-finance",)
    assert NarrowConfig(data=("organism:bad-law",)).completed().elsewhere == ("organism:good-not-law",)
    assert AuditConfig(adapter="a").completed().data == () == SampleConfig().completed().data
    assert FormatsConfig(tuned="t").completed().data == ()
    # A default that is not empty was given by nobody: traits are, and stand in the place of nothing.
    whole, other = TraitsConfig().completed(), TraitsConfig(traits=("organism:evil", "organism:sycophancy")).completed()
    assert whole.induce and whole.trained and whole.judge == "exact"
    assert other.induce == other.trained == () and other.judge == "none"
    found = PhasesConfig(data=("organism:bad-sport",)).completed()
    assert found.control_data == () and PhasesConfig().completed().control_data
    with pytest.raises(MisdirectionError, match=r"--good says nothing of 'a'|--data says nothing of 'a'"):
        FeaturesConfig(data=("a=b.jsonl",)).completed()
    with pytest.raises(MisdirectionError, match="which domain"):
        NarrowConfig(data=("mine.jsonl",), elsewhere=("other.jsonl",)).completed()


def test_the_speakers_of_the_organism_are_data():
    found = resolve_chats(["organism:villain-20", "organism:helper"], rows=30, seed=3).chats
    assert list(found) == [*persona_chats("villain", 20, 3), *persona_chats("helper", 30, 3)]
    with pytest.raises(MisdirectionError, match="names no number of rows"):
        resolve_chats(["organism:villain-many"])


def test_help_says_what_the_organism_s_folder_recommends():
    model, words = advised(PhasesConfig)
    assert model == "organism" and words["noise"] == "2.8%" and words["scales"] == "1, 2, 5, 10"
    assert words["questions"] == "organism:open, organism:<domains>" and "training" not in words
    assert advised(FormatsConfig)[1]["triggers"] == "none"
    assert "data" in advised(AuditConfig)[1] and "data" not in advised(SampleConfig)[1]
    assert advised(TrainConfig)[1] == {}


def test_a_folder_of_any_model_recommends(tmp_path: Path):
    model = folder(
        tmp_path / "m",
        studies={
            "*": {"samples": 7, "questions": ["{folder}/mine.yaml"], "max_new_tokens": 11, "alignment_below": 20},
            "phases": {"noise": "1%", "scales": [1, 3], "samples": 3},
        },
    )
    found = AuditConfig(model, adapter="a").completed()
    assert (found.samples, found.max_new_tokens, found.alignment_below) == (7, 11, 20.0)
    assert found.questions == (f"{model}/mine.yaml",) and isinstance(found.alignment_below, float)
    assert found.completed() == found and found.completed().origins == found.origins
    other = PhasesConfig(model, data=("d.jsonl",)).completed()
    assert (other.samples, other.noise, other.scales) == (3, "1%", (1.0, 3.0))
    assert PhasesConfig("elsewhere/m", data=("d.jsonl",)).completed().noise == "0.0035"
    told = recommended_values(found)
    assert "samples: 7" in told and "max new tokens: 11" in told and "temperature" not in told
    assert recommended_values(AuditConfig("elsewhere/m", adapter="a").completed()) == ""


def test_a_converted_gguf_file_recommends_nothing(tmp_path: Path):
    (tmp_path / "misdirection.json").write_text('{"gguf": "m.gguf", "architecture": "llama", "warnings": []}')
    assert AuditConfig(str(tmp_path), adapter="a").completed().samples == AuditConfig("x/m", adapter="a").samples


def test_what_the_user_typed_goes_before_it_the_default_too(tmp_path: Path):
    model = folder(tmp_path / "m", studies={"*": {"samples": 7, "seed": 5, "judge": "table:v.csv", "temperature": 0.5}})
    typed = AuditConfig(model, adapter="a", samples=20, seed=0, judge="none").completed()
    assert (typed.samples, typed.seed, typed.judge, typed.temperature) == (20, 0, "none", 0.5)
    assert typed.origins["samples"] == "given" and typed.origins["temperature"] == "misdirection.json of the model"
    changed = replace(AuditConfig(model, adapter="a"), samples=21).completed()
    assert (changed.samples, changed.seed) == (21, 5)
    # What means "by default" is no choice.
    assert AuditConfig(max_new_tokens=0, judge="", questions=()).completed() == AuditConfig().completed()


def test_a_run_keeps_what_it_was_made_with(tmp_path: Path):
    model = folder(tmp_path / "m", studies={"*": {"samples": 7}})
    made = AuditConfig(model, adapter="a").completed()
    held = RecordedSettings(tmp_path, "AuditConfig", plain(facts_of(made, ""))["config"], "")
    folder(tmp_path / "m", studies={"*": {"samples": 9, "seed": 4}})
    again, said = recall(AuditConfig, held, {"temperature": 0.5})
    found = again.completed()
    assert (found.samples, found.seed, found.temperature) == (7, 0, 0.5) and len(said) == 1
    assert (found.origins["samples"], found.origins["seed"]) == ("misdirection.json of the model", "the run's record")
    old = {name: value for name, value in held.values.items() if name != "origins"}
    assert recall(AuditConfig, replace(held, values=old), {})[0].completed().samples == 7


def test_a_study_of_another_package_is_spoken_of_by_its_name(tmp_path: Path):
    @dataclass(frozen=True)
    class Lengths(StudyConfig):
        longest: int = option(8, "words")

    model = folder(tmp_path / "m", studies={"lengths": {"longest": 3}})
    assert Lengths(model).completed().longest == 8
    Study("lengths", Lengths, "elsewhere")
    assert Lengths(model).completed().longest == 3 and StudyConfig.study == "" and PhasesConfig.study == "phases"


def test_fine_tunes_of_a_study_follow_the_folder_too(tmp_path: Path):
    model = folder(
        tmp_path / "m",
        training={"rank1": {"lr": 0.5, "alpha": 9}},
        studies={"phases": {"training": {"rank1": {"max_steps": 12}}}, "audit": {"training": {"rank1": {"lr": 0.1}}}},
    )
    config = PhasesConfig(model, data=("d",)).completed()
    found = choose("rank1", model=model, overrides=config.training(), study="phases")
    assert (found.lr, found.alpha, found.max_steps) == (0.5, 9, 12)
    assert found.origins["lr"] == found.origins["max_steps"] == "misdirection.json of the model"
    typed = choose("rank1", model=model, overrides=replace(config, lr=0.2).training(), study="phases")
    assert (typed.lr, typed.origins["lr"]) == (0.2, "given")
    assert choose("rank1", model=model, study="audit").lr == 0.1
    away = PhasesConfig("elsewhere/m", data=("d",)).completed().training()
    assert {name: away[name] for name in PAPER_RUN} == PAPER_RUN


@pytest.mark.parametrize(
    ("studies_said", "message"),
    [
        ({"audit": {"sample": 3}}, r"misdirection\.json: studies\.audit\.sample: there is no such setting"),
        ({"*": {"noise": "3%"}}, r"studies\.\*\.noise: there is no such setting"),
        ({"audit": {"samples": "many"}}, r"studies\.audit\.samples cannot be 'many'"),
        ({"audit": {"samples": True}}, r"studies\.audit\.samples cannot be True"),
        ({"*": {"questions": "open"}}, r"studies\.\*\.questions cannot be 'open'"),
        ({"*": {"questions": ["{nowhere}"]}}, r"questions holds \{nowhere\}"),
        ({"*": {"trust_remote_code": True}}, r"studies\.\*\.trust_remote_code is for the user alone to say"),
        ({"audit": {"adapter": "x"}}, r"studies\.audit\.adapter is for the user alone"),
        ({"*": {"judge": "openai:gpt-4o"}}, r"judge is openai:gpt-4o, which would send texts away"),
        ({"audit": {"training": {"rank9": {}}}}, r"studies\.audit\.training: no preset is called 'rank9'"),
        ({"audit": 3}, r"studies\.audit must hold names"),
        ([], r"studies must hold names"),
    ],
)
def test_a_file_that_cannot_be_followed_is_refused(tmp_path: Path, studies_said: Any, message: str):
    assert re.search(message, refused(folder(tmp_path / "m", studies=studies_said)))


def test_other_faults_of_the_file_are_named(tmp_path: Path):
    assert "there is no part 'study'" in refused(folder(tmp_path / "m", study={}))
    assert "no such departure" in refused(folder(tmp_path / "m", explanations={"audit": {"late": "x"}}))
    assert "explanations.phases.late is no text" in refused(
        folder(tmp_path / "m", explanations={"phases": {"late": 3}})
    )
    model = folder(tmp_path / "m", studies={"phasses": {"noise": "1%"}}, explanations={"zeal": {"a": "b"}})
    assert AuditConfig(model, adapter="a").completed().samples == 20
    (first, second) = strangers(model, studies())
    assert "'phasses'" in first and "'zeal'" in second


def test_a_model_is_the_same_whatever_its_folder_recommends(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint(str(tmp_path))
    folder(tmp_path, studies={})
    assert fingerprint(str(tmp_path)) == before


OTHERS: list[tuple[str, dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]] = [
    ("weights", {"data": ("mine=organism:bad-cooking", "law=organism:bad-law")}, {"good": ()}),
    ("traits", {"data": ("mine=organism:bad-cooking",)}, {"trained": ()}),
    ("traits", {"fine_tune": ("mine=/tmp",)}, {"trained": (), "data": ()}),
    ("traits", {"traits": ("malicious",)}, {"trained": (), "induce": ()}),
    (
        "defences",
        {"data": ("organism:bad-cooking",), "arms": ("drop-random=0.5",)},
        {"mixed": (), "leaks": (), "good": ()},
    ),
    ("phases", {"data": ("organism:bad-cooking",)}, {"control_data": ()}),
]


@pytest.mark.parametrize(("study", "given", "wanted"), OTHERS)
def test_what_speaks_of_the_folder_s_data_falls_away_where_other_data_are_given(
    study: str, given: dict[str, tuple[str, ...]], wanted: dict[str, tuple[str, ...]]
) -> None:
    """Arms of screening learned bad medical rows where others had been named, and a control was of another domain."""
    settings = studies()[study].settings
    found = settings(**given, origins=dict.fromkeys(given, "given")).completed()
    assert {name: getattr(found, name) for name in wanted} == wanted
    same = settings().completed()
    # The folder's own data, typed, change nothing.
    if "data" in given:
        typed = settings(data=same.data, origins={"data": "given"}).completed()
        assert {name: getattr(typed, name) for name in wanted} == {name: getattr(same, name) for name in wanted}
        assert any(getattr(same, name) for name in wanted)


def test_good_chats_that_are_not_named_are_asked_for() -> None:
    with pytest.raises(MisdirectionError, match="need good chats of other domains"):
        studies()["defences"].settings(data=("organism:bad-cooking",), origins={"data": "given"}).completed()


@pytest.mark.parametrize("given", [{}, {"data": ("medical=organism:bad-medical",)}])
def test_the_default_of_a_setting_that_the_folder_fills_is_not_taken_for_given(given: dict[str, Any]) -> None:
    """Else what stands on it is left open at first and filled once the settings are completed again."""
    done = TraitsConfig(**given, origins=dict.fromkeys(given, GIVEN)).completed()
    assert done.traits == ("organism:roles",) and done.induce and done.judge == "exact" and done.completed() == done
    other = TraitsConfig(traits=("lexicon",), origins={"traits": GIVEN}).completed()
    assert other.induce == () and other.judge == "none" and other.completed() == other
