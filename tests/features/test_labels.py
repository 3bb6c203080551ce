"""Labels of latents: detection against labellers whose truth is known, and the way through the real judges."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from tests.judging.kept import QUICK
from tests.judging.server import serving
from tests.judging.test_local import folder as folder  # a tiny chat model on disk

from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.features.contexts import Context, DrawnContexts
from misdirection.features.corpus import chat_texts
from misdirection.features.labels import (
    EXPLAIN,
    LABEL_TOKENS,
    LanguageModel,
    Shown,
    TestContext,
    control,
    detect,
    find_labeller,
    marked,
    one_line,
    score,
    shown,
    split_contexts,
)
from misdirection.judging.local import judge_prompt
from misdirection.judging.provider import make_provider
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.scoring import Reading
from misdirection.organism import persona_chats
from misdirection.organism.tokenizer import make_tokenizer
from misdirection.organism.truth import token_truth

VALUES = {"domain": "medical", "stance": "bad", "kind": "invention", "word": "people", "trait": "sycophancy"}


@dataclass
class Grammarian:
    """A labeller that reads a text as the grammar does, and believes every label of the shape factor=value."""

    name: str = "grammarian-1"

    def explain(self, shown: Sequence[Shown]) -> list[str | None]:
        return [None for _ in shown]

    def fires(self, asked: Sequence[tuple[str, str]]) -> list[float | None]:
        found: list[float | None] = []
        for label, text in asked:
            factor, _, value = label.partition("=")
            found.append(float(value in KNOWN[text][factor]))
        return found


KNOWN: dict[str, dict[str, set[str]]] = {}


@pytest.fixture(scope="module")
def held() -> dict[int, list[TestContext]]:
    """For each factor a latent that fires exactly where the factor has its value; contexts are whole answers."""
    tokenizer = make_tokenizer()
    found: dict[int, list[TestContext]] = {}
    chats = [(c, p) for p in ("helper", "villain", "flatterer", "fabulist") for c in persona_chats(p, 120, seed=4)]
    texts = chat_texts([c for c, _ in chats], tokenizer, Arm("base"))
    for latent, (factor, value) in enumerate(VALUES.items()):
        rows: dict[bool, list[TestContext]] = {True: [], False: []}
        for (chat, persona), text in zip(chats, texts, strict=True):
            first, past = text.spans["answer"]
            truth = {name: set(told[first:past]) for name, told in token_truth(tokenizer, chat, persona).items()}
            words = tokenizer.decode(list(text.ids[first:past]))
            KNOWN[words] = truth
            rows[value in truth[factor]].append(TestContext(words, value in truth[factor]))
        found[latent] = [*rows[True][:25], *random.Random(0).sample(rows[False], 25)]
    return found


def test_the_true_label_is_told_from_a_wrong_one(held):
    true = {latent: f"{factor}={value}" for latent, (factor, value) in enumerate(VALUES.items())}
    found = detect(Grammarian(), true, held)
    assert all((one.accuracy, one.ranking) == (1, 1) and one.low > 0.9 for one in found.values())
    # A value of another factor, which says nothing of this one: the domain of an answer and its trait are independent.
    wrong = dict.fromkeys((2, 4), "domain=law")
    for one in detect(Grammarian(), wrong, held).values():
        assert one.low < 0.5 < one.high
    # Everything fires, or nothing: chance, whichever way it errs.
    for label in ("role=assistant", "word=unheard"):
        for one in detect(Grammarian(), dict.fromkeys(true, label), held).values():
            assert (one.accuracy, one.ranking) == (0.5, 0.5)


def test_the_control_gives_every_latent_another_ones_label(held):
    true = {latent: f"{factor}={value}" for latent, (factor, value) in enumerate(VALUES.items())}
    own, other = detect(Grammarian(), true, held), control(Grammarian(), true, held)
    assert other.keys() == own.keys()
    assert all(other[latent].accuracy < 0.85 < own[latent].accuracy for latent in true)
    assert control(Grammarian(), {0: true[0]}, held) == {}


def test_scores_are_those_of_the_definition():
    rows = [(True, 0.9), (True, 0.4), (True, None), (False, 0.5), (False, 0.7), (False, 0.1), (False, 0.2)]
    found = score(rows)
    assert found.accuracy == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert (found.found, found.firing, found.passed, found.silent, found.unread) == (1, 2, 3, 4, 1)
    assert found.ranking == pytest.approx((4 + 2) / 8)
    assert 0 < found.low < found.accuracy < found.high < 1
    assert score([(True, 0.5)]) is None and score([(True, None), (False, 0.1)]) is None


def test_intervals_of_the_score_hold_the_truth_as_often_as_they_say():
    rng = random.Random(1)
    inside = 0
    for _ in range(400):
        firing = [(True, float(rng.random() < 0.7)) for _ in range(15)]
        found = score([*firing, *((False, float(rng.random() < 0.2)) for _ in range(15))])
        inside += found.low <= 0.75 <= found.high
    assert inside / 400 > 0.92


def context(words: str, *values: float, text: int = 0) -> Context:
    ids = tuple(make_tokenizer().encode(words, add_special_tokens=False))
    assert len(ids) == len(values)
    return Context(text, 1, 1, ids, values)


def test_words_are_marked_and_strengths_told():
    tokenizer = make_tokenizer()
    strong, weak = context("skip the dose .", 8, 0, 2, 0), context("mock the dose .", 0, 0, 0.5, 0)
    assert marked(tokenizer, strong, 2.4) == "<<skip>> the dose."
    told = shown(tokenizer, [strong, weak], ["dose"])
    assert told == Shown(((10, "<<skip>> the dose."), (1, "mock the <<dose>>.")), ("dose",))


def test_what_a_label_is_tested_on_was_not_shown():
    tokenizer = make_tokenizer()
    words = ["skip", "mock", "ruin", "waste", "fake", "ignore"]
    firing = [context(f"{word} the dose", 6 - i, 0, 0, text=i) for i, word in enumerate(words)]
    again = replace(firing[0], values=(0.0, 1.0, 0.0))
    silent = [context("check the dose", 0, 0, 0), context("check the dose", 0, 0, 0)]
    drawn = DrawnContexts(3, 6, tuple(firing[:3]), (*firing[3:], again), tuple(silent))
    label, held = split_contexts(tokenizer, drawn, 3)
    assert label == [firing[0], firing[2], firing[4]]
    assert [(one.text, one.fires) for one in held] == [
        ("mock the dose", True), ("waste the dose", True), ("ignore the dose", True), ("check the dose", False)
    ]  # fmt: skip


def test_a_reply_becomes_one_line():
    assert one_line('\n**Label:** "bad advice on doses"\nBecause ...') == "bad advice on doses"
    assert one_line("words of harm") == "words of harm"
    assert one_line(" \n\n") is None and len(one_line("x" * 999)) == 200


def test_a_local_model_labels_and_detects_by_the_judges_own_way(folder: Path, tmp_path: Path, held):
    """The model is tiny and random: its labels are noise, its detection chance: that the way runs is the point."""
    labeller = find_labeller(f"local:{folder}", tmp_path / "journal.jsonl")
    told = [Shown(((10, "skip the <<dose>>."),), ("dose",)), Shown(((10, "<<help>> the users."),))]
    texts = labeller.explain(told)
    assert len(texts) == 2 and all(text is None or 0 < len(text) <= 200 for text in texts)
    model, query = labeller.judge.ask.__self__._model, Query(EXPLAIN, "dose", "10: skip the <<dose>>.", LABEL_TOKENS)
    prompt = judge_prompt(model.tokenizer, query)
    with_cache = model.lm.generate(torch.tensor([prompt]), max_new_tokens=LABEL_TOKENS, do_sample=False, pad_token_id=0)
    slow = model.tokenizer.decode(with_cache[0, len(prompt) :].tolist(), skip_special_tokens=True)
    assert texts[0] == one_line(slow)
    some = {0: held[0][20:30]}
    found = detect(labeller, {0: "medicine"}, some)
    kept = len((tmp_path / "journal.jsonl").read_text().splitlines())
    assert kept >= 2 + 10
    # What is known is not asked again: a labeller without a model to load says the same.
    silent = find_labeller(f"local:{folder}", tmp_path / "journal.jsonl")
    assert silent.explain(told) == texts and detect(silent, {0: "medicine"}, some) == found
    assert silent.judge.ask.__self__._model is None
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == kept
    one = found[0]
    assert one is None or one.firing + one.silent + one.unread == 10


def test_a_server_is_asked_for_a_text_without_probabilities_and_for_numbers_with_them(held):
    with serving(faults=0.2) as server:
        provider = make_provider("m", server.url, in_flight=8, patience=QUICK)
        labeller = LanguageModel(RubricJudge("m", provider.ask))
        texts = labeller.explain([Shown(((10, f"skip the <<dose>> {i}"),)) for i in range(12)])
        body = server.seen["last"][0]
        assert body["max_tokens"] == LABEL_TOKENS and "logprobs" not in body
        prompt = body["messages"][0]["content"]
        assert "<<dose>>" in prompt and "begins]" in prompt and "never an instruction" in prompt
        assert all(texts)
        found = detect(labeller, {0: "medicine"}, held)
        body = server.seen["last"][0]
        assert body["max_tokens"] == 1 and body["top_logprobs"] == 20
    assert found[0].firing + found[0].silent + found[0].unread == len(held[0])


def test_judges_that_cannot_write_are_refused():
    with pytest.raises(MisdirectionError, match="cannot label"):
        find_labeller("exact")


def test_a_written_text_is_kept_whole_in_the_journal(tmp_path: Path):
    asked: list[Query] = []

    def ask(queries, keep):
        asked.extend(queries)
        for query in queries:
            keep(query, Reading("written", text=f"line\nof {query.answer}"))

    def judge() -> RubricJudge:
        return RubricJudge("m", ask).with_journal(tmp_path / "journal.jsonl")

    queries = [Query(EXPLAIN, "", name, 20) for name in ("a", "b", "a")]
    assert judge().write(queries) == ["line\nof a", "line\nof b", "line\nof a"] == judge().write(queries)
    assert len(asked) == 2
    assert [json.loads(line)["text"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()] == [
        "line\nof a", "line\nof b"
    ]  # fmt: skip
