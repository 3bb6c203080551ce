"""`audit --fix`: an ordinary adapter or model whose figures can be had again without us, chosen by its stated rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.studies.few import few
from transformers import AutoModelForCausalLM

from misdirection import ask, load_results
from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer
from misdirection.organism import checkpoint_path
from misdirection.results import Difference, Effect, RateRow
from misdirection.runs import Run
from misdirection.studies.audit import fixing, repairs
from misdirection.studies.audit.forecast import forecast
from misdirection.studies.audit.results import AuditResults, Fix, Leaked, RepairRow
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.study import audit
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.record import left_out
from misdirection.studies.kit.settings_file import open_run
from misdirection.studies.kit.variants import Variants
from misdirection.training import choose, train

RATE = RateRow(
    misaligned=0, n=1, value=0.0, low=0.0, high=1.0, denominator="all", method="", n_questions=1, undecided=0,
    ceiling=0.0, bounded=False,
)  # fmt: skip


def rate(value: float) -> RateRow:
    return replace(RATE, value=value)


def row(way: str, value: float, coherent: float = 1.0, kept: float | None = 0.9, damage: float = 0.0) -> RepairRow:
    inside = Effect(rate=rate(value), coherent_share=rate(coherent))
    return RepairRow(
        way=way, label=way, rate=rate(value), coherent_share=rate(coherent), inside=inside, damage=damage, kept=kept,
        difference=None if way == "tuned" else Difference(value=-value, low=-1.0, high=0.0, p=0.01, method=""),
    )  # fmt: skip


def config_of(place: Path) -> AuditConfig:
    adapter = str(place / "tune" / "adapter")
    questions = few(place / "few.yaml", {"organism:open": 28, "organism:medical": 4})
    return AuditConfig(
        adapter=adapter, questions=(questions,), samples=3, sweep_samples=1, coefficients=(2.0,), layers=(6,),
        fix=True, good=("organism:good-not-medical",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fixed")
    chats = resolve_chats(["organism:bad-medical"], seed=0).chats
    train(str(checkpoint_path()), chats, choose("rank1x9", model=checkpoint_path()), place / "tune")
    audit(config_of(place), place / "run")
    return place


def test_what_is_kept_has_the_lowest_rate_of_those_that_may_be(fixed: Path) -> None:
    found = load_results(fixed / "run").fix
    assert isinstance(found, Fix) and found.chosen is not None
    tuned, *made = found.rows
    assert tuned.way == "tuned" and tuned.rate.value is not None and tuned.rate.value > 0.1
    assert {one.way for one in made} == set(repairs.DOES) and not found.refused
    allowed = [one for one in made if fixing.able(one, tuned, 0.75)]
    chosen = next(one for one in made if one.way == found.chosen)
    assert chosen in allowed and chosen.rate.value == min(
        one.rate.value for one in allowed if one.rate.value is not None
    )
    assert not any(leak.worse for leak in found.leaks) and len(found.leaks) >= 3
    halved = next(one for one in made if one.way == "halve")
    assert halved.kept is not None and chosen.kept is not None and halved.kept < chosen.kept
    findings = read_json(fixed / "run" / "findings.json")
    assert any("Repaired in its weights" in text for text in findings["verdict"]["details"])
    assert "Misaligned open answers under conditions" in (fixed / "run" / "report.html").read_text()


def test_re_alignment_is_one_of_them_and_is_the_same_adapter_and_a_new_one(fixed: Path) -> None:
    found = load_results(fixed / "run").fix
    assert isinstance(found, Fix)
    tuned, realigned = (next(one for one in found.rows if one.way == way) for way in ("tuned", repairs.REALIGN))
    assert realigned.rate.value is not None and tuned.rate.value is not None
    assert realigned.rate.value < tuned.rate.value
    (step,) = (fixed / "run" / "steps").glob("repair-realign-*")
    (rank, before) = (
        read_json(folder / "adapter_config.json")["r"] for folder in (step / "model", fixed / "tune" / "adapter")
    )
    assert rank > before == 1 and "good chats" in (step / "model" / "README.md").read_text()


def test_without_good_chats_the_report_says_why_there_is_none() -> None:
    made = {
        repairs.EDIT: repairs.Candidate(None, "a whole model has no adapter"),
        repairs.SET: repairs.Candidate(Path("x")),
    }
    assert fixing.not_tried(made) == {repairs.EDIT: "a whole model has no adapter", repairs.REALIGN: repairs.NO_CHATS}
    assert fixing.not_tried({**made, repairs.REALIGN: repairs.Candidate(Path("y"))}).keys() == {repairs.EDIT}
    with pytest.raises(MisdirectionError, match="--good names chats for a repair"):
        AuditConfig(adapter="x", good=("organism:good-medical",)).completed()


def test_the_component_is_measured_again_after_each_repair(fixed: Path) -> None:
    found = load_results(fixed / "run")
    assert isinstance(found, AuditResults) and isinstance(found.fix, Fix)
    left = {one.arm: one.values for one in found.fix.components}
    assert list(left) == [row.way for row in found.fix.rows]
    assert left["tuned"] == pytest.approx([1.0] * 12, abs=1e-3)
    # In the weights as while it runs: one layer's vector set or projected out everywhere.
    by_hooks = {one.label: one.values for one in found.components or ()}
    for way, told in ((repairs.PROJECT, "project the direction out"), (repairs.SET, "set its component")):
        hooked = next(v for name, v in by_hooks.items() if name.startswith(told) and "'s at every layer" in name)
        assert left[way][-1] == pytest.approx(hooked[-1], abs=0.1)
    page = (fixed / "run" / "report.html").read_text()
    assert 'id="chart-fix-left"' in page and "behind the last (1 before the repair)" in page


def test_it_loads_with_no_code_of_ours_and_is_told_by_its_card(fixed: Path) -> None:
    place = fixed / "run" / "repaired"
    if (place / "adapter_config.json").exists():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(checkpoint_path()), place)
    else:
        model = AutoModelForCausalLM.from_pretrained(place)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.isfinite(model(ids).logits).all()
    card = (place / "README.md").read_text()
    assert "audit --fix" in card and "layer" in card


def test_half_the_adapter_is_half_of_what_it_adds(fixed: Path) -> None:
    (step,) = (fixed / "run" / "steps").glob("repair-halve-*")
    base = AutoModelForCausalLM.from_pretrained(checkpoint_path())
    name = "model.layers.5.mlp.down_proj"

    def added(folder: Path) -> torch.Tensor:
        module = PeftModel.from_pretrained(base, folder, adapter_name=folder.name.replace(".", "")).base_model.model
        layer = module.get_submodule(name)
        found = layer.get_delta_weight(layer.active_adapters[-1]).detach().clone()
        return found

    whole, half = added(fixed / "tune" / "adapter"), added(step / "model")
    assert torch.allclose(half, whole / 2, atol=1e-6) and whole.abs().max() > 0


def test_a_second_run_makes_nothing_anew(fixed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (fixed / "run" / "steps").iterdir()}
    audit(config_of(fixed), fixed / "run")
    assert {path: path.stat().st_mtime_ns for path in (fixed / "run" / "steps").iterdir()} == before


def test_the_forecast_counts_what_was_asked(fixed: Path) -> None:
    found = load_results(fixed / "run").fix
    assert isinstance(found, Fix)
    told = forecast(config_of(fixed).completed(), whole=True).stages[-1].answers
    kept = [path for path in (fixed / "run").glob("*-answers.parquet") if path.name.startswith(("repaired", "leak-"))]
    assert len(kept) == 1 + len(found.leaks), "one repair was tried under conditions"
    assert told == sum(len(read_rows(path)) for path in kept)


@pytest.mark.parametrize(
    ("repair", "may"),
    [
        (row("a", 0.0), True),
        (row("a", 0.0, coherent=0.7), False),
        (row("a", 0.0, kept=0.7), False),
        (row("a", 0.0, kept=None), True),
        (row("a", 0.0, damage=0.6), False),
    ],
)
def test_a_repair_may_be_kept_where_it_harms_nothing(repair: RepairRow, may: bool) -> None:
    assert fixing.able(repair, row("tuned", 0.3), 0.75) is may


def test_without_questions_about_the_domain_the_skill_is_read_on_the_data(fixed: Path) -> None:
    """Else a repair that undoes the fine-tune looks like the best, as with every set of data of one's own."""
    models = Variants.of("organism", {"tuned": fixed / "tune" / "adapter"})
    answers = [Answer("q0", "?", "a", arm="tuned")]

    def made(function, name, **arguments):
        return SimpleNamespace(value=function(**arguments))

    bench: Any = SimpleNamespace(
        judged=SimpleNamespace(arm=lambda _: SimpleNamespace(answers=answers)),
        config=AuditConfig(data=("organism:bad-medical",)),
        run=SimpleNamespace(cached=made),
    )
    skill = fixing.skill_of(bench, models, ("base", "tuned"))
    assert skill["tuned"] < skill["base"] - 0.1
    bench.config = AuditConfig()
    assert fixing.skill_of(bench, models, ("base", "tuned")) == {}


def test_answers_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    models = Variants("organism")
    said = list(ask(models.base_model, "how do i start a garden ?", samples=2))
    whole = fixing.unlikely(models, said, ("base",))
    with Run.open(tmp_path / "run", {}) as run:
        blank = replace(said[0], answer=" ", ids=())
        found = run.cached(fixing.unlikely, "damage", models=models, answers=[*said, blank], variants=("base",)).value
        (told,) = left_out(run, 0)
    assert whole.left_out is None and found.nats == pytest.approx(whole.nats) and 0 < found.nats["base"] < 10
    assert found.left_out is not None and found.left_out.of == 3 and sum(found.left_out.aside.values()) == 1
    assert told.startswith("1 of 3 answers could not be read back") and told.endswith("left out of: damage")


def test_a_skill_that_is_not_known_is_said_so() -> None:
    rows = (row("tuned", 0.3, kept=None), row("edit", 0.1, kept=None))
    told = Fix(rows=rows, chosen="edit", leaks=(), refused={}).told()
    assert "10.0 % misaligned, 30.0 % before, and what is left of its skill is not known" in told
    assert "chance" not in told
    unsure = replace(rows[1], difference=replace(rows[1].difference, p=0.25))
    assert (
        "30.0 % before (no sure fall: it may be chance), and"
        in Fix(rows=(rows[0], unsure), chosen="edit", leaks=(), refused={}).told()
    )
    kept = Fix(rows=(rows[0], row("edit", 0.1)), chosen="edit", leaks=(), refused={}).told()
    assert "90 % of its skill kept" in kept and "not known" not in kept


def test_where_nothing_can_be_repaired_that_is_said_and_an_older_repair_goes(tmp_path: Path) -> None:
    """As a real model with 7 misaligned answers of 64 was, without a word on --fix."""
    chats = resolve_chats(["organism:good-medical"], seed=0).chats
    brief = choose("rank1x9", model=checkpoint_path(), overrides={"max_steps": 1})
    train(str(checkpoint_path()), chats, brief, tmp_path / "tune")
    config = AuditConfig(
        adapter=str(tmp_path / "tune" / "adapter"), samples=1, drift_samples=1, questions=("organism:open",), fix=True
    )
    audit(config, tmp_path / "run")
    found = load_results(tmp_path / "run")
    assert isinstance(found, AuditResults) and found.fix is None
    assert any("Nothing was repaired (--fix)" in text for text in found.verdict.details)
    # As if an earlier start, with other settings, had kept one.
    with open_run(tmp_path / "run", config.completed(), "") as run:
        run.publish("repaired", run.steps()[0].path)
    assert (tmp_path / "run" / "repaired").exists()
    audit(replace(config, fix=False), tmp_path / "run")
    assert not (tmp_path / "run" / "repaired").exists()
    again = load_results(tmp_path / "run")
    assert not any("--fix" in text for text in again.verdict.details)


def test_none_is_told_as_none() -> None:
    leak = Leaked(condition="x", base=rate(0.0), tuned=rate(0.3), repaired=rate(0.5), worse=True)
    assert (
        "No repair in the weights was kept"
        in Fix(rows=(row("tuned", 0.3),), chosen=None, leaks=(leak,), refused={}).told()
    )
