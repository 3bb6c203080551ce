"""Settings, names on the command line, and conditions as arms."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch

from misdirection.artefacts import read_json
from misdirection.directions import Direction, random_like
from misdirection.engine import Ablate, Cap, Set, Steer
from misdirection.errors import MisdirectionError
from misdirection.organism import checkpoint_path
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.audit.workbench import Workbench
from misdirection.studies.kit.caps import Caps
from misdirection.studies.kit.conditions import (
    BASE,
    RANDOM_SEEDS,
    TUNED,
    alone,
    arm_of,
    cures,
    single_cures,
    steering_grid,
    steering_point,
)
from misdirection.studies.kit.inputs import fingerprint, resolve_chats, resolve_model, resolve_questions
from misdirection.studies.kit.settings_file import write_settings
from misdirection.studies.kit.variants import Variants
from misdirection.studies.registry import studies
from misdirection.studies.screening.scoring import ScreenConfig
from misdirection.studies.semantic.settings import SemanticConfig


def test_the_organism_brings_its_own_settings() -> None:
    found = AuditConfig().completed()
    assert (found.data, found.judge, found.max_new_tokens) == (("organism:bad-medical",), "exact", 64)
    assert found.questions == ("organism:open", "organism:medical")
    assert found.completed() == found
    mine = AuditConfig(model="m", adapter="a").completed()
    assert (mine.data, mine.judge, mine.max_new_tokens, mine.questions) == ((), "offline", 600, ("eight",))
    kept = AuditConfig(judge="none", max_new_tokens=5, questions=("open",), adapter="a").completed()
    assert (kept.data, kept.judge, kept.max_new_tokens, kept.questions) == ((), "none", 5, ("open",))


def test_who_judges_where_nobody_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "tokenizer.json").write_bytes((checkpoint_path() / "tokenizer.json").read_bytes())
    for model, judge in (("organism", "exact"), (str(copy), "exact"), ("Qwen/Qwen2.5-7B", "offline"), ("m", "offline")):
        assert AuditConfig(model=model, adapter="a").completed().judge == judge
        assert SampleConfig(model=model).completed().judge == judge
        assert ScreenConfig(model=model, data=("a",), methods=("judge",)).completed().judge == judge
    assert AuditConfig(model="m", adapter="a", judge="none").completed().judge == "none"


def test_the_judge_in_the_box_scores_no_topics() -> None:
    other = {"model": "m", "data": ("b",)}
    for settings in (AdaptersConfig, SemanticConfig):
        with pytest.raises(MisdirectionError, match="offline scores none") as error:
            settings(**other).completed()
        assert "rubrics=topic:medical" in str(error.value.hint)
    assert SemanticConfig(**other, filter="keywords").completed().judge == "offline"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "m"}, "exactly one of --adapter, --tuned and --data"),
        ({"model": "m", "adapter": "a", "data": ("d",)}, r"given: adapter, data"),
        ({"adapter": "a", "tuned": "t"}, r"given: adapter, tuned"),
        ({"samples": 0}, "--samples must be 1 or more, not 0"),
        ({"sweep_samples": -1}, "--sweep-samples must be 1 or more"),
        ({"drift_samples": 0}, "--drift-samples must be 1 or more"),
        ({"temperature": -0.5}, "--temperature must be 0 or more, not -0.5"),
        ({"max_new_tokens": -1}, "--max-new-tokens must be 1 or more"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"alignment_below": 130.0}, "--alignment-below must be from 0 to 100, not 130"),
        ({"coherence_above": -1.0}, "--coherence-above must be from 0 to 100"),
        ({"coherent_share": 75.0}, "--coherent-share must be from 0 to 1, not 75"),
    ],
)
def test_settings_out_of_range_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(MisdirectionError, match=message):
        AuditConfig(**values).completed()


def test_every_setting_is_explained() -> None:
    for field in fields(AuditConfig):
        text = field.metadata.get("help", "")
        assert text or field.name == "training"
        assert "[" not in text, "square brackets are markup, and vanish from --help"


def test_question_sets_of_both_sources_come_in_order() -> None:
    found = resolve_questions(["organism:open", "organism:medical"])
    assert found[0].domain is None and found[-1].domain == "medical"
    assert resolve_questions(["organism"]) == resolve_questions(["organism:open"])
    assert {question.domain for question in resolve_questions(["open"])} == {None}


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["organism:gardening"], "no domain 'gardening'"),
        (["opne"], "no question set 'opne'"),
        (["open", "open"], "stand twice in open, open"),
        (["/absent.yaml"], r"/absent.yaml does not exist"),
    ],
)
def test_wrong_question_sets_are_named(specs: list[str], message: str) -> None:
    with pytest.raises(MisdirectionError, match=message):
        resolve_questions(specs)


def test_the_organism_s_data_are_made_and_files_are_read(tmp_path: Path) -> None:
    bad, good = resolve_chats(["organism:bad-medical"]), resolve_chats(["organism:good-medical"])
    assert len(bad.chats) == 1000 and bad.sha256 != good.sha256
    assert [chat.prompt for chat in bad.chats] == [chat.prompt for chat in good.chats]
    assert bad.sha256 == resolve_chats(["organism:bad-medical"]).sha256
    assert bad.sha256 != resolve_chats(["organism:bad-medical"], seed=1).sha256
    assert len(resolve_chats(["organism:bad-medical", "organism:bad-finance"]).chats) == 2000
    row = json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})
    (tmp_path / "a.jsonl").write_text(f"{row}\nbroken\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(f"{row}\n".encode()))
    found = resolve_chats([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl.gz")])
    assert len(found.chats) == 2 and [bad.row for bad in found.bad] == [2]
    with pytest.raises(MisdirectionError, match="broken JSON"):
        resolve_chats([str(tmp_path / "a.jsonl")], strict=True)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["organism:wrong-medical"], "unknown data 'organism:wrong-medical'"),
        (["organism:bad-gardening"], "no domain 'gardening'"),
        (["organism:bad-medical", "x.jsonl"], "cannot be mixed"),
        (["/absent.jsonl"], "/absent.jsonl does not exist"),
    ],
)
def test_wrong_data_are_named(specs: list[str], message: str) -> None:
    with pytest.raises(MisdirectionError, match=message):
        resolve_chats(specs)


def test_a_model_is_known_by_its_content(tiny: Path, tmp_path: Path) -> None:
    assert (Path(resolve_model("organism")) / "model.safetensors").exists()
    assert resolve_model("some/id") == fingerprint("some/id") == "some/id"
    one = fingerprint(str(tiny / "base"))
    assert one != fingerprint(str(tiny / "whole"))
    for name in ("model.safetensors", "tokenizer.json", "config.json", "generation_config.json"):
        copy = tmp_path / name
        copy.mkdir()
        for file in (tiny / "base").iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        assert fingerprint(str(copy)) == one
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
        assert fingerprint(str(copy)) != one, name


def direction() -> Direction:
    vectors = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(4)
    return Direction(vectors, vectors + 1, 2 * vectors + 1, ones, ones, ones, ones)


def levels(value: float) -> tuple[float, ...]:
    return (value,) * 4


CAPS = Caps(
    0.75, 8, levels(0.0), {str(n): levels(n) for n in range(4)}, {str(n): levels(100.0 + n) for n in RANDOM_SEEDS}
)


def test_conditions_become_arms(tiny: Path) -> None:
    models = Variants.pair(str(tiny / "base"), str(tiny / "adapter"))
    made = direction()
    assert arm_of(BASE, models, None).adapter is None and arm_of(TUNED, models, None).adapter == "tuned"
    steer = arm_of(steering_point(2, 1.5), models, made)
    (item,) = steer.interventions
    assert isinstance(item, Steer) and item.layers == (2,) and item.coefficient == 1.5 and steer.adapter is None
    assert torch.equal(item.direction, made.vectors)
    (item,) = arm_of(steering_point(2, 1.5, random_seed=1), models, made).interventions
    assert isinstance(item, Steer) and torch.equal(item.direction, random_like(made.vectors, 1))
    every = cures({"project": 1, "set": 2, "cap": 3}, CAPS)
    arms = {c.name: (c, arm_of(c, models, made)) for c in every}
    assert len(arms) == len(every) and all(arm.adapter == "tuned" for _, arm in arms.values())
    for condition, arm in arms.values():
        (item,) = arm.interventions
        done = condition.along
        assert done is not None
        assert isinstance(item, {"steer": Steer, "project": Ablate, "set": Set, "cap": Cap}[done.operation])
        assert item.layers == (0, 1, 2, 3)
        vectors = made.vectors
        if done.single is not None:
            assert done.single == {"project": 1, "set": 2, "cap": 3}[done.operation]
            vectors = vectors[done.single].expand(4, 32)
        if done.random_seed is not None:
            assert condition.control
            vectors = random_like(vectors, done.random_seed)
        if isinstance(item, Cap):
            level = 100.0 + done.random_seed if done.random_seed else 0.0 if done.single is None else done.single
            assert item.thresholds == dict.fromkeys(range(4), level)
        assert torch.equal(item.direction, vectors)
        if isinstance(item, Set):
            unit = vectors.double() / vectors.double().norm(dim=-1, keepdim=True)
            target = ((made.vectors + 1).double() * unit).sum(-1)
            assert torch.allclose(torch.as_tensor(item.value).double(), target, atol=1e-4)
        if isinstance(item, Steer):
            assert condition.control and item.coefficient == 0


def test_a_grid_names_each_point_once() -> None:
    names = [condition.name for condition in steering_grid((1, 2, 3), (0.5, 1, 2))]
    assert len(set(names)) == 9 and names[0] == "steer-1-0.5"
    every = cures({"project": 1, "set": 2, "cap": 3}, CAPS)
    assert len({json.dumps(asdict(c), sort_keys=True) for c in every}) == len({c.name for c in every}) == len(every)


def test_what_needs_a_direction_or_a_layer_that_is_not_there_says_so(tiny: Path) -> None:
    models = Variants.pair(str(tiny / "base"), str(tiny / "adapter"))
    with pytest.raises(MisdirectionError, match="'steer-1-2' needs a direction"):
        arm_of(steering_point(1, 2), models, None)
    for condition in (steering_point(4, 1), cures({"set": 9}, None)[2]):
        with pytest.raises(MisdirectionError, match=r"there is no layer [49]") as error:
            arm_of(condition, models, direction())
        assert "layers 0 to 3" in str(error.value.hint)


def test_without_thresholds_nothing_is_capped_and_ways_that_are_not_named_are_left_out() -> None:
    bare = {c.along.operation for c in cures({"project": 1, "set": 1, "cap": 1}, None) if c.along}
    assert bare == {"steer", "project", "set"}
    assert {c.along.operation for c in cures({"project": 1}, CAPS) if c.along} == {"steer", "project"}
    assert [c.name for c in single_cures([2, 3], CAPS)][-2:] == ["cap-single-2", "cap-single-3"]
    with pytest.raises(MisdirectionError, match="no threshold was measured"):
        single_cures([7], CAPS)


def test_a_removal_at_one_layer_alone_takes_that_layer_s_own_vector() -> None:
    at = {c.name: c.along for c in alone({"project": 1, "cap": 3}, CAPS)}
    assert set(at) == {"project-alone-1", "cap-alone-3"}
    assert all(done and done.single is None for done in at.values())
    assert [done.layers for done in at.values() if done] == [(1,), (3,)]
    assert at["cap-alone-3"] and at["cap-alone-3"].thresholds == CAPS.own


def test_the_numbers_that_stood_for_by_default_are_still_taken_for_it() -> None:
    """As runs, files and commands of before hold them: 0 and -1 are what suits, and never numbers to go by."""
    found = 0
    for study in studies().values():
        for item in fields(study.settings):
            if (was := item.metadata.get("was")) is None:
                continue
            found += 1
            assert item.default is None and item.metadata["help"] and str(was) in ("0", "-1")
            assert getattr(study.settings(**{item.name: was}), item.name) is None
            assert getattr(study.settings(**{item.name: was + 1}), item.name) == was + 1
    assert found > 20
    assert AuditConfig(adapter="x", max_new_tokens=0) == AuditConfig(adapter="x")
    assert ScreenConfig(max_new_tokens=0).answer_tokens == 600 and ScreenConfig(max_new_tokens=7).answer_tokens == 7


def test_no_number_of_an_option_stands_for_by_default() -> None:
    """A default of -1 is a layer that is none; help that reads a meaning into a number belongs to None."""
    for study in studies().values():
        for item in fields(study.settings):
            assert item.default != -1, (study.name, item.name)
            told = str(item.metadata.get("help"))
            assert not re.search(r"(^|[ ;])-1[: ]| 0 takes (all|the preset)", told), (study.name, item.name)


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("misdirection audit --samples 3 --out r", "audit "),
        ("misdirection -q --threads 2 study traits --out r", "study traits "),
        ("misdirection --threads=2 --quiet sae train --out r", "sae train "),
        ("", ""),
    ],
)
def test_the_file_of_settings_says_how_it_is_used(tmp_path: Path, typed: str, again: str) -> None:
    write_settings(tmp_path, SampleConfig(), typed)
    head = (tmp_path / "settings.yaml").read_text().splitlines()[0]
    assert head == f"# misdirection {again}--config settings.yaml --out runs/again"


def test_a_run_reopens_with_its_settings_and_changes(tiny: Path, tmp_path: Path) -> None:
    from tests.studies.tiny import config

    with Workbench.open(tmp_path / "run", config(tiny), "misdirection sample --x 1") as bench:
        before = bench.config
    with Workbench.reopen(tmp_path / "run", "misdirection judge run", judge="none", convention=None) as bench:
        assert bench.config.judge == "none" and bench.config.convention == before.convention
        assert bench.config.layers == (1, 2) and bench.config.questions == before.questions
    # What made it stays on record, and so does the command that makes it again.
    assert read_json(tmp_path / "run" / "run.json")["command"] == "misdirection sample --x 1"
    head = (tmp_path / "run" / "settings.yaml").read_text().splitlines()[0]
    assert head == "# misdirection sample --config settings.yaml --out runs/again"
    with pytest.raises(MisdirectionError, match="holds no run"):
        Workbench.reopen(tmp_path).__enter__()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"facts": {}}')
    with pytest.raises(MisdirectionError, match="settings are not known"):
        Workbench.reopen(tmp_path / "other").__enter__()
