"""What is told of a dictionary's latents and how well it rebuilds states, on a tiny model whose states are known."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.families import WIDTH, prompt
from tests.studies.tiny import axes

from misdirection.adapters.unembedding import logits_of
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, load_dictionary, save_dictionary
from misdirection.features.settings import DictionarySettings
from misdirection.models import load_model
from misdirection.models.tokenizer import load_tokenizer
from misdirection.organism import checkpoint_path
from misdirection.studies.dictionaries import study
from misdirection.studies.dictionaries.described import describe_latents
from misdirection.studies.dictionaries.settings import SaeConfig
from misdirection.studies.dictionaries.study import evaluate_dictionaries, read, train_dictionaries
from misdirection.tokens import token_texts

LAYER = 1


@pytest.fixture(scope="module")
def config(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> SaeConfig:
    file = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    rows = [{"text": " ".join(f"w{token}" for token in prompt(n, 12))} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return SaeConfig(model=str(tiny / "base"), data=(str(file),), device="cpu")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both signs of every axis of the residual stream after layer 1: what it reads is the state itself."""
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    return saved(tmp_path_factory.mktemp("dictionary") / "axes", both, 0.0)


def saved(folder: Path, both: torch.Tensor, threshold: float) -> str:
    bias = torch.full((2 * WIDTH,), -threshold)
    save_dictionary(folder, Dictionary(both.T.contiguous(), both, bias, torch.zeros(WIDTH), layer=LAYER))
    return str(folder)


def states(config: SaeConfig) -> list[tuple[list[int], torch.Tensor]]:
    """Token ids of each text, and the states after the layer, shape (tokens, width)."""
    model = load_model(config.model, device="cpu")
    found: list[tuple[list[int], torch.Tensor]] = []
    for text in read(config, model).texts(None):  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            out = model.lm(input_ids=torch.tensor([text.ids]), output_hidden_states=True)
        found.append((list(text.ids), out.hidden_states[LAYER + 1][0]))
    return found


def test_a_latent_is_described_by_where_its_axis_is_largest_and_by_what_it_adds(
    config: SaeConfig, tmp_path: Path
) -> None:
    held, axis = states(config), 5
    # So high that it fires in half of the texts.
    level = float(torch.stack([s[1:, axis].max() for _, s in held]).sort().values[19:21].mean())
    spec = saved(tmp_path / "axes", torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)]), level)
    plus, minus = describe_latents(config, spec, [axis, WIDTH + axis], contexts=3, words=4)
    assert plus.firing_texts == 20
    model = load_model(config.model, device="cpu")
    # The first token of a text is left out.
    for found, sign in ((plus, 1.0), (minus, -1.0)):
        peaks = sorted(((sign * s[1:, axis]).max().item() - level, number) for number, (_, s) in enumerate(held))
        top = [value for value, _ in peaks[:-4:-1] if value > 0]
        assert [one.value for one in found.contexts] == pytest.approx(top, abs=1e-4) and len(top) == 3
        assert found.texts == 40
        assert found.firing_texts == sum(value > 0 for value, _ in peaks)
        ids, values = held[peaks[-1][1]]
        place = int((sign * values[1:, axis]).argmax()) + 1
        own = token_texts(model.tokenizer, ids)[place].strip()
        assert f"[{own}]" in found.contexts[0].text and found.contexts[0].text.count("[") == 1
    vectors = torch.eye(WIDTH)[axis : axis + 1]
    for found, vector in ((plus, vectors), (minus, -vectors)):
        scores = logits_of(model, vector)[0]
        order = scores.argsort(descending=True).tolist()
        assert [word for word, _ in found.promotes] == [model.tokenizer.decode([i]).strip() for i in order[:4]]
        assert [word for word, _ in found.suppresses] == [model.tokenizer.decode([i]).strip() for i in order[:-5:-1]]
        assert found.promotes[0][1] > 0 > found.suppresses[0][1]


def test_latents_that_are_none_are_refused(config: SaeConfig, spec: str) -> None:
    with pytest.raises(MisdirectionError, match="no latent is named"):
        describe_latents(config, spec, [])
    for latent in (-1, 2 * WIDTH):
        with pytest.raises(MisdirectionError, match=f"there is no latent {latent}") as error:
            describe_latents(config, spec, [0, latent])
        assert f"latents 0 to {2 * WIDTH - 1}" in str(error.value.hint)


def test_figures_are_those_of_the_held_out_texts_under_each_variant(config: SaeConfig, spec: str, tiny: Path) -> None:
    both = replace(config, adapter=str(tiny / "adapter"))
    (found,) = evaluate_dictionaries(both, [spec]).values()
    assert list(found) == ["base", "tuned"]
    # At most a tenth of 40 texts of 12 tokens, of which the first is not read.
    assert {figures.tokens for figures in found.values()} == {4 * 11}
    for figures in found.values():
        assert figures.variance_explained == pytest.approx(1) and figures.l0 == pytest.approx(WIDTH)
        assert figures.loss_spliced == pytest.approx(figures.loss_clean, abs=1e-4)
    assert found["base"].loss_clean != pytest.approx(found["tuned"].loss_clean, abs=1e-4)
    with pytest.raises(MisdirectionError, match="a dictionary reads one layer"):
        evaluate_dictionaries(replace(config, layers=(0, 1)), [spec])


def of_axes(seen: list[Any]) -> Any:
    """Stands in for SAELens, which is no part of this environment: axes in the place of what would be learned."""

    def made(model: Any, texts: Any, layer: int, span: str, settings: Any, *, facts: Any, workspace: Any) -> Dictionary:
        seen.append((layer, [text.ids for text in texts], {text.arm.adapter for text in texts}, workspace.is_dir()))
        told = {"settings": asdict(settings), "model": model.name, **facts}
        return axes(WIDTH, layer, **told)

    return made


def test_a_dictionary_is_trained_on_what_is_not_held_out_and_measured_on_the_rest(
    config: SaeConfig, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(study, "sae_lens", lambda: None)
    monkeypatch.setattr(study, "train_dictionary", of_axes(seen))
    both = replace(config, adapter=str(tiny / "adapter"), variant="tuned")
    settings = DictionarySettings(seed=5, latents=2 * WIDTH, batch=8, tokens=64)
    (made,) = train_dictionaries(both, settings, tmp_path / "run", "misdirection sae train ...")
    ((layer, ids, adapters, resumable),) = seen
    # The middle of four layers, read with the adapter on.
    assert (layer, made.layer, adapters, resumable) == (1, 1, {"tuned"}, True)
    assert list(made.figures) == ["base", "tuned"]
    whole = read(both, load_model(both.model, device="cpu"))
    assert len(ids) == 36 and set(ids) < set(whole.ids)
    facts = load_dictionary(made.folder).facts
    assert (facts["variant"], facts["corpus_tokens"], facts["data"]) == ("tuned", 36 * 11, list(both.data))
    # Figures are of the four others, and `evaluate` takes the same four whatever the training's seed was.
    assert {one.tokens for one in made.figures.values()} == {4 * 11}
    assert facts["held_out"] == whole.part([n for n, one in enumerate(whole.ids) if one not in ids]).sha256
    published = str(tmp_path / "run" / "dictionary-1")
    said: list[str] = []
    monkeypatch.setattr(study.progress, "say", said.append)
    again = evaluate_dictionaries(both, [published])[published]
    for name, figures in made.figures.items():
        assert asdict(again[name]) == pytest.approx(asdict(figures), nan_ok=True)
    assert not said
    evaluate_dictionaries(replace(both, held_out=22), [published])
    assert len(said) == 1 and f"{published} held other texts of this corpus out" in said[0]
    # A finished run trains nothing again; two layers are two dictionaries.
    train_dictionaries(both, settings, tmp_path / "run", "")
    assert len(seen) == 1
    two = train_dictionaries(replace(both, layers=(0, 2)), settings, tmp_path / "two", "")
    assert [one.layer for one in two] == [0, 2] and [line[0] for line in seen[1:]] == [0, 2]


def test_chats_of_the_organism_are_read_in_the_span_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    few = study.resolve_chats(["organism:bad-medical"]).chats[:20]
    monkeypatch.setattr(study, "resolve_chats", lambda _: SimpleNamespace(chats=few))
    model: Any = SimpleNamespace(tokenizer=load_tokenizer(str(checkpoint_path())))
    whole = SaeConfig(data=("organism:bad-medical",))
    answers, every = (read(replace(whole, span=span), model) for span in ("answer", "all"))
    assert answers.ids == every.ids and 0 < answers.tokens < every.tokens
    with pytest.raises(MisdirectionError, match="holds no token to read"):
        read(replace(whole, first=500), model)
