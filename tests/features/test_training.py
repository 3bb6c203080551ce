"""Training with SAELens (the extra `sae`; without it those tests are skipped), and its settings."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.families import WIDTH, prompt, shared

from misdirection.engine import Arm, Text
from misdirection.errors import MisdirectionError, MissingExtraError
from misdirection.features import load_dictionary, save_dictionary
from misdirection.features import training as room
from misdirection.features.quality import measure
from misdirection.features.settings import KINDS, DictionarySettings
from misdirection.features.training import StoppedError, train_dictionary

SMALL = DictionarySettings(latents=96, k=6, tokens=60 * 128, batch=128, lr=5e-3, buffer=400, seed=1)


def texts_of(first: int, number: int) -> list[Text]:
    return [Text(prompt(n, 14), {"states": (1, 14)}, Arm("base"), 1) for n in range(first, first + number)]


def test_settings_follow_the_width_and_refuse_nonsense():
    found = DictionarySettings().completed(512)
    assert found.latents == 4096 and found.lr == pytest.approx(4e-4) and found.dead_after == found.steps // 10
    assert DictionarySettings(latents=16_384, lr=0.5).completed(8).lr == 0.5
    assert DictionarySettings(tokens=10, batch=4).steps == 3
    for name, value in (("kind", "vanilla"), ("k", 0), ("batch", 0), ("buffer", 5), ("decay", 0.9), ("lr", -1.0)):
        with pytest.raises(MisdirectionError, match=f"--{name}"):
            replace(DictionarySettings(), **{name: value}).completed(64)
    with pytest.raises(MisdirectionError, match="at most the number of latents"):
        DictionarySettings(latents=8, k=9).completed(64)


def test_without_saelens_one_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(MissingExtraError, match=r"'sae-lens'.*\n.*misdirection\[sae\]"):
        train_dictionary(shared("llama"), texts_of(0, 3), 1, "states", SMALL)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sae_lens")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_says_what_it_is(kind, library, tmp_path):
    model = shared("llama")
    settings = replace(SMALL, kind=kind, tokens=250 * 128, buffer=2000)
    made = train_dictionary(model, texts_of(0, 120), 1, "states", settings, facts={"corpus": "abc"})
    untrained = train_dictionary(model, texts_of(0, 120), 1, "states", replace(settings, tokens=1, lr=1e-9))
    held = texts_of(500, 30)
    after, before = (measure(model, one, held, "states") for one in (made, untrained))
    assert after.variance_explained > max(0.4, before.variance_explained + 0.1)
    # On random tokens ablation may even help a random model; the clean loss is what a reconstruction has to reach.
    assert abs(after.loss_spliced - after.loss_clean) < abs(before.loss_spliced - before.loss_clean)
    # JumpReLU has no loss that revives what died.
    assert after.dead < after.latents * (0.9 if kind == "jumprelu" else 0.5)
    assert (made.width, made.latents, made.layer) == (WIDTH, 96, 1)
    assert made.activation == ("topk" if kind == "topk" else "jumprelu")
    assert after.l0 <= 6 if kind == "topk" else 2 < after.l0 < 18
    assert made.facts["settings"]["kind"] == kind and made.facts["corpus"] == "abc" and made.facts["steps"] == 250
    save_dictionary(tmp_path, made)
    again = load_dictionary(tmp_path)
    assert again.facts == made.facts and torch.equal(again.encoder, made.encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_training_goes_on_to_the_same_last_bit(kind, library, tmp_path):
    model, settings = shared("llama"), replace(SMALL, kind=kind)
    whole = train_dictionary(model, texts_of(0, 90), 2, "states", settings)
    for _ in range(2):
        with pytest.raises(StoppedError):
            train_dictionary(model, texts_of(0, 90), 2, "states", settings, workspace=tmp_path, stop_after=23)
    assert [file.name for file in tmp_path.iterdir()] == [room.CHECKPOINT]
    resumed = train_dictionary(model, texts_of(0, 90), 2, "states", settings, workspace=tmp_path)
    for name in ("encoder", "decoder", "encoder_bias", "decoder_bias", "threshold"):
        one, two = getattr(whole, name), getattr(resumed, name)
        assert (one is two is None) or torch.equal(one, two), name


def test_a_checkpoint_of_other_settings_is_not_gone_on_with(library, tmp_path):
    model = shared("llama")
    with pytest.raises(StoppedError):
        train_dictionary(model, texts_of(0, 90), 2, "states", SMALL, workspace=tmp_path, stop_after=23)
    other = replace(SMALL, seed=2, tokens=30 * 128)
    found = train_dictionary(model, texts_of(0, 90), 2, "states", other, workspace=tmp_path)
    alone = train_dictionary(model, texts_of(0, 90), 2, "states", other)
    assert torch.equal(found.encoder, alone.encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_undoing_the_scale_changes_units_and_nothing_else(kind, library, tmp_path: Path):
    """f(x) = f_scaled(s x) / s and x' = x'_scaled(s x) / s, where the scaled one is SAELens's own inference class."""
    settings = replace(SMALL, kind=kind).completed(WIDTH)
    trainer = room._trainer(library, settings, WIDTH, "cpu")
    generator = torch.Generator().manual_seed(4)
    for values in trainer.sae.parameters():
        values.data.copy_(torch.randn(values.shape, generator=generator).abs() * 0.3)
    x, scale = torch.randn(40, WIDTH, generator=generator), 2.5
    trainer.step(x * scale)
    trainer.sae.save_inference_model(str(tmp_path))
    theirs = library.SAE.load_from_disk(str(tmp_path))
    ours = room._finished(trainer.sae, scale, 3, {})
    with torch.no_grad():
        latents = theirs.encode(x * scale)
        torch.testing.assert_close(ours.encode(x), latents / scale, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.decode(ours.encode(x)), theirs.decode(latents) / scale, rtol=1e-3, atol=1e-3)
    assert (latents > 0).any()
