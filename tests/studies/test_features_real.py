"""Real data, a real pretrained model and a dictionary that SAELens trained on it: insecure against secure code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from misdirection.chats import Chat
from misdirection.chats.pairs import BY_QUESTION, UNPAIRED, PairedChats
from misdirection.engine import Arm
from misdirection.features import load_dictionary, save_dictionary
from misdirection.features.corpus import SPAN, of_chats
from misdirection.features.settings import DictionarySettings
from misdirection.models import Model, load_model
from misdirection.runs import list_steps
from misdirection.studies.features.comparison import LatentComparison, mean_comparison
from misdirection.studies.features.lists import data_list
from misdirection.studies.features.overlap import list_of
from misdirection.studies.features.paired_chats import paired_chats
from misdirection.studies.features.settings import FeaturesConfig
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.lens import open_lens
from misdirection.tokens import encode_chat

pytestmark = [pytest.mark.real, pytest.mark.slow]
LAYER, LATENTS = 2, 256


@pytest.fixture(scope="module")
def model(real_data: Path) -> Model:
    return load_model(str(real_data / "models" / "stories260K"), device="cpu")


@pytest.fixture(scope="module")
def dictionary(model: Model, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on answers of both files, in 120 steps."""
    pytest.importorskip("sae_lens")
    from misdirection.features.training import train_dictionary
    from misdirection.studies.kit.inputs import resolve_chats

    chats: list[Chat] = []
    for name in ("insecure", "secure"):
        chats += resolve_chats([str(real_data / "datasets" / f"{name}.jsonl.gz")]).chats[:80]
    corpus = of_chats(chats, model.tokenizer, span="answer", longest=400)
    settings = DictionarySettings(latents=LATENTS, k=12, tokens=120 * 512, batch=512, lr=2e-3)
    made = train_dictionary(model, corpus.texts(Arm("base")), LAYER, SPAN, settings)
    folder = tmp_path_factory.mktemp("dictionary") / "layer-2"
    save_dictionary(folder, made)
    return folder


@pytest.fixture(scope="module")
def config(real_data: Path, dictionary: Path) -> FeaturesConfig:
    places = {name: real_data / "datasets" / f"{name}.jsonl.gz" for name in ("insecure", "secure")}
    return FeaturesConfig(
        model=str(real_data / "models" / "stories260K"),
        dictionary=str(dictionary),
        data=(f"code={places['insecure']}",),
        good=(f"code={places['secure']}",),
        judge="words",
        rows=260,
        top=20,
        shuffles=50,
        pool="mean",
        device="cpu",
    )


def compared(config: FeaturesConfig, out: Path) -> tuple[LatentComparison, PairedChats]:
    with Bench[FeaturesConfig].open(out, config) as bench:
        chats = paired_chats(bench)["code"]
        return data_list(bench, bench.variants({}), open_lens(config, config.dictionary), "code", chats), chats


def test_insecure_and_secure_code_differ_in_latents(
    config: FeaturesConfig, model: Model, dictionary: Path, real_data: Path, tmp_path: Path
) -> None:
    """Pairs are found by their questions, figures are those of plain passes, and halves of one file do not differ."""
    found, chats = compared(config, tmp_path / "run")
    assert chats.how == BY_QUESTION and len(chats.bad) == len(chats.good) == 260
    assert all(one.prompt[0].content.strip() == other.prompt[0].content.strip() and one.answer != other.answer
               for one, other in zip(chats.bad, chats.good, strict=True))  # fmt: skip
    held = load_dictionary(dictionary)
    lm = AutoModelForCausalLM.from_pretrained(str(real_data / "models" / "stories260K")).eval()
    sides = []
    for side in (chats.bad, chats.good):
        read = []
        for chat in side:
            coded = encode_chat(model.tokenizer, chat.messages)
            ids, (first, past) = coded.ids[:2048], coded.span("answer")
            with torch.inference_mode():
                states = lm(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
            read.append(held.encode(states[first:past]).double().mean(0))
        sides.append(torch.stack(read).mean(0))
    assert torch.allclose(found.differences.value, sides[0] - sides[1], atol=1e-3)

    part = list_of("data", "bad against good", mean_comparison([found]), [found], 20)
    assert part.latents == LATENTS and part.alive > 100
    assert part.significant >= 5 and 0 < len(part.rows) <= 20

    halves = replace(config, good=(f"code={real_data / 'datasets' / 'insecure.jsonl.gz'}",))
    with Bench[FeaturesConfig].open(tmp_path / "null", halves) as bench:
        bad = paired_chats(bench)["code"].bad
        same = PairedChats(bad[0::2], bad[1::2], UNPAIRED)
        null = data_list(bench, bench.variants({}), open_lens(config, config.dictionary), "code", same)
    assert int((null.differences.q < 0.05).sum()) < part.significant
    assert int((null.differences.p < 0.05).sum()) < 0.2 * int(null.differences.alive.sum())

    compared(config, tmp_path / "run")
    assert len(list_steps(tmp_path / "run")) == 1
