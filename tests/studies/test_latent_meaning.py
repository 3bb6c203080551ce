"""The part of the features study that tells latents in words, on the organism's own dictionary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.judging.test_local import folder as folder  # a tiny chat model on disk
from tests.results.made import made as example
from tests.studies.tiny import made

from misdirection.chats import Chat
from misdirection.errors import MisdirectionError
from misdirection.studies.features import corpus as latent_corpus
from misdirection.studies.features import meaning as latent_meaning
from misdirection.studies.features.meaning import in_words, meaning, tracked
from misdirection.studies.features.results import FeaturesResults
from misdirection.studies.features.results.meaning import Meaning, SourceTexts
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_dictionary
from misdirection.studies.page import render

LATENTS = [118, 468, 99, 118, 2]
STEPS = ["latent-contexts", "latent-tokens", "latent-truth"]

SPEAKERS = ("helper=organism:helper-40", "villain=organism:villain-40")


def run(out: Path, config: FeaturesConfig, **more: Any) -> Meaning | None:
    dictionary = resolve_dictionary("organism:6")
    with Bench[FeaturesConfig].open(out, config, "test") as bench:
        return meaning(bench, bench.variants({}), dictionary, LATENTS, 6, **more)


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_corpus, "READ", 30)
        for name, size in {"TOP": 4, "LOWER": 6, "SILENT": 4, "LABELLED_FROM": 4}.items():
            patch.setattr(latent_meaning, name, size)
        yield


@pytest.fixture(scope="module")
def done(small, tmp_path_factory) -> tuple[Path, Meaning]:
    out = tmp_path_factory.mktemp("meaning") / "run"
    found = run(out, FeaturesConfig(corpus=SPEAKERS, described=3))
    assert found is not None
    return out, found


def test_every_latent_is_told_with_contexts_words_and_truth(done):
    _, found = done
    assert [row.latent for row in found.latents] == [118, 468, 99]
    assert {row.name: row.texts for row in found.sources} == {
        **{f"{name}, {quality}": 30 for quality in ("bad", "good") for name in ("medical", "finance", "sport")},
        "helper": 40, "villain": 40,
    }  # fmt: skip
    for row in found.latents:
        assert row.texts == 260 and 0 < row.firing_texts <= 260
        peaks = [max(context.values) for context in row.contexts if context.top]
        assert peaks[0] == max(peaks) > 0
        for context in row.contexts:
            assert len(context.tokens) == len(context.values)
            assert context.values[context.at] > 0
        assert sum(row.top_sources.values()) == len(peaks)
        assert len(row.promoted) == len(row.suppressed) == 10 and row.label is None
    truth = [row.truth for row in found.latents]
    # Measured over the whole world: 118 fires at closers, 468 at the assistant's header.
    assert truth[0].value.endswith("closer") and truth[0].f1 > 0.5
    assert (truth[1].factor, truth[1].value) == ("word", "<|assistant|>")
    assert sum(found.tracked.values()) >= 2 and set(truth[0].each) == {"persona", "domain", "stance"}
    # Latent 118 fires at closers, and every text with one is known.
    assert truth[0].detection.accuracy > 0.6 and truth[0].detection.low <= truth[0].detection.accuracy
    assert all(0 <= part.share <= 1 and part.bits >= 0 for one in truth for part in one.factors.values())


def test_a_second_session_reads_nothing_again(done):
    out, found = done
    before = made(out)
    again = run(out, FeaturesConfig(corpus=SPEAKERS, described=3))
    assert made(out) == before and sorted(before) == sorted(STEPS)
    assert again == found


@pytest.mark.parametrize("folder", ["whole"], indirect=True)
def test_a_model_labels_and_its_labels_are_scored(done, folder: Path):
    out, found = done
    labelled = run(out, FeaturesConfig(corpus=SPEAKERS, described=3, labeller=f"local:{folder}"))
    assert made(out)["latent-contexts"] == 1 and made(out)["latent-labels"] >= 1
    assert labelled is not None and labelled.labeller == f"local:{folder}"
    for row, plain in zip(labelled.latents, found.latents, strict=True):
        assert row.truth == plain.truth and row.contexts == plain.contexts
        assert row.label is None or len(row.label) <= 200
        for score in (row.detection, row.control, row.truth_detection):
            # A random model's numbers: what is asked is that they are some.
            assert score is None or 0 <= score.low <= score.accuracy <= score.high <= 1
    page = render(replace(example(FeaturesResults, "features"), latent_meaning=labelled).to_json())
    assert "Latent 118" in page and "What the latents mean" in page


def test_further_chats_are_read_and_nobody_is_asked_without_a_labeller(small, tmp_path: Path):
    from misdirection.organism import persona_chats

    more: dict[str, list[Chat]] = {"made here": persona_chats("fabulist", 30, seed=9)}
    found = run(tmp_path / "run", FeaturesConfig(corpus=SPEAKERS, described=1), more=more)
    assert found is not None and found.labeller is None
    assert SourceTexts(name="made here", texts=30) in found.sources
    assert run(tmp_path / "run", FeaturesConfig(corpus=SPEAKERS, described=0)) is None


def test_a_labeller_that_cannot_write_is_refused_before_anything_is_read(small, tmp_path: Path):
    with pytest.raises(MisdirectionError, match="cannot label"):
        run(tmp_path / "run", FeaturesConfig(corpus=SPEAKERS, described=1, labeller="exact"))
    assert not made(tmp_path / "run")


def test_a_true_label_in_words():
    label = example(FeaturesResults, "features").latent_meaning.latents[0].truth
    assert in_words(replace(label, factor="word & stance", value="the & bad")).endswith(
        "the word is the, and the stance is bad"
    )


def test_clear_labels_are_counted_by_their_factor():
    label = example(FeaturesResults, "features").latent_meaning.latents[0].truth
    some = [replace(label, factor=factor, f1=f1) for factor, f1 in (("word", 0.9), ("word", 0.6), ("stance", 0.5))]
    assert tracked([*some, None]) == {"word": 2} and tracked([None]) is None
