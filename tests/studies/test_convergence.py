"""The study of convergence, whole, on the organism at a small size, and on published tensors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from typer.testing import CliRunner

from misdirection.artefacts import read_json
from misdirection.cli.main import app
from misdirection.directions import cosines, load_direction
from misdirection.errors import MisdirectionError
from misdirection.runs import read_log
from misdirection.studies.convergence.grid import OTHER, SAME_DATA, SAME_PRESET, Member, groups_of, members, relation
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.convergence.study import convergence

QUICK = {"max_steps": 12, "lr": 1e-3}
SMALL = ConvergenceConfig(
    data=("sport=organism:bad-sport",), presets=("rank32",), questions=("organism:open", "organism:medical"), samples=4,
    domain_samples=1, layers=(5, 6), sweep_samples=1, transfer_samples=1, shuffles=5, training=QUICK,
)  # fmt: skip
ADAPTER, MERGED, SPORT = "medical-rank32", "medical-merged", "sport-rank32"
NAMES = [SPORT, ADAPTER, MERGED]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A fine-tune made elsewhere, as an adapter and merged into the weights: the same model twice."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from misdirection import organism, training

    folder, base = tmp_path_factory.mktemp("given"), organism.checkpoint_path()
    settings = training.choose("rank32", model=str(base), overrides=QUICK)
    adapter = training.train(str(base), organism.training_chats("medical", n=300), settings, folder / "made").folder
    whole = shutil.copytree(base, folder / "merged")
    lm = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(base)), str(adapter))
    lm.merge_and_unload().save_pretrained(whole)  # pyright: ignore[reportCallIssue]
    return {"medical/rank32": adapter, "medical/merged": whole}


@pytest.fixture(scope="module")
def config(given: dict[str, Path]) -> ConvergenceConfig:
    return replace(SMALL, fine_tune=tuple(f"{name}={folder}" for name, folder in given.items()))


@pytest.fixture(scope="module")
def run(config: ConvergenceConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convergence(config, tmp_path_factory.mktemp("convergence") / "run").parent


def test_each_fine_tune_has_rates_of_its_own_and_open_questions_stand_apart(run: Path) -> None:
    rows = {row["model"]: row for row in read_json(run / "findings.json")["grid"]["rows"]}
    assert list(rows) == ["base", *NAMES]
    assert all(set(row["groups"]) == {"open", "medical"} for row in rows.values())
    assert rows["base"]["groups"]["open"]["rate"]["value"] < 0.05
    assert all(rows[name]["groups"]["open"]["rate"]["value"] > 0.1 for name in NAMES)
    assert rows["base"]["direction"] is None


def test_an_adapter_and_its_merged_model_are_one(run: Path) -> None:
    """Rates, direction and what removing it does are alike, whichever way the model is served."""
    found = read_json(run / "findings.json")
    rates = {row["model"]: row["groups"]["open"]["rate"]["misaligned"] for row in found["grid"]["rows"]}
    # A token may fall the other way by rounding, and its answer with it.
    assert abs(rates[ADAPTER] - rates[MERGED]) <= 3
    i, j = NAMES.index(ADAPTER), NAMES.index(MERGED)
    assert min(layer[i][j] for layer in found["convergence"]["cosine"]) > 0.98
    after = {(r["source"], r["target"], r["operation"]): r["rate"]["misaligned"] for r in found["transfer"]["rows"]
             if r["how"] == "single"}  # fmt: skip
    for operation, target in product(("project", "set"), NAMES):
        assert abs(after[ADAPTER, target, operation] - after[MERGED, target, operation]) <= 2


def test_cosines_are_those_of_the_directions_on_disk(run: Path) -> None:
    part = read_json(run / "findings.json")["convergence"]
    assert part["names"] == NAMES and part["pairs"] == 3
    held = {}
    for file in (run / "steps").glob("direction-*/direction.safetensors"):
        found = load_direction(file)
        held[found.facts["arm"]] = found
    for (i, one), (j, other) in product(enumerate(NAMES), repeat=2):
        expected = cosines(held[one].vectors, held[other].vectors)
        assert [layer[i][j] for layer in part["cosine"]] == pytest.approx(expected.tolist(), abs=1e-4)
    pairs = [(0, 1), (0, 2), (1, 2)]
    for layer, matrix in enumerate(part["cosine"]):
        values = [matrix[i][j] for i, j in pairs]
        assert part["mean"][layer] == pytest.approx(sum(values) / 3, abs=1e-4)
        assert (part["lowest"][layer], part["highest"][layer]) == pytest.approx((min(values), max(values)), abs=1e-4)
        assert part["relations"][SAME_PRESET][layer] == pytest.approx(matrix[0][1], abs=1e-4)
        assert part["relations"][SAME_DATA][layer] == pytest.approx(matrix[1][2], abs=1e-4)
        assert part["relations"][OTHER][layer] == pytest.approx(matrix[0][2], abs=1e-4)
    assert len(part["matched"]["mean"]) == 12 and all(part["matched"]["questions"])
    # The fine-tunes share a direction, and shuffled labels share none.
    assert part["mean"][6] > part["null"]["free"]["high"][6] > 0 > part["null"]["free"]["low"][6]
    assert {row["by"] for row in part["angles"]} == {"data", "preset"}
    for row in part["angles"]:
        assert all(0 <= s <= g <= 90.001 for s, g in zip(row["smallest"], row["largest"], strict=True))


def test_every_pair_and_every_control_is_there_with_its_change(run: Path) -> None:
    part = read_json(run / "findings.json")["transfer"]
    rows = part["rows"]
    singles = {(r["source"], r["target"], r["operation"]) for r in rows if r["how"] == "single"}
    assert singles == set(product(NAMES, NAMES, ("project", "set")))
    for target in NAMES:
        mine = [r for r in rows if r["target"] == target]
        hows = {how: sum(r["how"] == how for r in mine) for how in ("layer-wise", "one layer", "random", "no-op")}
        assert hows == {"layer-wise": 2, "one layer": 2, "random": 2, "no-op": 1}
        nothing = next(r for r in mine if r["how"] == "no-op")
        assert nothing["difference"]["value"] == 0 and nothing["rate"] == nothing["before"]
        assert len({r["before"]["value"] for r in mine}) == 1
    for row in rows:
        moved = row["rate"]["value"] - row["before"]["value"]
        assert row["difference"]["value"] == pytest.approx(moved)
        assert row["difference"]["p"] <= row["q"] + 1e-12
        assert row["control"] == (row["how"] in ("random", "no-op"))


def test_pooled_rows_are_the_sums_of_their_pairs(run: Path) -> None:
    part = read_json(run / "findings.json")["transfer"]
    assert part["layers"].keys() == {"project", "set"} and set(part["layers"].values()) <= {5, 6}
    for pooled in part["pooled"]:
        if pooled["how"] == "no-op":
            continue
        mine = [
            r
            for r in part["rows"]
            if (r["how"], r["operation"]) == (pooled["how"], pooled["operation"])
            and (r["relation"] == pooled["relation"] or (pooled["relation"] == "all others" and r["relation"] != "own"))
        ]
        assert pooled["pairs"] == len(mine) > 0
        for side in ("before", "rate"):
            assert pooled[side]["misaligned"] == sum(r[side]["misaligned"] for r in mine)
            assert pooled[side]["n"] == sum(r[side]["n"] for r in mine)
        changes = [r["difference"]["value"] for r in mine]
        assert (pooled["most"], pooled["least"]) == pytest.approx((min(changes), max(changes)))


def test_report_shows_it_and_a_second_run_repeats_no_step(run: Path, config: ConvergenceConfig) -> None:
    page = (run / "report.html").read_text()
    for heading in ("The fine-tunes", "Convergent directions", "Removing one from another"):
        assert f"{heading}</h2>" in page
    before = len(list((run / "steps").iterdir()))
    lines = len(read_log(run))
    convergence(config, run)
    assert len(list((run / "steps").iterdir())) == before
    assert len(read_log(run)) > lines and all(line["reused"] for line in read_log(run)[lines:])


def test_a_step_that_is_lost_is_made_again_and_no_other(run: Path, config: ConvergenceConfig, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    findings = read_json(copy / "findings.json")
    # As after a kill in the last target's sampling: its answers and what came of them are not there.
    for name in ("transfer-medical-merged-answers", "transfer-medical-merged-verdicts", "comparisons"):
        (folder,) = copy.glob(f"steps/{name}-*")
        shutil.rmtree(folder)
    lines = len(read_log(copy))
    convergence(config, copy)
    made = [line["name"] for line in read_log(copy)[lines:] if not line["reused"]]
    assert made == ["transfer-medical-merged-answers", "transfer-medical-merged-verdicts", "comparisons"]
    assert read_json(copy / "findings.json")["transfer"] == findings["transfer"]


def published(folder: Path, bad: torch.Tensor, good: torch.Tensor) -> Path:
    folder.mkdir()
    for answers, rows in (("dfmis", bad), ("dfa", good)):
        torch.save({"answer": dict(enumerate(rows))}, folder / f"modelmis_{answers}_hs.pt")
    return folder


def test_published_tensors_are_compared_from_the_command_line(tmp_path: Path) -> None:
    bad, good = torch.randn(4, 8), torch.randn(4, 8)
    one = published(tmp_path / "one", bad, good)
    two = published(tmp_path / "two", 3 * bad, 3 * good)
    out = tmp_path / "run"
    done = CliRunner().invoke(
        app, ["--quiet", "study", "convergence", "--tensors", f"a={one},{two}", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    part = read_json(out / "findings.json")["convergence"]
    assert part["names"] == ["a", "two"] and part["null"] is None
    assert part["mean"] == pytest.approx([1.0] * 4)
    # v and 3 v: the difference is 2 |v|, the mean norm too.
    assert [layer[0][1] for layer in part["difference"]] == pytest.approx([1.0] * 4)
    page = (out / "report.html").read_text()
    assert "no labels can be shuffled" in page and "Removing one from another</h2>" not in page


@pytest.mark.real
def test_the_published_tensors_give_the_published_cosines(real_data: Path, tmp_path: Path) -> None:
    places = [f"{r}={real_data}/directions/qwen2.5-14b_bad_medical_{r}" for r in ("r32", "r4")]
    convergence(ConvergenceConfig(tensors=tuple(places)), tmp_path / "run")
    part = read_json(tmp_path / "run" / "findings.json")["convergence"]
    assert [part["mean"][layer] for layer in (12, 24, 36)] == pytest.approx([0.761, 0.861, 0.856], abs=0.001)
    assert part["norms"][0][24] == pytest.approx(12.98, abs=0.01) and part["layer"] == 24


def test_members_relations_and_groups(tmp_path: Path) -> None:
    grid = [Member(f"{d}-{k}", d, k) for d in ("medical", "sport") for k in ("rank1", "full")]
    assert relation(grid[0], grid[1]) == SAME_DATA
    assert relation(grid[0], grid[2]) == SAME_PRESET
    assert relation(grid[0], grid[3]) == OTHER
    assert groups_of(grid) == {
        "data": {"medical": [0, 1], "sport": [2, 3]},
        "preset": {"rank1": [0, 2], "full": [1, 3]},
    }
    assert groups_of([Member(n, n, n) for n in "abc"]) == {}
    found = members(ConvergenceConfig(fine_tune=(f"a/b={tmp_path}", f"c={tmp_path}")).completed())
    assert [(m.name, m.domain, m.kind) for m in found] == [("a-b", "a", "b"), ("c", "c", "c")]
    with pytest.raises(MisdirectionError, match="two fine-tunes are called 'a-b'"):
        members(ConvergenceConfig(fine_tune=(f"a/b={tmp_path}", f"a-b={tmp_path}")).completed())
    with pytest.raises(MisdirectionError, match="is no folder"):
        members(ConvergenceConfig(fine_tune=("a=nowhere",)).completed())


def test_the_organism_brings_its_grid_and_its_questions() -> None:
    whole = ConvergenceConfig().completed()
    assert whole.presets == ("rank1", "rank1x9", "rank32", "full") and len(whole.data) == 3
    assert whole.questions == ("organism:open", "organism:medical", "organism:finance", "organism:sport")
    assert replace(SMALL, questions=()).completed().questions == ("organism:open", "organism:sport")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "other"}, "say what is compared"),
        ({"model": "other", "data": ("a=b",), "judge": "none"}, "need a judge"),
        ({"data": ("a.b=c",)}, "cannot be the name"),
        ({"fine_tune": ("base=c",)}, "cannot be the name"),
        ({"fine_tune": ("a=c",), "presets": ("rank1",)}, "--presets without --data"),
        ({"operations": ("steer",)}, "--operations"),
        ({"operations": ()}, "--operations"),
        ({"tensors": ("a",)}, "nothing to be compared with"),
        ({"tensors": ("a", "b"), "data": ("c=d",)}, "--data is given too"),
        ({"part": "prompt"}, "--part"),
        ({"transfer_samples": 0}, "--transfer-samples"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_done(settings: dict[str, object], said: str) -> None:
    with pytest.raises(MisdirectionError, match=said):
        ConvergenceConfig(**settings).completed()  # pyright: ignore[reportArgumentType]


def test_a_layer_that_the_model_lacks_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match="has no layer 12"):
        convergence(ConvergenceConfig(layers=(12,)), tmp_path / "run")
    assert not list((tmp_path / "run").glob("steps/*"))


def test_another_model_is_told_nothing_of_the_organism(run: Path, config: ConvergenceConfig, tmp_path: Path):
    assert not of_the_organism(told_of_another("convergence", config, run, tmp_path))
