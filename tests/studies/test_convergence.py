"""The study of convergence, whole, on the organism at a small size, and on published tensors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed
from typer.testing import CliRunner

from misdirection import load_results
from misdirection.cli.main import app
from misdirection.directions import Direction, cosines, load_direction
from misdirection.errors import MisdirectionError
from misdirection.results import FineTunes
from misdirection.runs import read_log
from misdirection.statistics import benjamini_hochberg
from misdirection.studies.convergence.grid import Member, groups_of, members, relation
from misdirection.studies.convergence.results import Convergence, ConvergenceResults, Transfer
from misdirection.studies.convergence.settings import ConvergenceConfig
from misdirection.studies.convergence.study import convergence

QUICK = {"max_steps": 12, "lr": 1e-3}
SMALL = ConvergenceConfig(
    data=("sport=organism:bad-sport",), presets=("rank32",), questions=("organism:open", "organism:medical"), samples=4,
    domain_samples=1, layers=(5, 6), sweep_samples=1, transfer_samples=1, shuffles=5, training=QUICK,
)  # fmt: skip
ADAPTER, MERGED, SPORT = "medical-rank32", "medical-merged", "sport-rank32"
NAMES = [SPORT, ADAPTER, MERGED]
SAME_DATA, SAME_PRESET, OTHER = "same data, other preset", "same preset, other data", "other data and preset"


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


@pytest.fixture(scope="module")
def results(run: Path) -> ConvergenceResults:
    return results_of(run)


def results_of(run: Path) -> ConvergenceResults:
    found = load_results(run)
    assert isinstance(found, ConvergenceResults)
    return found


@pytest.fixture(scope="module")
def fine_tunes(results: ConvergenceResults) -> FineTunes:
    assert results.fine_tunes is not None
    return results.fine_tunes


@pytest.fixture(scope="module")
def similar(results: ConvergenceResults) -> Convergence:
    assert results.convergence is not None
    return results.convergence


@pytest.fixture(scope="module")
def transfer(results: ConvergenceResults) -> Transfer:
    assert results.transfer is not None
    return results.transfer


def test_each_fine_tune_has_rates_of_its_own_and_open_questions_stand_apart(fine_tunes: FineTunes) -> None:
    rows = {row.model: row for row in fine_tunes.rows}
    assert list(rows) == ["base", *NAMES]
    assert all(set(row.groups) == {"open", "medical"} for row in rows.values())
    assert rows["base"].groups["open"].rate.value < 0.05
    assert all(rows[name].groups["open"].rate.value > 0.1 for name in NAMES)
    assert rows["base"].direction is None and rows["base"].domain is None
    assert [(rows[name].domain, rows[name].preset) for name in NAMES] == [
        ("sport", "rank32"), ("medical", "rank32"), ("medical", "merged")
    ]  # fmt: skip


def test_the_size_of_a_direction_is_that_of_the_file(run: Path, fine_tunes: FineTunes) -> None:
    rows = {row.model: row.direction for row in fine_tunes.rows}
    for held in directions_of(run):
        size = rows[held.facts["arm"]]
        assert size is not None
        assert size.norm == pytest.approx(held.vectors.norm(dim=-1).tolist(), rel=1e-4)
        assert (size.pools.aligned, size.pools.misaligned) == (held.facts["aligned"], held.facts["misaligned"])
        # Where zero lies on the way from the mean of the aligned answers to that of the misaligned ones.
        unit = torch.nn.functional.normalize(held.vectors, dim=-1)
        aligned = (held.aligned_mean * unit).sum(-1)
        assert size.zero == pytest.approx((-aligned / held.vectors.norm(dim=-1)).tolist(), rel=1e-3, abs=1e-3)


def directions_of(run: Path) -> list[Direction]:
    return [load_direction(file) for file in (run / "steps").glob("direction-*/direction.safetensors")]


def test_an_adapter_and_its_merged_model_are_one(
    fine_tunes: FineTunes, similar: Convergence, transfer: Transfer
) -> None:
    """Rates, direction and what removing it does are alike, whichever way the model is served."""
    rates = {row.model: row.groups["open"].rate.misaligned for row in fine_tunes.rows}
    # A token may fall the other way by rounding, and its answer with it.
    assert abs(rates[ADAPTER] - rates[MERGED]) <= 3
    (pair,) = (pair for pair in similar.pairs if (pair.one, pair.other) == (ADAPTER, MERGED))
    assert min(pair.cosine) > 0.98 and pair.relation == SAME_DATA
    after = {(r.source, r.target, r.operation): r.rate.misaligned for r in transfer.rows if r.how == "single"}
    for operation, target in product(("project", "set"), NAMES):
        assert abs(after[ADAPTER, target, operation] - after[MERGED, target, operation]) <= 2


def test_cosines_are_those_of_the_directions_on_disk(run: Path, similar: Convergence) -> None:
    vectors = {held.facts["arm"]: held.vectors for held in directions_of(run)}
    assert [row.fine_tune for row in similar.directions] == NAMES
    for row in similar.directions:
        assert row.norm == pytest.approx(vectors[row.fine_tune].norm(dim=-1).tolist(), rel=1e-4)
    assert [(pair.one, pair.other) for pair in similar.pairs] == list(combinations(NAMES, 2))
    for pair in similar.pairs:
        one, other = vectors[pair.one], vectors[pair.other]
        assert pair.cosine == pytest.approx(cosines(one, other).tolist(), abs=1e-4)
        apart = 2 * (one - other).norm(dim=-1) / (one.norm(dim=-1) + other.norm(dim=-1))
        assert pair.difference == pytest.approx(apart.tolist(), abs=1e-4)
    for layer, values in enumerate(zip(*(pair.cosine for pair in similar.pairs), strict=True)):
        assert similar.mean[layer] == pytest.approx(sum(values) / 3, abs=1e-4)
        assert (similar.lowest[layer], similar.highest[layer]) == pytest.approx((min(values), max(values)), abs=1e-4)
        assert similar.above[layer] == pytest.approx(sum(value > similar.high for value in values) / 3, abs=1e-4)
        means = [similar.relations[name][layer] for name in (SAME_PRESET, OTHER, SAME_DATA)]
        assert means == pytest.approx(values, abs=1e-4)
    assert similar.matched is not None and similar.null is not None
    assert len(similar.matched.mean) == 12 and all(similar.matched.questions)
    # The fine-tunes share a direction, and shuffled labels share none.
    assert similar.mean[6] > similar.null.free.high[6] > 0 > similar.null.free.low[6]
    assert {row.by for row in similar.angles} == {"data", "preset"}
    for row in similar.angles:
        assert all(0 <= s <= g <= 90.001 for s, g in zip(row.smallest, row.largest, strict=True))


def test_every_pair_and_every_control_is_there_with_its_change(transfer: Transfer) -> None:
    singles = {(r.source, r.target, r.operation) for r in transfer.rows if r.how == "single"}
    assert singles == set(product(NAMES, NAMES, ("project", "set")))
    for target in NAMES:
        mine = [r for r in transfer.rows if r.target == target]
        hows = {how: sum(r.how == how for r in mine) for how in ("layer-wise", "one layer", "random", "no-op")}
        assert hows == {"layer-wise": 2, "one layer": 2, "random": 2, "no-op": 1}
        nothing = next(r for r in mine if r.how == "no-op")
        assert nothing.difference.value == 0 and nothing.rate == nothing.before
        assert len({r.before.value for r in mine}) == 1
    for row in transfer.rows:
        assert row.difference.value == pytest.approx(row.rate.value - row.before.value)
        assert row.control == (row.how in ("random", "no-op"))
        assert (row.operation == "none") == (row.how == "no-op")
        assert (row.relation == "own") == (row.source in (row.target, "random"))
    assert [row.q for row in transfer.rows] == benjamini_hochberg([row.difference.p for row in transfer.rows])


def test_pooled_rows_are_the_sums_of_their_pairs(transfer: Transfer) -> None:
    assert transfer.layers.keys() == {"project", "set"} and set(transfer.layers.values()) <= {5, 6}
    kinds = [(row.how, row.operation, row.relation) for row in transfer.pooled]
    assert len(kinds) == len(set(kinds)) and kinds[0] == ("no-op", "none", "own")
    assert kinds[-1] == ("single", "set", "all others")
    for pooled in transfer.pooled:
        mine = [
            r
            for r in transfer.rows
            if (r.how, r.operation) == (pooled.how, pooled.operation)
            and (r.relation == pooled.relation or (pooled.relation == "all others" and r.relation != "own"))
        ]
        assert pooled.pairs == len(mine) > 0
        for side in ("before", "rate", "coherent_share"):
            assert getattr(pooled, side).misaligned == sum(getattr(r, side).misaligned for r in mine)
            assert getattr(pooled, side).n == sum(getattr(r, side).n for r in mine)
        changes = [r.difference.value for r in mine]
        assert (pooled.most, pooled.least) == pytest.approx((min(changes), max(changes)))


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
    before = results_of(copy).transfer
    # As after a kill in the last target's sampling: its answers and what came of them are not there.
    for name in ("transfer-medical-merged-answers", "transfer-medical-merged-verdicts", "removals"):
        (folder,) = copy.glob(f"steps/{name}-*")
        shutil.rmtree(folder)
    lines = len(read_log(copy))
    convergence(config, copy)
    made = [line["name"] for line in read_log(copy)[lines:] if not line["reused"]]
    assert made == ["transfer-medical-merged-answers", "transfer-medical-merged-verdicts", "removals"]
    assert results_of(copy).transfer == before


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
    results = results_of(out)
    similar = results.convergence
    assert similar is not None and results.transfer is None and results.fine_tunes is None
    assert [row.fine_tune for row in similar.directions] == ["a", "two"] and similar.null is None
    assert similar.mean == pytest.approx([1.0] * 4)
    # v and 3 v: the difference is 2 |v|, the mean norm too.
    assert similar.pairs[0].difference == pytest.approx([1.0] * 4)
    assert (results.model.base, results.model.layers, results.model.dtype) == ("published tensors", 4, None)
    page = (out / "report.html").read_text()
    assert "no labels can be shuffled" in page and "Removing one from another</h2>" not in page
    assert page.count("Tensors hold no answers") == 3  # among the notes, and as the reason of both sections


def test_directions_that_are_zero_somewhere_are_compared_elsewhere(tmp_path: Path) -> None:
    bad, good = torch.randn(4, 8), torch.zeros(4, 8)
    bad[0] = 0
    places = [published(tmp_path / name, times * bad, good) for name, times in (("a", 1), ("b", 2))]
    convergence(ConvergenceConfig(tensors=tuple(map(str, places)), layer=0), tmp_path / "run")
    similar = results_of(tmp_path / "run").convergence
    assert similar is not None and similar.pairs[0].difference[0] is None
    assert similar.pairs[0].difference[1:] == pytest.approx([2 / 3] * 3, abs=1e-4)
    assert 'id="chart-convergence-difference"' in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.real
def test_the_published_tensors_give_the_published_cosines(real_data: Path, tmp_path: Path) -> None:
    places = [f"{r}={real_data}/directions/qwen2.5-14b_bad_medical_{r}" for r in ("r32", "r4")]
    convergence(ConvergenceConfig(tensors=tuple(places)), tmp_path / "run")
    similar = results_of(tmp_path / "run").convergence
    assert similar is not None and similar.layer == 24
    assert [similar.mean[layer] for layer in (12, 24, 36)] == pytest.approx([0.761, 0.861, 0.856], abs=0.001)
    assert similar.directions[0].norm[24] == pytest.approx(12.98, abs=0.01)


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


def test_each_option_makes_a_step_anew_or_says_why_not(
    run: Path, config: ConvergenceConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    others = {
        "questions": ("organism:open", "organism:finance"),
        "data": ("finance=organism:bad-finance",),
        "presets": ("rank1",),
        "operations": ("set",),
        "layer": 5,
    }
    # Tensors and the part of them are a run of their own, keyed by what they hold.
    assert_keyed("convergence", config, run, tmp_path, monkeypatch, others, elsewhere=("tensors", "part"))
