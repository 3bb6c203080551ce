"""`misdirection sae` as a user runs it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines
from tests.families import WIDTH, prompt, vector

from misdirection.features import Dictionary, load_dictionary, save_dictionary
from misdirection.organism.data import dictionary_path
from misdirection.runs import list_steps

COLUMNS = ["variance explained", "active", "dead", "recovered"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [{"text": " ".join(f"w{token}" for token in prompt(n, 20))} for n in range(60)]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    one = Dictionary(
        both.T.contiguous(), both, torch.zeros(2 * WIDTH), torch.zeros(WIDTH), "jumprelu",
        torch.zeros(2 * WIDTH), layer=1, facts={"model": "tiny", "settings": {"k": 3}},
    )  # fmt: skip
    save_dictionary(tmp_path / "identity", one)
    return tmp_path / "identity"


def test_show_says_shape_rule_layer_and_facts(cli: Cli, made: Path, tmp_path: Path) -> None:
    done = cli("sae", "show", made)
    assert done.code == 0
    for part in (f"width {WIDTH}, {2 * WIDTH} latents", "jumprelu, thresholds 0 to 0", "after decoder layer 1", "k 3"):
        assert part in done.out
    top = Dictionary(vector(1, 4, 6), vector(2, 6, 4), torch.zeros(6), torch.zeros(4), "topk", k=2, input_scale=0.5)
    save_dictionary(tmp_path / "top", top)
    done = cli("sae", "show", tmp_path / "top")
    assert "topk, k 2" in done.out and "not known" in done.out and "scaled by 0.5" in done.out
    two_lines(cli("sae", "show", "no-such-set:12"), "no-such-set", "gemma-scope-2b-pt-res")


def test_the_dictionaries_that_ship_are_shown_by_layer(cli: Cli) -> None:
    told = cli("sae", "show", "organism:6").out
    assert "768 latents" in told and "after decoder layer 6" in told and "--k 16" in told
    two_lines(cli("sae", "show", "organism:2"), "layer 2", "layers 3, 6, 9")
    two_lines(cli("sae", "show", "organism:middle"), "names no layer", "organism:6")


def test_evaluate_measures_every_dictionary_on_both_variants(
    cli: Cli, tiny: Path, made: Path, corpus: Path, tmp_path: Path
) -> None:
    arguments = ("--model", tiny / "base", "--data", corpus, "--adapter", tiny / "adapter")
    done = cli("sae", "evaluate", made, *arguments, "--out", tmp_path / "figures.json")
    assert done.code == 0, done.err
    assert all(column in done.out for column in COLUMNS) and "100.0%" in done.out
    found = json.loads((tmp_path / "figures.json").read_text())[str(made)]
    assert json.loads(cli("sae", "evaluate", made, *arguments, "--json").out) == {str(made): found}
    assert set(found) == {"base", "tuned"} and found["base"]["loss_clean"] != found["tuned"]["loss_clean"]
    for one in found.values():
        assert one["loss_spliced"] == pytest.approx(one["loss_clean"], abs=1e-4) != one["loss_zero"]


def test_what_is_wrong_is_told_in_two_lines(cli: Cli, tiny: Path, made: Path, corpus: Path, tmp_path: Path) -> None:
    base = ("--model", tiny / "base")
    two_lines(cli("sae", "evaluate", made, *base), "there is no corpus", "--data FILE")
    two_lines(cli("sae", "evaluate", made, *base, "--data", "/absent.jsonl"), "/absent.jsonl does not exist")
    two_lines(cli("sae", "evaluate", tmp_path, *base, "--data", corpus), "holds no dictionary of a known layout")
    two_lines(cli("sae", "train", *base, "--data", corpus, "--variant", "tuned"), "--variant is 'tuned'")
    both = ("--adapter", "a", "--tuned", "b")
    two_lines(cli("sae", "train", *base, "--data", corpus, *both), "--adapter and --tuned are both given")


def test_training_without_saelens_names_the_extra(
    cli: Cli, tiny: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    done = cli("sae", "train", "--model", tiny / "base", "--data", corpus, "--out", tmp_path / "run")
    two_lines(done, "'sae-lens'", "pip install 'misdirection[sae]'")
    assert not (tmp_path / "run").exists()


def test_train_leaves_a_dictionary_a_layer_and_figures_of_both_variants(
    cli: Cli, tiny: Path, corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sae_lens")
    small = ("--tokens", 2000, "--batch", 100, "--latents", 64, "--k", 4, "--buffer", 500, "--layers", "1,2")
    arguments = (
        "sae", "train", "--model", tiny / "base", "--adapter", tiny / "adapter", "--data", corpus, *small,
        "--out", tmp_path / "run", "--variant", "tuned",
    )  # fmt: skip
    done = cli(*arguments)
    assert done.code == 0, done.err
    assert all(column in done.out for column in COLUMNS) and done.out.count("tuned") >= 2
    steps = {step.name: step for step in list_steps(tmp_path / "run")}
    assert set(steps) == {"dictionary-1", "quality-1", "dictionary-2", "quality-2"}
    found = load_dictionary(tmp_path / "run" / "dictionary-2")
    assert found.layer == 2 and found.facts["variant"] == "tuned" and found.facts["settings"]["k"] == 4
    assert set(json.loads((steps["quality-2"].path / "value.json").read_text())) == {"base", "tuned"}
    before = steps["dictionary-1"].content
    assert cli(*arguments).code == 0
    assert {step.name: step.content for step in list_steps(tmp_path / "run")}["dictionary-1"] == before
    assert "dictionary-2" in cli("sae", "show", tmp_path / "run" / "dictionary-2").out
    told = json.loads((tmp_path / "run" / "figures.json").read_text())
    for layer in (1, 2):
        kept = json.loads((steps[f"quality-{layer}"].path / "value.json").read_text())
        for variant, one in kept.items():
            for name in ("variance_explained", "l0", "dead", "loss_spliced", "tokens"):
                assert told[f"dictionary-{layer}"][variant][name] == one[name]
    assert cli("push", tmp_path / "run" / "dictionary-2", "me/latents", "--folder", tmp_path / "sent").code == 0
    card_shows((tmp_path / "sent" / "README.md").read_text(), told["dictionary-2"])


def card_shows(card: str, figures: dict[str, dict[str, float]]) -> None:
    """A line of the card a variant, with what `measure` found."""
    for variant, one in figures.items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {variant} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:4] == [
            f"{100 * one['variance_explained']:.1f} %", f"{one['l0']:.1f}", f"{one['dead']:,} of {one['latents']:,}",
        ]  # fmt: skip
        wanted = [f"{one[f'loss_{what}']:.3f}" for what in ("clean", "spliced", "zero", "mean")]
        assert cells[4:] == [*wanted, f"{one['tokens']:,}"]


def test_what_evaluate_writes_stands_in_the_card_of_each_dictionary_by_its_name(cli: Cli, tmp_path: Path) -> None:
    """The organism's own dictionaries, as folders of a run beside the figures that the command measured of both."""
    for layer in (3, 9):
        shutil.copytree(dictionary_path(layer), tmp_path / "run" / f"dictionary-{layer}")
    folders = [tmp_path / "run" / f"dictionary-{layer}" for layer in (3, 9)]
    few = ("--data", "organism:helper-200", "--held-out", 1000)
    done = cli("sae", "evaluate", *folders, *few, "--out", tmp_path / "run" / "figures.json")
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert told[str(folders[0])] != told[str(folders[1])]
    for folder in folders:
        assert cli("push", folder, "me/latents", "--folder", tmp_path / f"sent-{folder.name}").code == 0
        card_shows((tmp_path / f"sent-{folder.name}" / "README.md").read_text(), told[str(folder)])


def test_describe_prints_contexts_and_words(cli: Cli, tiny: Path, made: Path, corpus: Path, tmp_path: Path) -> None:
    arguments = ("--model", tiny / "base", "--data", corpus, "--contexts", 2, "--words", 3)
    done = cli("sae", "describe", made, "--latents", "3,0", *arguments, "--out", tmp_path / "latents.json")
    assert done.code == 0, done.err
    assert done.out.index("latent 3") < done.out.index("latent 0") and "promotes:" in done.out
    found = json.loads((tmp_path / "latents.json").read_text())
    assert [row["latent"] for row in found] == [3, 0]
    assert json.loads(cli("sae", "describe", made, "--latents", "3,0", *arguments, "--json").out) == found
    for row in found:
        values = [context["value"] for context in row["contexts"]]
        assert len(values) == 2 and values == sorted(values, reverse=True) and 0 < row["firing_texts"] <= row["texts"]
        assert all("[w" in context["text"] for context in row["contexts"])
        assert len(row["promotes"]) == len(row["suppresses"]) == 3
    two_lines(cli("sae", "describe", made, *arguments), "no latent is named", "--latents")
    two_lines(cli("sae", "describe", made, "--latents", 2 * WIDTH, *arguments), "no latent", f"0 to {2 * WIDTH - 1}")
