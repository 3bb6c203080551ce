"""The study of narrow and general solutions, whole, on the organism at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed
from tests.studies.tiny import made

from misdirection import load_results
from misdirection.artefacts import read_json, write_json
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.models import load_model
from misdirection.runs import read_log
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.judged import Judged
from misdirection.studies.narrow.measures import mean_interval
from misdirection.studies.narrow.neutral import neutral_source, neutral_texts
from misdirection.studies.narrow.results import Narrow, NarrowResults
from misdirection.studies.narrow.settings import NarrowConfig
from misdirection.studies.narrow.study import gap, narrow

SMALL = NarrowConfig(
    kinds=("rank1", "vector"), weights=(5.0,), questions=("organism:open", "organism:medical", "organism:finance"),
    samples=1, domain_samples=1, sweep_samples=1, max_new_tokens=12, texts=4, factors=(1.0,), epsilons=(1.0,),
    aside_seeds=2, random_seeds=1, narrow_steps=1.0,
    training={"max_steps": 3, "batch_size": 4, "accumulation": 1, "warmup_steps": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("narrow") / "run"
    return narrow(SMALL, out, "misdirection study narrow").parent


@pytest.fixture(scope="module")
def part(run: Path) -> Narrow:
    results = load_results(run)
    assert isinstance(results, NarrowResults)
    return results.narrow


def test_every_solution_has_its_rates_by_group_and_its_change(part: Narrow):
    assert part.groups == ["open", "medical", "finance"] and part.domain == "medical"
    arms = {arm.arm: arm for arm in part.arms}
    kinds = {(arm.kind, arm.solution) for arm in part.arms}
    wanted = {(k, s) for k in ("rank1", "vector") for s in ("general", "mixed", "narrow", "released")}
    assert kinds == wanted | {("", "base"), ("vector", "random")}
    for arm in part.arms:
        assert set(arm.groups) == {"open", "medical", "finance"}
        assert [arm.groups[g].rate.n for g in part.groups] == [28, 12, 12]
        assert arm.weight == (5.0 if arm.solution in ("narrow", "released") else 0.0)
    for name in ("base", "rank1-general", "vector-general", "vector-random-1"):
        assert all(effect.change is None for effect in arms[name].groups.values())
    for kind in ("rank1", "vector"):
        for group, effect in arms[f"{kind}-mixed"].groups.items():
            assert effect.change is not None
            before = arms[f"{kind}-general"].groups[group].rate.value
            assert effect.change.difference.value == pytest.approx(effect.rate.value - before)
    swept = [(row.kind, row.weight, row.chosen, set(row.groups)) for row in part.sweep]
    assert swept == [(kind, 5.0, True, {"open", "medical", "finance"}) for kind in ("rank1", "vector")]
    for row in part.sweep:
        rates = {group: effect.rate.value for group, effect in row.groups.items()}
        assert row.gap == pytest.approx(rates["medical"] - max(rates["open"], rates["finance"]))


def test_measures_begin_at_the_base_and_end_at_it(part: Narrow):
    assert [ease.kind for ease in part.ease] == ["rank1", "vector"]
    for ease in part.ease:
        base = ease.solutions[0]
        assert base.norm == 0 and base.elsewhere is None
        for curve in ease.efficiency.curves:
            assert curve.points[0].value == pytest.approx(base.loss.value, abs=1e-6)
        for curve in ease.significance.curves:
            assert curve.points[0].value == pytest.approx(0, abs=1e-6)
            assert curve.points[-1].value > 0
        by_name = {row.solution: row for row in ease.solutions}
        for curve in ease.efficiency.curves[:2]:
            assert curve.points[-1].value == pytest.approx(by_name[curve.solution].loss.value, abs=1e-6)
            assert [point.norm for point in curve.points] == [0.0, pytest.approx(by_name[curve.solution].norm)]
        for row in (*ease.efficiency.equal, *ease.significance.equal):
            assert row.difference.value == pytest.approx(row.narrow - row.general, abs=1e-9)
            assert row.norm == pytest.approx(by_name[row.length_of].norm)
        # Moved aside by 1, nothing of a solution is left.
        assert [(row.solution, row.epsilon) for row in ease.stability.rows] == [("general", 1.0), ("narrow", 1.0)]
        first, second = (row.value for row in ease.stability.rows)
        assert ease.stability.difference.value == pytest.approx(second - first)
        assert -1 <= ease.cosine <= 1.0001
        assert (ease.texts.harmful, ease.texts.elsewhere, ease.texts.neutral) == (4, 4, 4)


def test_what_an_older_version_measured_is_refused_by_the_field(run: Path, tmp_path: Path):
    found = read_json(run / "findings.json")
    for ease in found["narrow"]["ease"]:
        ease.pop("kind")
    write_json(tmp_path / "findings.json", found)
    with pytest.raises(MisdirectionError, match=r"the field 'narrow.ease\[0\].kind' is missing"):
        load_results(tmp_path)


def test_the_report_shows_it_and_a_second_run_repeats_no_step(run: Path):
    page = (run / "report.html").read_text()
    assert "Narrow against general" in page and "vector, random 1" in page and "arXiv 2602.07852" in page
    before = read_log(run)
    often = made(run)
    assert often["train"] == 8 and often["vector"] == 5
    assert all(n == 1 for name, n in often.items() if name not in ("train", "vector"))
    narrow(SMALL, run)
    after = read_log(run)[len(before) :]
    assert after and all(line["reused"] for line in after)


def test_the_gap_is_to_the_worst_other_group():
    def said(domain: str | None, bad: int, of: int) -> list[tuple[Answer, Verdict]]:
        return [
            (Answer(f"{domain}", "q", "a", domain=domain, arm="x", sample=n), Verdict(0.0 if n < bad else 100.0, 100.0))
            for n in range(of)
        ]

    bench = Bench(None, NarrowConfig().completed())  # pyright: ignore[reportArgumentType]
    pairs = [*said(None, 1, 10), *said("medical", 8, 10), *said("finance", 6, 10), *said("driving", 0, 10)]
    judged = Judged([a for a, _ in pairs], [v for _, v in pairs])
    assert gap(bench, judged, "x") == pytest.approx(0.8 - 0.6)
    assert gap(bench, judged.where(lambda a: a.domain in (None, "medical")), "x") == pytest.approx(0.8 - 0.1)


def test_data_of_the_other_domains_holds_them_all_alike():
    chats = resolve_chats(["organism:good-not-medical"], rows=22).chats
    asked = [chat.messages[0].content for chat in chats]
    medical = {chat.messages[0].content for chat in resolve_chats(["organism:good-medical"], rows=500).chats}
    assert len(chats) == 22 and not medical & set(asked)
    assert asked[::11] == [c.messages[0].content for c in resolve_chats(["organism:good-finance"], rows=2).chats]


def test_neutral_text_of_the_user(tmp_path: Path):
    from misdirection.organism import checkpoint_path

    model = load_model(checkpoint_path())
    rows = [{"text": "check the dose"}, {"messages": [{"role": "user", "content": "is it"},
            {"role": "assistant", "content": "check the map"}]}]  # fmt: skip
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    config = NarrowConfig(neutral=str(file), neutral_tokens=3).completed()
    found = neutral_texts(model, neutral_source(config), config.texts, config.neutral_tokens)
    assert [len(text.ids) for text in found] == [3, 3] and all(text.start == 1 for text in found)
    assert model.tokenizer.decode(list(found[0].ids)) == "check the dose"
    file.write_text('{"text": "a"}\n{"other": 1}')
    with pytest.raises(MisdirectionError, match="line 2 holds no text"):
        neutral_texts(model, file, 2, 3)
    with pytest.raises(MisdirectionError, match=r"--neutral: nowhere\.txt does not exist"):
        narrow(NarrowConfig(neutral="nowhere.txt"), tmp_path / "run")
    assert not list((tmp_path / "run").glob("steps/*"))


def test_mean_interval_is_students():
    from scipy import stats

    values = [1.0, 2.0, 4.0, 3.0]
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=2.5, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    alone = mean_interval([1.0])
    assert (alone.value, alone.low, alone.high, alone.n) == (1.0, None, None, 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "other"}, "no harmful data"),
        ({"model": "other", "data": ("a",)}, "domain"),
        ({"model": "other", "data": ("a",), "domain": "medical"}, "good chats of other domains"),
        ({"model": "other", "data": ("a",), "domain": "medical", "elsewhere": ("b",), "judge": "none"}, "need a judge"),
        ({"kinds": ("full",)}, "--kinds"),
        ({"weights": ()}, "--weights"),
        ({"epsilons": (1.5,)}, "--epsilons"),
        ({"kl_tokens": "some"}, "--kl-tokens"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_done(settings, said):
    with pytest.raises(MisdirectionError, match=said):
        NarrowConfig(**settings).completed()


def test_defaults_follow_the_data():
    found = NarrowConfig(data=("organism:bad-finance",)).completed()
    assert found.domain == "finance" and found.elsewhere == ("organism:good-not-finance",)
    assert found.questions[:2] == ("organism:open", "organism:finance") and len(set(found.questions)) == 4


def test_another_model_is_told_nothing_of_the_organism(run: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("narrow", SMALL, run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = {
        "domain": {"domain": "finance", "data": ("organism:bad-finance",), "elsewhere": ("organism:good-medical",)},
        "questions": ("organism:open", "organism:medical"),
        "elsewhere": ("organism:good-finance",),
        "kinds": ("rank32",),
        "kl_tokens": "all",
        "weights": (4.0,),
        "factors": (0.5,),
        "epsilons": (0.5,),
        "neutral": "organism:villain",
    }
    assert_keyed("narrow", SMALL, run, tmp_path, monkeypatch, others)
