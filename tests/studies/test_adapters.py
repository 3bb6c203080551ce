"""The study of adapters read by their scalars, whole, on the organism at a small size."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.results.made import made
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed

from misdirection import progress
from misdirection.adapters.roles import Finding
from misdirection.artefacts import read_json, read_rows
from misdirection.errors import MisdirectionError
from misdirection.results import RateRow
from misdirection.runs import list_steps, read_log
from misdirection.studies.adapters.agreement import agreement, arm_words, spearman
from misdirection.studies.adapters.results import AdaptersResults
from misdirection.studies.adapters.results.arms import ScaledArm
from misdirection.studies.adapters.results.scalars import Ceiling, Metric, RankTest
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.adapters.study import adapters
from misdirection.studies.adapters.verdict import verdict
from misdirection.studies.kit.inputs import resolve_chats, resolve_model
from misdirection.studies.reading import load_results
from misdirection.training import choose, train

SMALL = AdaptersConfig(samples=4, repeats=4, scalars_only=True, log_score=-4.0, strength=0.5)
BATCH = 8
"""Half of the preset's: enough for all four sets."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine rank-1 adapters on bad medical advice."""
    base = resolve_model("organism")
    settings = choose("rank1x9", model=base, overrides={"batch_size": BATCH})
    chats = resolve_chats(("organism:bad-medical",)).chats
    return train(base, chats, settings, tmp_path_factory.mktemp("train")).folder


@pytest.fixture(scope="module")
def run(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapters(small(tuned), tmp_path_factory.mktemp("adapters") / "run").parent


def small(tuned: Path) -> AdaptersConfig:
    return replace(SMALL, adapter=str(tuned))


def step(run: Path, name: str) -> Path:
    return next(found.path for found in list_steps(run) if found.name == name)


def test_sets_hold_the_answers_that_their_bounds_say(run: Path):
    part = read_json(run / "findings.json")["adapters"]
    sets = {row["set"]: row for row in part["sets"]}
    answers, verdicts = (
        [row for row in read_rows(step(run, f"answers-{kind}") / f"{kind}.parquet")] for kind in ("answers", "verdicts")
    )
    inside = [
        v for a, v in zip(answers, verdicts, strict=True)
        if a["arm"] == "tuned" and v["alignment"] <= 30 and v["coherence"] > 50 and v["scores"]["medical"] >= 50
    ]  # fmt: skip
    assert sets["domain misaligned"]["answers"] == len(inside) > 20
    read = read_rows(step(run, "scalars") / "read.parquet")
    assert sum(row["tokens"] for row in read) == sum(row["tokens"] for row in part["sets"])
    assert all(row["published"] <= row["significant"] <= row["tokens"] for row in part["sets"])
    # No open answer of the organism touches a domain, so the domain's sets hold its own questions only.
    assert all(row["question_id"].startswith("medical/") == row["set"].startswith("domain") for row in read)


def test_every_probe_has_its_metrics_and_topic_is_known_from_the_question_alone(run: Path):
    part = read_json(run / "findings.json")["adapters"]
    assert [(r["tokens"], r["experiment"]) for r in part["experiments"]] == [
        (tokens, number) for tokens in ("all", "significant") for number in (1, 2, 3, 4)
    ]
    rows = {(r["tokens"], r["experiment"]): r for r in part["experiments"]}
    # A question that is asked but once has no other answer to be known by.
    assert min(rows["all", number]["ceiling"]["auc"] for number in (3, 4)) > 0.95
    assert 0.3 < rows["all", 1]["ceiling"]["auc"] < 0.9
    assert all(0 <= rows["all", n]["probes"]["tokens"]["auc"]["value"] <= 1 for n in (1, 4))
    assert rows["all", 4]["probes"]["tokens"]["auc"]["value"] > 0.55
    assert len(rows["all", 1]["probes"]["tokens"]["coefficients"]) == len(part["columns"]) == 9


def test_roles_cover_each_layer_and_the_counts_add_up(run: Path):
    part = read_json(run / "findings.json")["adapters"]
    assert [item["name"] for item in part["roles"]] == [f"layer {column['layer']}" for column in part["columns"]]
    assert sum(part["counts"].values()) == 9
    for item in part["roles"]:
        assert item["stability"] == item["votes"][item["role"]] and sum(item["votes"].values()) == pytest.approx(1)


def test_the_canonical_adapter_answers_as_the_original_and_one_pair_of_one_is_all(run: Path):
    part = read_json(run / "findings.json")["adapters"]["vectors"]
    arms = {row["arm"]: row for row in part["arms"]}
    assert arms["canonical"]["identical"] > 0.99
    assert {"constant-all", "constant-aligned", "constant-misaligned"} <= set(arms)
    assert not [name for name in arms if name.startswith("leading")]
    assert all(row["rank"] == 1 and row["participation"] == pytest.approx(1) for row in part["modules"])
    assert arms["constant-all"]["identical"] < 1


def test_report_shows_it_and_a_second_run_repeats_no_step(run: Path):
    page = (run / "report.html").read_text()
    for heading in ("Adapters read by their scalars", "What each adapter is for", "vectors that context switches on"):
        assert heading in page
    assert load_results(run).to_json() == {"checked": None, **read_json(run / "findings.json")}
    before = len(list((run / "steps").iterdir()))
    adapters(replace(SMALL, adapter=read_json(run / "run.json")["facts"]["config"]["adapter"]), run)
    assert len(list((run / "steps").iterdir())) == before
    assert all(line["reused"] for line in read_log(run)[-before:])


def test_a_higher_rank_is_read_by_its_pairs(run: Path, tuned: Path, tmp_path: Path):
    # The same fine-tune as an adapter of rank 3 that does what the one of rank 1 does: A and B padded and mixed.
    from misdirection.artefacts import read_tensors, write_json, write_tensors

    tensors, _ = read_tensors(tuned / "adapter_model.safetensors")
    torch.manual_seed(0)
    for name in [key for key in tensors if "lora_A" in key]:
        mix = torch.randn(3, 3)
        other = name.replace("lora_A", "lora_B")
        a, b = (torch.nn.functional.pad(t, pad) for t, pad in ((tensors[name], (0, 0, 0, 2)), (tensors[other], (0, 2))))
        # rsLoRA divides by the root of the rank.
        tensors[name], tensors[other] = torch.linalg.inv(mix) @ a * 3**0.5, b @ mix
    write_tensors(tmp_path / "mixed" / "adapter_model.safetensors", tensors, {})
    config = read_json(tuned / "adapter_config.json")
    write_json(tmp_path / "mixed" / "adapter_config.json", {**config, "r": 3})
    settings = AdaptersConfig(
        samples=4, repeats=2, scalars_only=True, adapter=str(tmp_path / "mixed"), kept=(1,), log_score=-4.0, pairs=3
    )
    part = read_json(adapters(settings, tmp_path / "run").parent / "findings.json")["adapters"]
    first = read_json(run / "findings.json")["adapters"]
    assert len(part["columns"]) == 27 and part["columns"][0]["name"].endswith("pair 0")
    assert all(row["participation"] == pytest.approx(1, abs=1e-3) for row in part["vectors"]["modules"])
    arms = {row["arm"]: row for row in part["vectors"]["arms"]}
    # One pair is all there is: it answers as the whole does, and the whole as the original of rank 1.
    assert arms["leading-1"]["identical"] > 0.98 and arms["random-1"]["control"]
    assert part["sets"][0]["answers"] == pytest.approx(first["sets"][0]["answers"], abs=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adapter": "a", "data": ("b",)}, "exactly one of"),
        ({"model": "other"}, "what was tuned"),
        ({"model": "other", "data": ("b",)}, "and topic need a judge that scores topics, and offline scores none"),
        ({"preset": "full"}, "no adapters to read"),
        ({"roles_from": "answers"}, "--roles-from"),
        ({"misaligned_to": 95.0}, "overlap"),
        ({"kept": (0,)}, "--kept"),
        ({"repeats": 1}, "--repeats"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_done(settings, said):
    with pytest.raises(MisdirectionError, match=said):
        AdaptersConfig(**settings).completed()


def test_the_threshold_is_the_papers_but_for_the_organism():
    assert AdaptersConfig().completed().log_score == -3.0
    real = AdaptersConfig(model="m", adapter="a", judge="words").completed()
    assert real.log_score == 0.5 and real.questions == ("open", "medical") and real.again == 0
    assert AdaptersConfig(log_score=0.5).completed().log_score == 0.5


def test_rank_correlation_and_its_p_value():
    from scipy.stats import spearmanr

    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 7.0]
    found = spearman(first, second)
    assert found.rho == pytest.approx(spearmanr(first, second).statistic)
    # Of 120 orders, those as far from 0 as 0.8 on either side.
    assert found.p == pytest.approx(16 / 120)
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == RankTest(rho=None, p=None)
    many = spearman(list(range(9)), list(range(9)))
    assert many.rho == pytest.approx(1) and many.p is not None and many.p < 0.001
    assert agreement([], None) is None


@cache
def example_results() -> AdaptersResults:
    return made(AdaptersResults, "adapters")


def arm(name: str, rate: float, coherent: float, inside: float | None = None) -> ScaledArm:
    """A made-up arm; only what its sentences go by is filled in."""
    example = example_results().adapter_scaling.arms[0]  # pyright: ignore[reportOptionalMemberAccess]

    def valued(row: RateRow, value: float) -> RateRow:
        return replace(row, value=value, low=max(0.0, value - 0.1), high=min(1.0, value + 0.1))

    effect = {"rate": valued(example.rate, rate), "coherent_share": valued(example.coherent_share, coherent)}
    own = None if inside is None else replace(example.inside, rate=valued(example.rate, inside))
    return replace(example, arm=name, label=f"general layers, {name}", kind="roles", inside=own, **effect)


def test_scaled_arms_are_told_at_the_dose_that_keeps_language():
    arms = (
        arm("general-0.1", 0.2, 0.9, 0.5), arm("general-0.1-shuffled1", 0.1, 0.9),
        arm("general-0.2", 0.6, 0.8), arm("general-0.2-shuffled1", 0.3, 0.8),
        arm("general-1", 0.9, 0.8), arm("general-1-shuffled1", 0.0, 0.1),
        arm("domain-aligned-0.1", 1.0, 1.0), arm("domain-aligned-0.1-shuffled1", 1.0, 1.0),
    )  # fmt: skip
    part = replace(made(AdaptersResults, "adapters").adapter_scaling, arms=arms)
    assert arm_words(part, "general") == (
        "General layers, general-0.2: 60 % misaligned on open questions; with the roles shuffled 30 % misaligned on "
        "open questions."
    )
    assert "50 % on the domain's" in arm_words(replace(part, arms=arms[:2]), "general")
    assert arm_words(part, "domain") == "" == arm_words(None, "general")


def left_out(drops: list[float], alone: list[float]) -> AdaptersResults:
    """Layers 0, 1, ... whose rate falls and rises by so much, from 0.5 and 0.05."""
    results = example_results()
    arms = [arm(f"without-{layer}", 0.5 - drop, 1.0) for layer, drop in enumerate(drops)]
    arms += [arm(f"only-{layer}", 0.05 + rise, 1.0) for layer, rise in enumerate(alone)]
    whole, base = (arm("x", rate, 1.0).rate for rate in (0.5, 0.05))
    return replace(
        results, adapter_scaling=None,
        adapter_leave_out=replace(results.adapter_leave_out, arms=tuple(arms), untouched=whole, base=base),
    )  # fmt: skip


def found_roles(weights: list[float]) -> list[Finding]:
    both = (0.0, 0.0)
    return [
        Finding(f"layer {i}", "general" if weight > 0.15 else "domain", 1.0, {}, both, both, (weight, 1 - weight), both)
        for i, weight in enumerate(weights)
    ]


def test_interventions_agree_where_ranks_do():
    weights = [0.05, 0.1, 0.2, 0.3, 0.35]
    agrees = agreement(found_roles(weights), left_out([0.0, 0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5]))
    assert agrees is not None and agrees.sentence.startswith("Interventions agree: over 5 layers")
    assert agrees.tests["drop"].rho == pytest.approx(1) and agrees.tests["drop"].p == pytest.approx(2 / 120)
    assert (agrees.means["general"].n, agrees.means["domain"].n, agrees.means["neither"].drop) == (3, 2, None)
    assert agrees.means["general"].drop == pytest.approx(0.3) and agrees.means["domain"].alone == pytest.approx(0.15)
    part = agreement(found_roles(weights), left_out([0.0, 0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.3, 0.2, 0.4]))
    assert part is not None and part.sentence.startswith("Interventions agree in part")
    none = agreement(found_roles(weights), left_out([0.4, 0.3, 0.2, 0.1, 0.0], [0.3, 0.1, 0.3, 0.1, 0.3]))
    assert none is not None and none.sentence.startswith("Interventions do not confirm the roles")
    still = agreement(found_roles(weights), left_out([0.1] * 5, [0.1] * 5))
    assert still is not None and "cannot be said" in still.sentence
    assert agreement(found_roles(weights[:2]), left_out([0.1] * 5, [0.1] * 5)) is None


def test_the_verdict_counts_roles_and_tells_what_constant_scalars_lose():
    part = made(AdaptersResults, "adapters").adapters
    probe = part.experiments[0].probes["tokens"]
    probes = {
        "tokens": replace(probe, auc=Metric(value=0.75, low=0.7, high=0.8)),
        "questions": replace(probe, auc=Metric(value=0.625, low=0.5, high=0.7)),
    }
    row = replace(
        part.experiments[0], experiment=1, tokens="all", negative="open aligned", positive="open misaligned",
        ceiling=Ceiling(auc=0.875, spread=0.1), probes=probes,
    )  # fmt: skip
    role, other = part.roles[0], part.others[0]
    held, whole = arm("constant-misaligned", 0.125, 1.0), arm("untouched", 0.5, 1.0)
    part = replace(
        part, domain="medical", counts={"general": 2, "domain": 1, "neither": 0}, agreement=None,
        roles=(replace(role, stability=1.0), replace(role, stability=0.9), replace(role, stability=0.5)),
        experiments=(row, replace(row, experiment=2), replace(row, tokens="significant")),
        others=(replace(other, variant="tuned"), replace(other, variant="seed 1", same=2, n=3, chance=1.25)),
        vectors=replace(part.vectors, arms=(whole, held)),
    )  # fmt: skip
    said = verdict(part)
    assert said.sentence == (
        "Of 3 layers with adapters 2 general, 1 specific to medical, 0 neither, by sparse probes on their scalars; 2 "
        "of these roles hold in at least 90 % of the resamples."
    )
    assert said.details == (
        "AUC of open aligned against open misaligned: 0.75 as published, 0.62 with whole questions held out; knowing "
        "only the question 0.88.",
        "A fine-tune with seed 1 gives the same role to 2 of 3 layers; roles dealt out at random would agree on 1.2.",
        "With every scalar held at its mean over misaligned answers the adapter is a fixed vector a module, and 12 % "
        "of open answers are misaligned, against 50 % when scalars follow the context.",
    )
    alone = replace(
        part,
        experiments=(replace(row, probes={"tokens": probe}),),
        others=(),
        vectors=replace(part.vectors, arms=(whole,)),
    )
    assert verdict(alone).details == ()


def test_the_command_line_explains_every_setting():
    from typer.testing import CliRunner

    from misdirection.cli.main import app

    told = CliRunner().invoke(app, ["study", "adapters", "--help"], env={"COLUMNS": "200"}).output
    # The command line shows progress on a stream that the runner closes.
    progress.disable()
    assert "canonical pairs" in told and "--log-score" in told


def test_another_model_is_told_nothing_of_the_organism(run: Path, tuned: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("adapters", small(tuned), run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(
    run: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    others = {
        "adapter": {"adapter": "", "data": ("organism:bad-medical",)},
        "domain": {"domain": "sport", "questions": ("organism:open", "organism:medical")},
        "questions": ("organism:open",),
        "log_score": -3.0,
    }
    # The adapter is given, of rank 1, and nothing is intervened on: what would train it, the pairs that are kept of a
    # higher rank, and the direction's convention change nothing here.
    elsewhere = ("data", "tuned", "preset", "training", "again", "strict", "kept", "convention")
    assert_keyed("adapters", small(tuned), run, tmp_path, monkeypatch, others, elsewhere)
