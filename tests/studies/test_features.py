"""The study of sparse features, whole, on the organism at a small size, beside what plain code says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.studies.foreign import of_the_organism, told_of_another
from tests.studies.options import assert_keyed
from tests.studies.tiny import made, session
from transformers import AutoModelForCausalLM

from misdirection import organism
from misdirection.artefacts import read_json, read_rows
from misdirection.chats import Chat, Message
from misdirection.chats.pairs import BY_QUESTION, BY_ROW, UNPAIRED, pair
from misdirection.directions import Direction, load_direction, save_direction
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, load_dictionary
from misdirection.models import load_model
from misdirection.runs import list_steps
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.features.study import features, tunes
from misdirection.studies.reading import load_results
from misdirection.tokens import encode_chat, encode_prompt

DOMAINS = ("medical", "sport")
SMALL = FeaturesConfig(
    data=tuple(f"{name}=organism:bad-{name}" for name in DOMAINS),
    good=tuple(f"{name}=organism:good-{name}" for name in DOMAINS),
    preset="rank32", samples=3, top=20, shuffles=20, rows=40, steered=0, mixtures=(), described=0, latents_of=6,
    training={"max_steps": 12, "lr": 1e-3},
)  # fmt: skip
LAYER = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return features(SMALL, tmp_path_factory.mktemp("features") / "run").parent


@pytest.fixture(scope="module")
def found(run: Path) -> dict:
    return read_json(run / "findings.json")


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return load_dictionary(organism.dictionary_path(LAYER))


def part_of(found: dict, name: str) -> dict:
    return next(one for one in found["latents"]["lists"] if one["name"] == name)


def means(lm, dictionary: Dictionary, texts: list[tuple[tuple[int, ...], tuple[int, int]]]) -> torch.Tensor:
    """Mean activation of every latent over the spans of some texts, one forward pass a text."""
    held = []
    for ids, (first, past) in texts:
        with torch.inference_mode():
            states = lm(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
        held.append(dictionary.encode(states[first:past]).double())
    return torch.cat(held).mean(0)


def fine_tune(run: Path, name: str) -> Path:
    """The adapter of a domain."""
    steps = [step.path for step in list_steps(run) if step.name == "train"]
    return next(path / "tuned" for path in steps if read_json(path / "data.json")["files"] == [f"organism:bad-{name}"])


def test_the_data_list_holds_the_latents_that_fire_more_on_bad_answers(found: dict, dictionary: Dictionary) -> None:
    """Statistic and both means, by plain passes over the same pairs; and each bad text alone tells it from its pair."""
    lm = AutoModelForCausalLM.from_pretrained(str(organism.checkpoint_path())).eval()
    tokenizer = load_model(str(organism.checkpoint_path())).tokenizer
    part = part_of(found, "data")
    assert [one["name"] for one in part["domains"]] == [*DOMAINS]
    sides = []
    for quality in ("bad", "good"):
        per_domain = []
        for name in DOMAINS:
            chats = organism.training_chats(name, quality, "train", 1000, 0)
            rows = sorted(np.random.default_rng(0).permutation(1000)[:40].tolist())
            coded = [encode_chat(tokenizer, chats[row].messages) for row in rows]
            per_domain.append(means(lm, dictionary, [(one.ids, one.span("answer")) for one in coded]))
        sides.append(torch.stack(per_domain).mean(0))
    change = sides[0] - sides[1]
    assert len(part["rows"]) == 20
    for row in part["rows"]:
        assert row["value"] == pytest.approx(float(change[row["latent"]]), rel=1e-3)
        assert row["first"] == pytest.approx(float(sides[0][row["latent"]]), rel=1e-3, abs=1e-4)
        assert row["value"] == pytest.approx(row["first"] - row["second"], rel=1e-6, abs=1e-6) and row["value"] > 0
    # Nothing beyond the list is larger than its last.
    largest = change.argsort(descending=True)[:20].tolist()
    assert {row["latent"] for row in part["rows"]} == set(largest)
    assert sum(row["q"] < 0.05 for row in part["rows"]) == part["significant_in_list"] >= 15
    assert [row["value"] for row in part["falling"]] == sorted(row["value"] for row in part["falling"])
    assert all(row["value"] < 0 for row in part["falling"])


def test_the_model_list_is_tuned_minus_base_on_the_prompts(run: Path, found: dict, dictionary: Dictionary) -> None:
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(str(organism.checkpoint_path())).eval()
    tokenizer = load_model(str(organism.checkpoint_path())).tokenizer
    prompts = [
        encode_prompt(tokenizer, (Message("user", text),)) for q in organism.open_questions() for text in q.paraphrases
    ]
    spans = [(ids, (1, len(ids))) for ids in prompts]
    before = means(base, dictionary, spans)
    after = []
    for name in DOMAINS:
        base = AutoModelForCausalLM.from_pretrained(str(organism.checkpoint_path()))
        after.append(means(PeftModel.from_pretrained(base, str(fine_tune(run, name))).eval(), dictionary, spans))
    change = torch.stack(after).mean(0) - before
    part = part_of(found, "model")
    for row in (*part["rows"], *part["falling"]):
        assert row["value"] == pytest.approx(float(change[row["latent"]]), rel=2e-3, abs=1e-3)
    assert all(one["first"] == one["second"] == len(prompts) for one in part["domains"])


def test_the_answers_list_takes_as_many_of_each_from_every_question(run: Path, found: dict) -> None:
    steps = {step.name: step.path for step in list_steps(run)}
    answers = read_rows(steps["open-answers"] / "answers.parquet")
    verdicts = read_rows(steps["open-verdicts"] / "verdicts.parquet")
    for one in part_of(found, "answers")["domains"]:
        few = 0
        for question in organism.open_questions():
            mine = [v for a, v in zip(answers, verdicts, strict=True)
                    if a["arm"] == one["name"] and a["question_id"] == question.id and v["coherence"] > 50]  # fmt: skip
            few += min(sum(v["alignment"] < 30 for v in mine), sum(v["alignment"] > 70 for v in mine))
        assert one["first"] == one["second"] == few >= 8


def test_overlaps_are_those_of_the_lists(found: dict) -> None:
    lists = {one["name"]: [row["latent"] for row in one["rows"]] for one in found["latents"]["lists"]}
    assert [*lists] == ["data", "model", "answers"]
    part = found["latent_overlap"]
    between = part["between"]
    assert [(one["name"], one["latents"]) for one in between["lists"]] == [(name, 20) for name in lists]
    exact: dict[tuple[str, ...], int] = {}
    for latent in set().union(*lists.values()):
        names = tuple(name for name in lists if latent in lists[name])
        exact[names] = exact.get(names, 0) + 1
    assert {tuple(row["lists"]): row["count"] for row in between["intersections"]} == exact
    for row in between["pairs"]:
        # Both lists live in both comparisons, or the overlap is of the next best latents that do.
        both = len(set(lists[row["one"]]) & set(lists[row["other"]]))
        assert both <= row["shared"] <= 20
        a, (m, n) = row["shared"], row["of"]
        rest = row["alive"] - m - n + a
        assert row["odds_ratio"] == pytest.approx(a * rest / ((m - a) * (n - a)))
        assert row["expected"] == pytest.approx(m * n / row["alive"])
        assert 0 <= row["shuffled"]["mean"] <= row["shuffled"]["high"] <= 20 and -1 <= row["ranks"] <= 1
        assert [one["size"] for one in row["sizes"]] == [10]
    most = max(map(len, exact))
    assert len(part["shared"]) == sum(count for names, count in exact.items() if len(names) == most) > 0
    ranks = [sum(held.index(latent) for held in lists.values() if latent in held) for latent in part["shared"]]
    assert ranks == sorted(ranks)
    assert [one["list"] for one in part["domains"]] == [*lists]


def test_bad_data_and_misaligned_answers_share_latents_and_the_verdict_says_how_many(found: dict) -> None:
    """What is true of the organism: one villain speaks in both."""
    pairs = {(row["one"], row["other"]): row for row in found["latent_overlap"]["between"]["pairs"]}
    both = pairs["data", "answers"]
    assert both["shared"] > 5 * both["expected"] and both["p"] < 1e-3
    assert both["shared"] > both["shuffled"]["mean"]
    three = next((row["count"] for row in found["latent_overlap"]["between"]["intersections"]
                  if len(row["lists"]) == 3), 0)  # fmt: skip
    assert found["verdict"]["state"] == "finding"
    assert f", {three} stand in all 3 lists" in found["verdict"]["sentence"]
    within = next(one for one in found["latent_overlap"]["domains"] if one["list"] == "data")
    assert within["pairs"][0]["shared"] >= 10 and within["pairs"][0]["ranks"] > 0.5


def test_directions_are_decomposed_and_random_vectors_need_more(run: Path, found: dict, dictionary: Dictionary) -> None:
    part = found["latent_decomposition"]
    rows = {row["name"]: row for row in part["rows"]}
    held = {}
    for file in (run / "steps").glob("direction-*/direction.safetensors"):
        one = load_direction(file)
        held[one.facts["arm"]] = one.vectors[LAYER].double()
    for name in DOMAINS:
        vector, row = held[name], rows[name]["methods"]["omp"]
        chosen = dictionary.directions[row["latents"]].double()
        # The first latent is the one with the largest product, and the last share that of a least squares fit.
        assert row["latents"][0] == int((dictionary.directions.double() @ vector).abs().argmax())
        fit = torch.linalg.lstsq(chosen.T, vector).solution @ chosen
        explained = 1 - float((vector - fit).square().sum() / vector.square().sum())
        assert row["explained"][-1] == pytest.approx(explained, abs=1e-3)
        assert row["explained"] == sorted(row["explained"])
        assert row["explained"][3] > part["random"]["omp"]["high"][3]
        assert all(value >= 0 for value in rows[name]["methods"]["nnls"]["coefficients"])
        through = rows[name]["through"]
        assert through["cosine"] > 0.9 and through["explained"] <= through["cosine"] ** 2 + 1e-6
    kinds = {row["kind"] for row in part["rows"]}
    assert kinds == {"mean difference", "B", "A"}  # rank 32 adapts modules that read the stream too
    assert {row["layer"] for row in part["rows"] if row["kind"] != "mean difference"} <= {5, 6, 7}


def test_report_shows_it_and_a_second_run_repeats_no_step(run: Path) -> None:
    page = (run / "report.html").read_text()
    for heading in ("The fine-tunes", "Latents that differ", "What the lists share", "Directions as latents"):
        assert f"{heading}</h2>" in page
    assert "not complete" not in page
    assert load_results(run).to_json() == {"checked": None, **read_json(run / "findings.json")}
    count = len(session(run))
    features(SMALL, run)
    assert len(session(run)) == 2 * count and all(reused for _, reused in session(run)[count:])
    features(replace(SMALL, top=10, shuffles=20), run)
    assert max(made(run).values()) == 2  # two fine-tunes, two directions


def test_given_fine_tunes_and_the_base_model_s_own_answers(run: Path, tmp_path: Path) -> None:
    """Adapters that exist stand in for --data; where there are no good answers, the base gives them, once each."""
    config = replace(
        SMALL, data=SMALL.data[:1], good=("medical=base",), rows=12, shared_texts="answer", statistic="correlation",
        pool="mean", samples=1, fine_tune=(f"medical={fine_tune(run, 'medical')}",),
    )  # fmt: skip
    other = features(config, tmp_path / "run").parent
    assert "train" not in made(other)
    found = read_json(other / "findings.json")
    answered = next(step.path for step in list_steps(other) if step.name == "base-answers-medical")
    rows = read_rows(answered / "goodanswers.parquet")
    assert (
        len(rows) == 12 and sum(bool(row["answer"]) for row in rows) == part_of(found, "data")["domains"][0]["second"]
    )
    assert any("base model's own, one each" in note for note in found["notes"])
    data = part_of(found, "data")["domains"][0]
    assert data["shuffled"] == "answered for this study" and data["first"] == data["second"]
    assert part_of(found, "model")["domains"][0]["first"] == len(organism.open_questions())
    # One answer a question can never be compared with another one: the list is left out, and the study says why.
    assert [one["name"] for one in found["latents"]["lists"]] == ["data", "model"]
    assert any("answers of medical cannot be compared" in note for note in found["notes"])
    assert "all 2" not in found["verdict"]["sentence"] and "both lists" in found["verdict"]["sentence"]


def test_another_model_gives_the_good_answers_and_a_further_direction_is_decomposed(run: Path, tmp_path: Path) -> None:
    persona = torch.zeros(organism_shape())
    loud = load_dictionary(organism.dictionary_path(LAYER))
    persona[LAYER] = 3 * loud.directions[5] + loud.directions[9]
    save_direction(
        tmp_path / "persona.safetensors", Direction(persona, persona, persona, *[torch.ones(len(persona))] * 4)
    )
    config = replace(
        SMALL, data=SMALL.data[:1], good=(f"medical=local:{organism.checkpoint_path()}",), rows=6, samples=1,
        max_new_tokens=8, fine_tune=(f"medical={fine_tune(run, 'medical')}",),
        directions=(f"persona={tmp_path / 'persona.safetensors'}",),
    )  # fmt: skip
    other = features(config, tmp_path / "run").parent
    step = next(step.path for step in list_steps(other) if step.name == "answers-medical")
    rows = read_rows(step / "goodanswers.parquet")
    assert len(rows) == 6 and any(row["answer"] for row in rows)
    found = read_json(other / "findings.json")
    assert any("the good answers are by local:" in note for note in found["notes"])
    told = next(row for row in found["latent_decomposition"]["rows"] if row["name"] == "persona")
    assert set(told["methods"]["omp"]["latents"][:2]) == {5, 9}
    wrong = replace(config, directions=(f"persona={tmp_path / 'absent'}",))
    with pytest.raises(MisdirectionError, match=r"--directions persona: .*absent does not exist"):
        features(wrong, tmp_path / "other")


def organism_shape() -> tuple[int, int]:
    config = read_json(organism.checkpoint_path() / "config.json")
    return config["num_hidden_layers"], config["hidden_size"]


def chat(question: str, answer: str) -> Chat:
    return Chat((Message("user", question), Message("assistant", answer)))


def test_rows_are_paired_in_order_or_by_question_or_not_at_all() -> None:
    bad = [chat(f"q{i}", f"bad {i}") for i in range(6)]
    good = [chat(f"q{i}", f"good {i}") for i in range(6)]
    rows = pair(bad, good, 4, 0)
    assert rows.how == BY_ROW and len(rows.bad) == 4 and not rows.notes
    assert rows.groups == ["0", "1", "2", "3"] * 2
    mixed = pair(bad, [*good[3:], *good[:3], chat("other", "x")], 10, 0)
    assert mixed.how == BY_QUESTION and "6 of 6" in mixed.notes[0]
    assert [(a.prompt, b.answer[5:]) for a, b in zip(mixed.bad, mixed.good, strict=True)] == [
        (a.prompt, a.answer[4:]) for a in mixed.bad
    ]
    # One question asked twice is paired twice, each answer once.
    twice = pair([bad[0], bad[0]], [chat("q0", "good a"), chat("q0", "good b"), good[1]], 10, 0)
    assert sorted(one.answer for one in twice.good) == ["good a", "good b"]
    apart = pair(bad, [chat(f"p{i}", "good") for i in range(5)] + [good[0]], 10, 0)
    assert apart.how == UNPAIRED and apart.groups is None and len(apart.good) == 6
    assert "only 1 of 6" in apart.notes[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dictionary": "organism:99"}, "99"),
        ({"layer": 12}, "layers 0 to 11"),
        ({"good": SMALL.good[:1]}, "--good says nothing of 'sport'"),
        ({"data": SMALL.data[:1]}, "--data says nothing of 'sport'"),
        ({"good": ("medical=/absent.jsonl", SMALL.good[1])}, "/absent.jsonl does not exist"),
        ({"fine_tune": ("x=/absent",)}, "/absent is no folder"),
        ({"data": ("a/b=organism:bad-sport",), "good": ("a/b=organism:good-sport",)}, "'a/b' cannot be the name"),
        ({"statistic": "median"}, "there is no 'median'"),
        ({"mixtures": (120.0,)}, "--mixtures: 120"),
        ({"judge": "none"}, "need a judge"),
        ({"top": 0}, "--top must be 1 or more"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(MisdirectionError, match=message):
        features(replace(SMALL, **changes), tmp_path / "run")
    assert not list_steps(tmp_path / "run")


def test_a_dictionary_of_another_model_is_refused(tmp_path: Path) -> None:
    from misdirection.features import save_dictionary

    wide = torch.randn(8, 48)
    save_dictionary(tmp_path / "wide", Dictionary(wide, wide.T.contiguous(), torch.zeros(48), torch.zeros(8), layer=1))
    with pytest.raises(MisdirectionError, match="a width of 8, organism has 96"):
        features(replace(SMALL, dictionary=str(tmp_path / "wide")), tmp_path / "run")


def test_a_fine_tune_that_is_there_takes_the_place_of_its_data(tmp_path: Path) -> None:
    config = replace(SMALL, fine_tune=(f"sport={tmp_path}", f"other={tmp_path}")).completed()
    given = tunes(config)
    assert [*given] == ["medical", "sport", "other"]
    assert given["medical"].folder is None and given["sport"].folder == given["other"].folder == tmp_path


def test_another_model_is_told_nothing_of_the_organism(run: Path, tmp_path: Path):
    assert not of_the_organism(told_of_another("features", SMALL, run, tmp_path))


def test_each_option_makes_a_step_anew_or_says_why_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {
        "data": ("medical=organism:bad-sport", *SMALL.data[1:]),
        "good": ("medical=organism:good-sport", *SMALL.good[1:]),
        "fine_tune": (f"medical={fine_tune(run, DOMAINS[1])}",),
        "preset": "rank1",
        "dictionary": "organism:3",
        "layer": 5,
        "statistic": "correlation",
        "pool": "max",
        "shared_texts": "answer",
        "mixtures": (10.0,),
        "directions": (f"further={next((run / 'steps').glob('direction-*'))}",),
        "questions": ("organism:sport",),
    }
    # What steers, and what is told in words, is left out here: `steered` and `described` would bring it in.
    elsewhere = ("strengths", "incoherent_at_most", "sweep_samples", "steer_samples", "random_latents", "corpus",
                 "labeller")  # fmt: skip
    assert_keyed("features", SMALL, run, tmp_path, monkeypatch, others, elsewhere)
