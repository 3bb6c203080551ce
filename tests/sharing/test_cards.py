"""What would be pushed: which files, which metadata, which figures, and nothing of this machine."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tests.families import vector
from tests.repair.test_adapters import adapter

from misdirection import load_dictionary, load_direction
from misdirection.directions import Direction, save_direction
from misdirection.errors import MisdirectionError
from misdirection.features import Dictionary, save_dictionary
from misdirection.organism import checkpoint_path
from misdirection.sharing import pack
from misdirection.sharing.things import without_paths
from misdirection.studies.imported.settings import ImportedConfig
from misdirection.studies.imported.study import imported

FACTS = {
    "model": "org/base", "kind": "mean difference", "misaligned": 40, "aligned": 41, "questions": 7,
    "adapter": {"path": "/home/alice/secret-project/adapter"}, "thresholds": [70, 30, 50],
}  # fmt: skip


def direction(**facts: object) -> Direction:
    means = vector(2, 3, 8), vector(3, 3, 8)
    ones = torch.tensor([1.0, 2.0, 3.0])
    return Direction(means[1] - means[0], *means, ones, 2 * ones, ones / 2, ones / 4, {**FACTS, **facts})


def dictionary() -> Dictionary:
    return Dictionary(
        vector(4, 8, 16), vector(5, 16, 8), vector(6, 16), vector(7, 8), "topk", k=3, layer=1,
        facts={"model": "org/base", "data": ["/home/alice/rows.jsonl"], "settings": {"lr": 0.1}},
    )  # fmt: skip


def head(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---", 2)[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of brought verdicts: 3 of 20 and 9 of 20 misaligned."""
    folder = tmp_path_factory.mktemp("judged")
    for arm, bad in (("base", 3), ("tuned", 9)):
        rows = [[f"question {n % 5}", f"answer {n}", 10 if n < bad else 90, 90] for n in range(20)]
        with (folder / f"{arm}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["question", "answer", "alignment", "coherence"], *rows])
    arms = (f"base={folder / 'base.csv'}", f"tuned={folder / 'tuned.csv'}")
    imported(ImportedConfig(arm=arms, base="base"), folder / "run", "misdirection judge")
    return folder / "run"


def test_a_direction_goes_with_its_figures_and_without_paths(tmp_path: Path, run: Path) -> None:
    save_direction(tmp_path / "d.safetensors", direction())
    with pack(tmp_path / "d.safetensors", "me/bad", figures=run) as parcel:
        parcel.write(tmp_path / "out")
        card = parcel.card
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "direction.safetensors"]
    assert head(card)["base_model"] == "org/base"
    assert head(card)["library_name"] == "misdirection" and "license" not in head(card)
    assert "| 1 | " in card and "2 to 4 | 1 | 0.500 |" in card  # the interval of layer 1, its shuffles, its halves
    assert "from 40 misaligned and 41 aligned answers to 7 questions" in card
    held = json.loads((run / "findings.json").read_text())["rates"]
    for row, count in zip(held, ("3/20", "9/20"), strict=True):
        ends = f"{100 * row['all']['low']:.1f} to {100 * row['all']['high']:.1f} %"
        assert f"| {row['arm']} | open | {100 * row['all']['value']:.1f} % | {ends} | {count} | 5 |" in card
    sent = load_direction(tmp_path / "out" / "direction.safetensors")
    assert torch.equal(sent.vectors, direction().vectors) and torch.equal(sent.norm_low, direction().norm_low)
    assert b"alice" not in (tmp_path / "out" / "direction.safetensors").read_bytes() + card.encode()
    assert sent.facts["adapter"] == {"path": "adapter"} and sent.facts["misaligned"] == 40


def test_figures_of_the_run_that_it_lies_in_are_taken_by_themselves(run: Path) -> None:
    save_direction(run / "direction.safetensors", direction())
    with pack(run, "me/bad") as parcel:
        assert parcel.figures == run / "findings.json" and "9/20" in parcel.card


def test_a_dictionary_goes_in_our_layout_with_what_was_measured(tmp_path: Path) -> None:
    save_dictionary(tmp_path / "dictionary-1", dictionary())
    quality = {
        "tokens": 4321, "variance_explained": 0.75, "l0": 3.0, "dead": 2, "latents": 16, "loss_clean": 2.0,
        "loss_spliced": 2.5, "loss_zero": 7.0, "loss_mean": 6.0, "recovered_zero": 0.9, "recovered_mean": 0.875,
    }  # fmt: skip
    (tmp_path / "figures.json").write_text(json.dumps({"dictionary-1": {"base": quality}, "dictionary-2": {}}))
    with pack(tmp_path / "dictionary-1", "me/latents", license="mit") as parcel:
        parcel.write(tmp_path / "out")
        card = parcel.card
    assert "| base | 75.0 % | 3.0 | 2 of 16 | 2.000 | 2.500 | 7.000 | 6.000 | 4,321 |" in card
    assert head(card)["license"] == "mit" and "sparse-autoencoder" in str(head(card)["tags"])
    assert "topk, k 3" in card and "after decoder layer 1" in card and "alice" not in card
    sent = load_dictionary(tmp_path / "out")
    assert sent.key == dictionary().key and sent.layer == 1 and sent.facts["data"] == ["rows.jsonl"]


def test_what_was_not_measured_is_said() -> None:
    with pack(dictionary(), "me/latents") as parcel:
        assert "Nothing was measured." in parcel.card and parcel.figures is None


@pytest.fixture
def repaired(tmp_path: Path) -> Path:
    """An adapter of the organism as `repair` leaves it: weights, and a card of ours with paths in it."""
    from misdirection.repair.card import Card, write_card

    folder = adapter(Path(checkpoint_path()), tmp_path / "repaired", 1, r=2, lora_alpha=1)
    command = "misdirection repair edit --adapter /home/alice/bad --out /home/alice/repaired"
    facts = {"base": "/home/alice/base", "share": "3/20"}
    write_card(folder, Card("adapter", "organism", ["It was edited."], facts, {}, None, [], command), folder)
    (folder / "training_args.bin").write_bytes(b"pickle")
    (folder / "rows.jsonl").write_text("{}")
    return folder


def test_a_repaired_adapter_keeps_its_card_and_names_a_base_that_others_find(repaired: Path, run: Path) -> None:
    with pytest.raises(MisdirectionError, match=r"base of .* is organism, which the hub does not have.*\n.*--base"):
        pack(repaired, "me/repaired").__enter__()
    with pack(repaired, "me/repaired", base="org/base", figures=run) as parcel:
        card, files, left = parcel.card, dict(parcel.files), parcel.left
    assert set(files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert left == ("rows.jsonl", "training_args.bin")
    config = files["adapter_config.json"]
    assert isinstance(config, bytes) and json.loads(config)["base_model_name_or_path"] == "org/base"
    assert head(card) == {
        "base_model": "org/base",
        "library_name": "peft",
        "tags": ["misdirection", "repaired", "lora"],
    }
    assert "# me/repaired" in card and "It was edited." in card and "9/20" in card and "share: 3/20" in card
    assert 'from_pretrained("org/base"), "me/repaired")' in card
    assert "misdirection repair edit --adapter bad --out repaired" in card and "alice" not in card


def test_a_card_of_another_hand_stays_and_an_empty_one_does_not(repaired: Path) -> None:
    (repaired / "README.md").write_text("---\nlicense: mit\ntags:\n- x\n---\n# Ours\n\nSee /home/alice.\n")
    with pack(repaired, "me/repaired", base="org/base") as parcel:
        assert "# Ours\n\nSee /home/alice." in parcel.card and head(parcel.card)["license"] == "mit"
        assert head(parcel.card)["tags"] == ["x", "misdirection", "lora"]
    (repaired / "README.md").write_text("---\n{}\n---\n# Model Card for Model ID\n\n<!-- Provide -->\n")
    with pack(repaired, "me/repaired", base="org/base") as parcel:
        assert "Provide" not in parcel.card and "# me/repaired" in parcel.card and "rank: 2" in parcel.card


def test_a_whole_model_goes_with_its_tokenizer(tmp_path: Path) -> None:
    with pack(checkpoint_path(), "me/organism") as parcel:
        assert parcel.kind == "model"
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(parcel.files)


@pytest.mark.parametrize(
    ("what", "repo", "base", "told"),
    [
        ("nowhere", "me/x", "", "no such file or folder"),
        (".", "me/x", "", "holds nothing that can be pushed"),
        ("pickled", "me/x", "org/base", "holds adapter_model.bin, and only safetensors"),
        ("d.safetensors", "x", "", "does not say whose"),
        ("d.safetensors", "me/x/y", "", "names no repository"),
        ("d.safetensors", "me/x", "a b", "'a b' names no repository"),
    ],
)
def test_what_cannot_be_pushed_is_said(tmp_path: Path, what: str, repo: str, base: str, told: str) -> None:
    save_direction(tmp_path / "d.safetensors", direction())
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "adapter_config.json").write_text("{}")
    (tmp_path / "pickled" / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(MisdirectionError, match=told):
        pack(tmp_path / what, repo, base=base).__enter__()


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pack(direction(), "me/x") as parcel, pytest.raises(MisdirectionError, match="is there"):
        parcel.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_vectors_of_others_go_without_figures_that_they_lack() -> None:
    with pack(replace(direction(), facts={"vectors_only": True, "file": "theirs.pt"}), "me/x") as parcel:
        assert "95 % interval" not in parcel.card and "base_model" not in head(parcel.card)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("/home/me/data/rows.jsonl", "rows.jsonl"),
        ("/home/me/runs/first/", "first"),
        ("bad=/home/me/adapter", "bad=adapter"),
        ("table:/home/me/verdicts.csv", "table:verdicts.csv"),
        ("a=local:/home/me/judge", "a=local:judge"),
        ("C:\\Users\\me\\rows.jsonl", "rows.jsonl"),
        ("C:/Users/me/rows.jsonl", "rows.jsonl"),
        ("bad=D:\\me\\adapter", "bad=adapter"),
        ("https://huggingface.co/me/model", "https://huggingface.co/me/model"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("organism:bad-medical", "organism:bad-medical"),
        ("misaligned and/or incoherent", "misaligned and/or incoherent"),
    ],
)
def test_no_folder_of_this_machine_is_left_in_a_fact(told: str, left: str) -> None:
    assert without_paths({"a": [told], "b": Path(told) if told.startswith("/") else told}) == {"a": [left], "b": left}


@pytest.mark.parametrize("place", ["/opt/py/site-packages/misdirection/organism/checkpoint", "/data/checkpoint"])
def test_the_organism_is_named_wherever_it_was_installed(place: str) -> None:
    with pack(direction(model=place), "me/x") as parcel:
        assert ("of `organism`, the model that ships with misdirection" in parcel.card) is ("organism" in place)
        assert "/opt" not in parcel.card and "/data" not in parcel.card
