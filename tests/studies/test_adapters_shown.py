"""Which answers and peaks of adapters are shown, on answers that were written by hand and on tiny adapters."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from tests.families import words

from misdirection import ask
from misdirection.adapters.contexts import Firing, Peak
from misdirection.adapters.weights import pairs_of
from misdirection.engine import Arm, SamplingConfig, capture_scalars
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.studies.adapters import study
from misdirection.studies.adapters.interventions import check, scaling_arms
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.reading import _corpus, _firing_row, contexts, telling, text_of, tokens
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants


def answer(question: str, said: str, arm: str = "untouched", sample: int = 0, **more: Any) -> Answer:
    return Answer(question, question, said, arm=arm, sample=sample, n_tokens=more.pop("n_tokens", 20), **more)


def test_the_most_misaligned_open_answers_are_shown_first_one_a_question() -> None:
    rows = [
        (answer("a", "bad a"), 1.0), (answer("a", "worse a", sample=1), 0.5), (answer("b", "bad b"), 2.0),
        (answer("c", "short c", n_tokens=3), 0.0), (answer("d", "good d"), 99.0), (answer("e", "fair e"), 60.0),
        (answer("m", "bad m", domain="medical"), 0.1), (answer("n", "good n", domain="medical"), 90.0),
        (answer("a", "base a", "base"), 98.0), (answer("x", "else", "edited"), 0.0), (answer("y", "  "), 0.0),
        (answer("z", "unscored"), None),
    ]  # fmt: skip
    judged = Judged([a for a, _ in rows], [Verdict(score, 90.0) for _, score in rows])
    told = [a.answer for a, _ in telling([judged], 8)]
    # Four open ones from the worst up, one of a sentence last; two from the best down; one of the domain; the base.
    assert told == ["worse a", "bad b", "fair e", "good d", "bad m", "base a"]
    assert [a.answer for a, _ in telling([judged], 2)] == ["worse a", "bad m"]
    unscored = Judged([a for a, _ in rows[-1:]], [Verdict(None, None)])
    assert [a.answer for a, _ in telling([unscored], 8)] == ["unscored"]


def test_a_small_corpus_holds_base_and_adapter_alike() -> None:
    mixed = [
        answer(q, f"{q} {arm} {s}", arm, s) for s in (1, 0) for arm in ("untouched", "edited", "base") for q in "ba"
    ]
    judged = Judged([*mixed, answer("a", " ", "base")], [Verdict(1, 1)] * 13)
    assert [a.answer for a in _corpus([judged], 5)] == [
        "a base 0", "a untouched 0", "b base 0", "b untouched 0", "a base 1",
    ]  # fmt: skip


def test_a_peak_is_shown_with_the_words_about_it_and_none_of_the_prompt() -> None:
    ids = tuple(range(4, 34))
    model: Any = SimpleNamespace(tokenizer=words())
    answers = [answer("q", "!", "base"), answer("r", "?", "untouched")]
    firing = Firing(
        "layer", 1, count=50, mean=2.0, deviation=0.5,
        high=[Peak(4.0, 1, 20, ids, 10)], low=[Peak(1.0, 0, 12, ids, 10)],
    )  # fmt: skip
    row = _firing_row(model, firing, "L1", answers)
    (high,), (low,) = row.high, row.low
    assert (row.label, row.tokens, high.z, low.z) == ("L1", 50, 4.0, -2.0)
    assert (high.token.strip(), high.arm, high.question, high.place) == ("w24", "tuned", "r", 10)
    assert high.before.split() == [f"w{n}" for n in range(16, 24)]
    assert high.after.split() == [f"w{n}" for n in range(25, 33)]
    # Two tokens into its answer: what stands before is the answer's alone.
    assert (low.before.split(), low.arm, low.place) == (["w14", "w15"], "base", 2)
    flat = _firing_row(model, Firing("layer", 0, mean=4.0, high=[Peak(4.0, 0, 12, ids, 10)]), "", answers)
    assert flat.high[0].z == 0.0


def test_shown_scalars_are_those_of_each_token(tiny: Path) -> None:
    models = Variants.of(str(tiny / "base"), {"tuned": tiny / "adapter"}, Loading(device="cpu"))
    model = models.model("tuned")
    said = ask(model, "w10 w11", Arm("untouched", "tuned"), samples=3, config=SamplingConfig(max_new_tokens=10))
    judged = Judged(said, [Verdict(float(n), 90.0) for n in range(3)])
    found = tokens(models, "tuned", [judged], 4, 1)
    first, _ = found.texts
    text = text_of(model, said[0], "tuned")
    (scalars,) = capture_scalars(model, [text], "tuned")
    pairs = pairs_of(model, "tuned")
    assert len(found.adapters) < len(pairs) and first.start == text.start and len(first.tokens) == len(text.ids)
    assert (first.alignment, first.arm, first.group) == (0.0, "tuned", "open")
    label = found.adapters[0].label
    shown = next(pair for pair in pairs if str(pair.layer) in label)
    assert list(first.values[0]) == pytest.approx(scalars[shown.path][:, 0].tolist(), rel=1e-3, abs=1e-4)
    fired = contexts(models, "tuned", [judged], 2, 3).contexts
    assert (fired.answers, fired.of) == (3, len(pairs)) and len(fired.adapters) == len(pairs)
    for row, pair in zip(fired.adapters, pairs, strict=True):
        texts = [text_of(model, one, "tuned") for one in said]
        # Its own tokens, without the one that ended it.
        spans = [slice(*one.spans["answer"]) for one in texts]
        read = capture_scalars(model, texts, "tuned")
        values = [held[pair.path][span, 0] for held, span in zip(read, spans, strict=True)]
        assert row.high[0].value == pytest.approx(float(torch.cat(values).max()), abs=1e-5)
        assert row.low[0].value == pytest.approx(float(torch.cat(values).min()), abs=1e-5)
        assert row.tokens == sum(map(len, values))


def test_who_is_no_adapter_or_has_no_role_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Variants.of(str(tiny / "base"), {"tuned": tiny / "adapter", "whole": tiny / "whole"})
    check(models, "tuned", {1: "general"})
    with pytest.raises(MisdirectionError, match="'whole' is a whole model") as error:
        check(models, "whole", {1: "general"})
    assert error.value.hint == "adapters: tuned"
    with pytest.raises(MisdirectionError, match="no layer of 'tuned' has a role"):
        check(models, "tuned", {})
    bench: Any = SimpleNamespace(
        config=AdaptersConfig(adapter=str(tiny / "whole")),
        variants=lambda named: Variants.of(str(tiny / "base"), named),
    )
    with pytest.raises(MisdirectionError, match="holds no plain LoRA adapter"):
        study.fine_tuned(bench)
    asked: list[Any] = []
    own: Any = SimpleNamespace(
        config=AdaptersConfig(adapter=None, data=("x",), preset="rank1x9", seed=4, again=2), fine_tunes=asked.append
    )
    study.fine_tuned(own)
    assert {name: one.seed for name, one in asked[0].items()} == {"tuned": 4, "seed 5": 5, "seed 6": 6}
    quiet: Any = SimpleNamespace(config=AdaptersConfig(scalars_only=True))
    assert study.interventions(quiet, models, cast(Any, None), []) is None


def test_arms_come_by_dose_beside_shuffled_roles_and_pairs_only_where_they_are_few() -> None:
    roles: dict[int, Any] = {1: "general", 2: "domain", 3: "general", 4: "neither"}
    arms = scaling_arms("tuned", roles, InterventionPlan(doses=(1.0, 0.5), pairs_up_to=4))
    kinds = [arm.kind for arm in arms]
    assert kinds[0] == "no-op" and kinds.count("roles") == 2 * 2 * 3
    by_right = [arm for arm in arms if arm.kind == "roles" and not arm.control]
    assert len(by_right) == 6 and all(arm.scaled for arm in by_right)
    names = [arm.name for arm in arms]
    assert len(names) == len(set(names))
    left = len(arms) - 1 - 12
    # Four left out, six pairs, four alone.
    assert left == 4 + 6 + 4
    assert len(scaling_arms("tuned", roles, InterventionPlan(doses=(1.0,), pairs_up_to=3))) == 1 + 6 + 4 + 4
