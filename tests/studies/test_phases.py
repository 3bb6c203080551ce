"""The study of phase transitions at a tiny size, on the organism, on checkpoints of others, and on vectors alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.studies import tiny as tiny_subject
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed
from typer.testing import CliRunner

from misdirection import load_results
from misdirection.artefacts import read_rows
from misdirection.errors import MisdirectionError
from misdirection.runs import list_steps
from misdirection.statistics.turning import peak, smoothed
from misdirection.studies.phases.results import Phases, PhasesResults, PublishedPath, Weights
from misdirection.studies.phases.settings import PhasesConfig, noise_threshold
from misdirection.studies.phases.states import read_path
from misdirection.studies.phases.study import phases

SMALL = PhasesConfig(
    steps=16, lr=0.02, checkpoint_every=4, samples=1, seeds=0, scales=(1.0, 2.0), state_samples=1, questions=()
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phases") / "run"
    phases(SMALL, folder, "misdirection study phases ...")
    return folder


@pytest.fixture(scope="module")
def part(run: Path) -> Phases:
    return phases_of(run)


def results_of(run: Path) -> PhasesResults:
    results = load_results(run)
    assert isinstance(results, PhasesResults)
    return results


def phases_of(run: Path) -> Phases:
    part = results_of(run).phases
    assert part is not None
    return part


def fine_tune(run: Path) -> Path:
    """The step of the fine-tune on bad data: the first that was made."""
    return next(step.path for step in list_steps(run) if step.name == "train")


def said(run: Path, step: str) -> dict[str, list[str]]:
    """Answers by arm of a step."""
    path = next(s.path for s in list_steps(run) if s.name == f"{step}-answers")
    found: dict[str, list[str]] = {}
    for row in read_rows(path / "answers.parquet"):
        found.setdefault(row["arm"], []).append(row["answer"])
    return found


def test_the_weights_are_those_of_the_checkpoints(run, part):
    folder, weights = fine_tune(run), part.weights
    assert weights.norms.steps == (4, 8, 12, 16) == part.steps
    for i, step in enumerate((4, 8, 12, 16)):
        path = folder / "checkpoints" / f"step-{step}" if step < 16 else folder / "tuned"
        (b,) = [v for name, v in load_file(path / "adapter_model.safetensors").items() if "lora_B" in name]
        assert weights.norms.b[i] == pytest.approx(float(b.norm()), rel=1e-4)
    assert [(module.layer, module.b) for module in weights.norms.modules] == [(6, weights.norms.b)]
    # Step 0 is known: B starts at zero.
    assert weights.to_last.steps == (0, 4, 8, 12, 16)
    assert [weights.to_last.cosine[i] for i in (0, -1)] == [0.0, pytest.approx(1.0)]
    assert [c.k for c in weights.local.curves if c.of == "B"] == [4, 8]
    assert weights.local.missing == (12,)
    assert weights.comp is None
    assert [(row.k, row.filter) for row in weights.local.filters] == [
        (k, name) for k in (4, 8) for name in ("text", "code", "used")
    ]


def test_what_is_noise_in_the_followed_fine_tune_is_noise_in_the_control(part):
    assert part.control is not None
    assert part.control.local.threshold == pytest.approx(part.weights.local.threshold)


def test_turns_come_in_order_each_beside_its_control_and_the_paper(part):
    steps = [row.turn.step for row in part.turns]
    assert steps == sorted(steps, key=lambda step: (step is None, step or 0))
    rows = {row.quantity: row for row in part.turns}
    own = {row.quantity: row.turn for row in (*part.weights.turns, *part.states.turns)}
    assert {name: rows[name].turn for name in own} == own
    rises = [(row.group, row.scale, row.turn) for row in part.turns if row.family == "behaviour"]
    assert sorted(rises, key=str) == sorted(((c.group, c.scale, c.turn) for c in part.behaviour), key=str)
    control = {row.quantity: row.turn for row in part.control.turns}
    for name in ("gradient norm", "local cosine of B, k = 4"):
        assert rows[name].control == control[name] and rows[name].seeds == ()
    assert rows["norm of B"].paper.startswith("0 to 0.125") and rows["cosine of B with its last"].paper == ""


def test_the_gradient_is_that_of_the_metrics(run, part):
    lines = [json.loads(line) for line in (fine_tune(run) / "metrics.jsonl").read_text().splitlines()]
    smooth = smoothed([line["grad_norm"] for line in lines], 5)
    assert part.weights.gradient.smooth == pytest.approx(smooth, rel=1e-4)
    row = next(row for row in part.turns if row.measure == "gradient norm")
    assert row.turn == peak([line["step"] for line in lines], smooth)


def test_curves_start_at_the_base_and_the_adapter_times_0_is_the_base(run, part):
    base = said(run, "x1")["base"]
    assert said(run, "controls")["off"] == base
    assert said(run, "x1")["step-16"] != base != said(run, "x2")["step-16 x2"]
    assert [(c.group, c.scale) for c in part.behaviour] == [("open", 1), ("open", 2), ("medical", 1)]
    for curve in part.behaviour:
        assert [point.step for point in curve.points] == [0, 4, 8, 12, 16]
    first, second = (curve.points[0] for curve in part.behaviour[:2])
    assert first == second
    arms = [row.arm for row in part.controls]
    assert arms == ["off", "random x1", "random x2", "control x1", "control x2"]


def test_the_drift_starts_at_nothing_and_ends_at_itself(part):
    states = part.states
    assert states.steps == (0, 4, 8, 12, 16) and states.layer == 8
    assert (states.norm[0], states.to_last[0]) == (0.0, 0.0)
    assert states.to_last[-1] == pytest.approx(1.0)
    assert 0 < states.norm[1] < states.norm[-1]
    assert states.chance == pytest.approx(1.96 / 96**0.5)
    assert (states.component is None) == (states.on_direction is None) == (states.b == ())


def test_the_report_shows_every_measure(run):
    page = (run / "report.html").read_text()
    assert "is not complete" not in page
    for key in ("turns", "rates", "coherent", "norms", "local", "pca", "gradient", "towards"):
        assert f'id="chart-phases-{key}"' in page, key
    assert "correct data" in page and "random adapter of the same norm x 2" in page


def test_a_finished_run_makes_nothing_again_and_a_killed_one_only_what_is_missing(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    before = tiny_subject.made(copy)
    phases(SMALL, copy)
    assert tiny_subject.made(copy) == before
    for step in list_steps(copy):
        if step.name in ("x2-verdicts", "states"):
            shutil.rmtree(step.path)
    phases(SMALL, copy)
    assert tiny_subject.made(copy) - before == {"x2-verdicts": 1, "states": 1}
    assert phases_of(copy) == phases_of(run)
    assert (copy / "report.html").exists()


def checkpoints(source: Path, out: Path, factors: dict[int, float]) -> Path:
    """Checkpoints as transformers' trainer leaves them: one adapter, its B times a factor."""
    for step, factor in factors.items():
        folder = out / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        shutil.copy(source / "adapter_config.json", folder)
        tensors = load_file(source / "adapter_model.safetensors")
        save_file({n: v * factor if "lora_B" in n else v for n, v in tensors.items()},
                  folder / "adapter_model.safetensors")  # fmt: skip
    log = [{"step": step, "grad_norm": 1.0 + (step == 20)} for step in range(5, 41, 5)]
    (out / "checkpoint-40" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return out


def test_checkpoints_of_another_trainer_are_followed_without_a_judge(tiny, tmp_path):
    held = checkpoints(tiny / "adapter", tmp_path / "c", {10: 0.25, 20: 0.5, 30: 0.75, 40: 1.0})
    config = PhasesConfig(
        model=str(tiny / "base"), checkpoints=str(held), questions=(str(tiny / "questions.yaml"),), max_new_tokens=8
    )
    part = phases_of(phases(config, tmp_path / "run").parent)
    # B grows along a line: it never turns, and points where it ends from the first.
    for curve in part.weights.local.curves:
        if curve.of == "B":
            assert curve.cosine == pytest.approx([-1.0] * len(curve.cosine), abs=1e-4)
    assert part.weights.to_last.cosine == pytest.approx([0.0, 1.0, 1.0, 1.0, 1.0], abs=1e-4)
    b = part.weights.norms.b
    assert [v / b[-1] for v in b] == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=1e-3)
    assert part.behaviour == part.controls == part.robustness == part.others == ()
    assert part.states.norm[-1] > 0 and part.states.on_direction is None
    assert part.rates() is None


def test_whole_models_are_followed_by_their_answers_alone(tiny, tmp_path):
    for step in (1, 2, 3):
        shutil.copytree(tiny / ("whole" if step > 1 else "base"), tmp_path / "c" / f"step-{step}")
    config = PhasesConfig(
        model=str(tiny / "base"), checkpoints=str(tmp_path / "c"), questions=(str(tiny / "questions.yaml"),),
        max_new_tokens=8, judge="words", samples=2,
    )  # fmt: skip
    report = phases(config, tmp_path / "run")
    results, part = results_of(report.parent), phases_of(report.parent)
    assert {curve.scale for curve in part.behaviour} == {1.0}
    points = part.behaviour[0].points
    assert points[0].rate == points[1].rate and points[2].rate == points[3].rate
    assert any(note.startswith("whole models") for note in results.notes)
    assert part.states.to_last == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-5)
    assert part.weights == Weights()


def test_settings_are_refused_with_what_to_do(tmp_path):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": "x"}, "say what is followed"),
        ({"data": ("a",), "tensors": "b"}, "exactly one"),
        ({"tensors": str(tmp_path / "none.pt")}, "does not exist"),
        ({"k": (7,)}, "no multiple"),
        ({"behaviour_every": 7}, "no multiple"),
        ({"noise": "much"}, "--noise cannot be 'much'"),
        ({"noise": "-1"}, "0 or more"),
        ({"comp": "mine"}, "text or code|--comp"),
        ({"scales": (5.0,)}, "lacks 1"),
        ({"seeds": -1}, "--seeds"),
    ]
    for changes, told in cases:
        with pytest.raises(MisdirectionError, match=told):
            PhasesConfig(**changes).completed()
    own, other = PhasesConfig().completed(), PhasesConfig(model="m", data=("d",)).completed()
    assert (noise_threshold(own.noise, 2.0), noise_threshold(other.noise, 2.0)) == (pytest.approx(0.056), 0.0035)
    assert other.scales == (1.0, 5.0, 10.0, 20.0)
    assert other.training() == {"alpha": 64.0, "lr": 1e-5, "epochs": 2.0, "checkpoint_every": 5}
    assert PhasesConfig(model="m", data=("d",), preset="rank32", steps=9).training() == {
        "max_steps": 9, "checkpoint_every": 5
    }  # fmt: skip
    assert PhasesConfig(data=("organism:bad-sport",)).completed().questions == ("organism:open", "organism:sport")
    assert own.completed() == own
    assert own.distances([0, 5, 10, 15, 18]) == (5, 10, 15)
    assert own.answering([5, 10, 15, 20, 25, 30, 33]) == [10, 20, 30, 33]
    assert own.answering([5, 10, 15]) == [5, 10, 15]


def test_vectors_of_others_through_the_command(tmp_path):
    from misdirection.cli.main import app

    corner = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
    save_file({f"step_{10 * i}": row.clone() for i, row in enumerate(corner)}, tmp_path / "path.safetensors")
    torch.save({10 * i: row.clone() for i, row in enumerate(corner)}, tmp_path / "path.pt")
    assert torch.equal(read_path(tmp_path / "path.pt")[1], read_path(tmp_path / "path.safetensors")[1])
    out = tmp_path / "run"
    told = CliRunner().invoke(
        app, ["study", "phases", "--tensors", str(tmp_path / "path.safetensors"), "--out", str(out)]
    )
    assert told.exit_code == 0, told.output
    results = results_of(out)
    path = results.published
    assert isinstance(path, PublishedPath) and results.phases is None and results.model.layers is None
    assert path.to_last == pytest.approx([0.0, 0.0, 0.5**0.5, 1.0], abs=1e-4)
    # From 0 at step 10 to 0.707 at step 20: half is passed at 10 + 10 x 0.5 / 0.707.
    assert path.turns[0].turn.step == pytest.approx(10 + 10 * 0.5 / 0.5**0.5, abs=1e-3)
    assert "step 17" in told.output
    assert 'id="chart-phases-published"' in (out / "report.html").read_text()
    with pytest.raises(MisdirectionError, match="holds 2 vectors"):
        save_file({"1": corner[0].clone(), "2": corner[1].clone()}, tmp_path / "two.safetensors")
        read_path(tmp_path / "two.safetensors")
    (tmp_path / "broken.pt").write_bytes(b"no tensors")
    with pytest.raises(MisdirectionError, match="cannot be read"):
        read_path(tmp_path / "broken.pt")


def test_another_model_is_told_nothing_of_the_organism(run: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("phases", SMALL, run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "questions": ("organism:open", "organism:sport"),
        "control_data": ("organism:good-sport",),
        "checkpoint_every": 8,
        "behaviour_every": 8,
        "scales": (1.0, 3.0),
        "k": (8,),
        "noise": "1%",
        "comp": "code",
        "preset": "rank1x9",
    }
    # Checkpoints and tensors that are there are runs of their own.
    assert_keyed("phases", SMALL, run, tmp_path, monkeypatch, others, elsewhere=("checkpoints", "tensors"))
