"""Where adapters fire most: the same as sorting everything, without holding everything."""

from __future__ import annotations

import pytest
import torch
from tests.families import prompt, shared

from misdirection.adapters import scalars
from misdirection.adapters.contexts import top_contexts
from misdirection.engine import Arm, Text, capture_scalars

ARM = Arm("read", "one")


@pytest.fixture(scope="module")
def corpus() -> list[Text]:
    return [Text(prompt(i, 6 + i % 7), {"answer": (3, 5 + i % 7)}, ARM, 3) for i in range(40)]


@pytest.mark.parametrize("span", ["answer", None])
def test_the_peaks_are_those_of_a_full_sort(
    corpus: list[Text], span: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scalars, "CHUNK", 7)
    model = shared("llama")
    found = top_contexts(model, "one", iter(corpus), 5, span=span)
    held = capture_scalars(model, corpus, "one")
    assert [firing.path for firing in found] == list(held[0])
    for firing in found:
        ends = [text.spans["answer"] if span else (0, len(text.ids)) for text in corpus]
        values = [scalars[firing.path][a:b, 0] for scalars, (a, b) in zip(held, ends, strict=True)]
        every = torch.cat(values).double()
        assert firing.count == len(every)
        assert firing.mean == pytest.approx(float(every.mean()), rel=1e-5)
        assert firing.deviation == pytest.approx(float(every.std(correction=0)), rel=1e-5)
        best = sorted(range(len(corpus)), key=lambda i: -float(values[i].max()))[:5]
        assert [peak.text for peak in firing.high] == best
        worst = sorted(range(len(corpus)), key=lambda i: float(values[i].min()))[:5]
        assert [peak.text for peak in firing.low] == worst
        for peak in (*firing.high, *firing.low):
            assert peak.ids == corpus[peak.text].ids
            assert peak.value == pytest.approx(float(held[peak.text][firing.path][peak.position, 0]), rel=1e-4)
            assert ends[peak.text][0] <= peak.position < ends[peak.text][1]


def test_every_row_of_a_wider_adapter_has_its_own_peaks() -> None:
    model = shared("llama")
    texts = [Text(prompt(i, 6), {"answer": (2, 6)}, Arm("read", "all"), 2) for i in range(6)]
    found = top_contexts(model, "all", texts, 2)
    assert len(found) == 32 * len(model.lora["all"])
    assert len({(firing.path, firing.index) for firing in found}) == len(found)


def test_texts_without_an_answer_token_are_passed_over() -> None:
    model = shared("llama")
    found = top_contexts(model, "one", [Text(prompt(i, 4 + i), {"answer": (4, 4 + i)}, ARM, 4) for i in (0, 1)], 3)
    assert {firing.count for firing in found} == {1}
    assert {peak.text for firing in found for peak in firing.high} == {1}
    assert top_contexts(model, "one", [], 3) == []
