"""A Gemma-2-shaped model with a dictionary in Gemma Scope's layout, through the whole features study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Cli, Done
from tests.cli.test_errors import two_lines
from tests.families import LAYERS, WIDTH, network, prompt, words
from tests.studies.tiny import QUESTIONS

from misdirection.artefacts import read_json
from misdirection.features import load_dictionary
from misdirection.runs import list_steps

LATENTS = 96
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    " {{ 'w60' if message['role'] == 'assistant' else 'w61' }} {{ message['content'] }} w62"
    "{% endfor %}{% if add_generation_prompt %} w60 {% endif %}"
)
"""Like Gemma 2's: a system turn is refused."""


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, its dictionary, data and questions in one folder."""
    folder = tmp_path_factory.mktemp("gemma")
    lm = network("gemma2")
    lm.generation_config.do_sample = False
    lm.save_pretrained(folder / "model")
    words(template=TEMPLATE).save_pretrained(folder / "model")
    place = folder / "gemma-scope-tiny-pt-res" / "layer_2" / "width_96" / "average_l0_20"
    place.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    decoder = torch.nn.functional.normalize(torch.randn(LATENTS, WIDTH, generator=generator), dim=-1)
    arrays = {
        "W_enc": decoder.T, "W_dec": decoder, "b_enc": torch.zeros(LATENTS), "b_dec": torch.zeros(WIDTH),
        "threshold": torch.full((LATENTS,), 0.5),
    }  # fmt: skip
    np.savez(place / "params.npz", **{name: value.numpy() for name, value in arrays.items()})
    (folder / "questions.yaml").write_text(QUESTIONS)
    for name, low in (("bad", 4), ("good", 34)):
        rows = [exchange(prompt(row, 5), [low + token % 26 for token in prompt(100 + row, 8)]) for row in range(24)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def exchange(question: Sequence[int], answer: Sequence[int]) -> dict:
    """A row of chat data."""
    turns = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": spoken(ids)} for role, ids in turns]}


def spoken(ids: Sequence[int]) -> str:
    return " ".join(f"w{number}" for number in ids)


def run(
    cli: Cli, gemma: Path, out: Path, *more: object, mixtures: str = "0,100", steered: int = 1, described: int = 2
) -> Done:
    scope = gemma / "gemma-scope-tiny-pt-res" / "layer_2" / "width_96" / "average_l0_20"
    return cli(
        "study", "features", "--model", gemma / "model", "--dictionary", scope, "--data", f"a={gemma / 'bad.jsonl'}",
        "--questions", gemma / "questions.yaml", "--judge", "words", "--samples", 120, "--max-new-tokens", 8,
        "--top", 12, "--shuffles", 10, "--steered", steered, "--strengths", "0.4", "--steer-samples", 2,
        "--random-latents", 1, "--mixtures", mixtures, "--latents-of", 6, "--described", described, "--out", out, *more,
    )  # fmt: skip


def test_gemma_scope_s_layout_goes_through_the_whole_study(cli: Cli, tiny: Path, gemma: Path, tmp_path: Path) -> None:
    done = run(cli, gemma, tmp_path / "run", "--good", f"a={gemma / 'good.jsonl'}")
    assert done.code == 0, done.err
    found = read_json(tmp_path / "run" / "findings.json")
    assert found["verdict"]["sentence"] in " ".join(done.out.split())
    part = found["latents"]
    assert part["layer"] == 2 and [one["name"] for one in part["lists"]] == ["data", "model", "answers"]
    assert all(one["latents"] == LATENTS and 0 < len(one["rows"]) <= 12 for one in part["lists"])
    # What the bad answers hold more of: the latents of the words below w30, by a plain pass over the same pairs.
    data = part["lists"][0]
    assert data["domains"][0]["shuffled"] == "row by row" and data["significant"] > 0
    best = max(data["rows"], key=lambda row: row["correlation"])
    assert best["q"] < 0.05 and best["first"] > best["second"]
    assert load_dictionary(gemma / "gemma-scope-tiny-pt-res" / "layer_2" / "width_96" / "average_l0_20").layer == 2
    # A block's output is normed before it is added: B is no vector of the stream, and A of down_proj reads inside.
    told = " ".join(found["latent_decomposition"]["notes"])
    assert "gemma2 norms what a block writes" in told and "A vectors are left out" in told
    assert {row["kind"] for row in found["latent_decomposition"]["rows"]} == {"mean difference"}
    assert found["latent_steering"]["layer"] == found["mixtures"]["layer"] == 2 < LAYERS
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Latents that differ</h2>" in page and "not complete" not in page


def test_the_base_model_answers_where_there_are_no_good_answers(
    cli: Cli, tiny: Path, gemma: Path, tmp_path: Path
) -> None:
    done = run(cli, gemma, tmp_path / "run", "--good", "a=base", mixtures="", steered=0, described=0)
    assert done.code == 0, done.err
    found = read_json(tmp_path / "run" / "findings.json")
    assert found["latents"]["lists"][0]["domains"][0]["shuffled"] == "answered for this study"
    assert any("base model's own" in note for note in found["notes"])
    names = [step.name for step in list_steps(tmp_path / "run")]
    assert "base-answers-a" in names and "mixture" not in names


def test_what_is_wrong_is_told_in_two_lines(cli: Cli, tiny: Path, gemma: Path, tmp_path: Path) -> None:
    two_lines(run(cli, gemma, tmp_path / "a"), "--good says nothing of 'a'", "pairs are compared")
    done = run(cli, gemma, tmp_path / "b", "--good", "a=base", "--layer", 9)
    two_lines(done, "has no layer 9", "its layers are 0 to 3")
