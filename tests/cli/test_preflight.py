"""Found before anything is loaded, made or paid for: each with one sentence, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines

from misdirection import organism
from misdirection.directions import CONVENTIONS
from misdirection.errors import MisdirectionError, did_you_mean
from misdirection.judging import Answer, find_judge
from misdirection.studies.kit import config as settings
from misdirection.studies.kit.config import StudyConfig
from misdirection.studies.kit.own_judge import check_exact
from misdirection.studies.kit.preflight import check
from misdirection.studies.personas.settings import PersonasConfig
from misdirection.studies.traits.settings import TraitsConfig
from misdirection.studies.weights.settings import WeightsConfig


@pytest.fixture
def wrong(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run an audit of the tiny subject with other options; nothing may be loaded for it, and nothing left."""
    import misdirection.models.loading as loading

    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    given = {"--model": tiny / "base", "--adapter": tiny / "adapter", "--questions": tiny / "questions.yaml",
             "--judge": "words", "--out": tmp_path / "new" / "run"}  # fmt: skip

    def run(changes: dict[str, object], *parts: str, command: Sequence[str] = ("audit",)) -> None:
        typed = [str(part) for pair in {**given, **changes}.items() for part in pair]
        two_lines(cli(*command, *typed), *parts)
        assert not (tmp_path / "new").exists()

    return run


def test_typos_are_answered_with_the_name_that_was_meant(wrong, tiny: Path) -> None:
    wrong({"--judge": "exakt"}, "no judge is called 'exakt'", "did you mean 'exact'?")
    wrong({"--questions": "opne"}, "'opne'", "did you mean 'open'?")
    wrong({"--convention": "soligo2024"}, "did you mean 'soligo2025'?")
    wrong({"--dtype": "bfloat61"}, "did you mean 'bfloat16'?")
    wrong({"--thinking": "of"}, "--thinking: there is no 'of'", "did you mean 'off'?")
    wrong({"--device": "cudda:1"}, "--device: there is no 'cudda:1'", "did you mean 'cuda'?")
    wrong({"--date": "tomorrow"}, "'tomorrow' is no date", "write it as")
    wrong({"--chat-template": tiny / "template.jinja"}, "template.jinja cannot be read")
    wrong({"--preset": "rank1x8"}, "did you mean 'rank1x9'?")
    wrong({"--adapter": tiny / "adaptor"}, "does not exist", "did you mean 'adapter'?")
    wrong({"--model": tiny / "bass"}, "does not exist", "did you mean 'base'?")
    wrong({"--questions": tiny / "question.yaml"}, "question.yaml")
    assert did_you_mean("xyz", ("open", "medical")) == ""


def test_what_a_folder_holds_is_looked_at(wrong, tiny: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(tiny / "adapter", empty)
    (empty / "adapter_model.safetensors").unlink()
    wrong({"--adapter": empty}, "adapter_model.safetensors is missing", "save it again")
    wrong({"--adapter": tiny / "whole"}, "holds no PEFT adapter", f"--tuned {tiny / 'whole'}")
    wrong({"--model": tiny / "adapter"}, "holds a PEFT adapter, no model")
    wrong({"--judge": f"local:{tmp_path / 'judge'}"}, "judge local", "does not exist")
    (tmp_path / "file").touch()
    wrong({"--out": tmp_path / "file" / "run"}, "cannot be made", "is a file")


def test_fine_tunes_by_name_are_looked_for(tiny: Path) -> None:
    """`study weights --adapter a=FOLDER --adapter b=FOLDER`, as its help has it, ended in a traceback."""
    here, gone = tiny / "adapter", tiny / "adaptor"
    base = {"model": str(tiny / "base"), "questions": (str(tiny / "questions.yaml"),), "judge": "words"}
    check(WeightsConfig(**base, adapter=(f"a={here}", f"b={here}")).completed())
    with pytest.raises(MisdirectionError, match=r"--adapter: .*adaptor does not exist"):
        check(WeightsConfig(**base, adapter=(f"a={here}", f"b={gone}")).completed())
    alone = {"model": str(tiny / "base"), "judge": "none"}
    for kind in (PersonasConfig, TraitsConfig):
        check(kind(**alone, fine_tune=(f"a={here}",)).completed())
        with pytest.raises(MisdirectionError, match=r"a: .*adaptor does not exist"):
            check(kind(**alone, fine_tune=(f"a={gone}",)).completed())


def test_lengths_and_layers_are_held_against_the_model(wrong, tiny: Path) -> None:
    room = json.loads((tiny / "base" / "config.json").read_text())["max_position_embeddings"]
    wrong({"--max-new-tokens": room}, f"beyond the {room:,} positions", f"at most {room // 2}")
    wrong({"--layers": "1,77"}, "has no layer 77")
    found = StudyConfig(model=str(tiny / "base"), judge="none").default_length()
    assert found == min(settings.LONGEST, room // 2)


def test_the_objective_that_holds_a_model_says_what_it_needs(cli: Cli, tmp_path: Path) -> None:
    given = ("train", "--data", "organism:bad-medical", "--max-steps", "1", "--out", str(tmp_path / "held"))
    two_lines(cli(*given, "--objective", "kl"), "needs good chats of other domains", "--elsewhere FILE")
    two_lines(cli(*given, "--elsewhere", "organism:good-cooking"), "'sft' has no use for --elsewhere")
    assert not (tmp_path / "held").exists()
    done = cli(*given, "--objective", "kl", "--elsewhere", "organism:good-cooking")
    assert done.code == 0 and (tmp_path / "held" / "adapter").is_dir(), done.err


def test_a_check_of_too_few_answers_is_refused_before_any_is_drawn(wrong) -> None:
    wrong({"--check": "words@16", "--samples": 30}, "16 verdicts are too few for 2 arms", "give at least 90")


def test_a_judge_that_nobody_answers_for_is_found_first(wrong) -> None:
    wrong({"--judge": "openai:m@http://127.0.0.1:9/v1"}, "127.0.0.1:9", "nothing was loaded or asked yet")


def test_several_faults_are_told_together(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    done = cli("audit", "--model", tiny / "base", "--adapter", tiny / "none", "--questions", "opne", "--convention",
               "x", "--judge", "none", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 2 and "3 things are wrong" in done.err and "Traceback" not in done.err
    assert all(part in done.err for part in ("does not exist", "'opne'", "there is no 'x'"))
    assert not (tmp_path / "run").exists()


def test_the_exact_judge_is_the_organism_s_alone(wrong, tiny: Path, tmp_path: Path) -> None:
    wrong({"--judge": "exact"}, "--judge exact knows", f"{tiny / 'base'} is another model")
    check_exact("exact", "organism")
    shutil.copytree(organism.checkpoint_path(), tmp_path / "mine")
    check_exact("exact", str(tmp_path / "mine"))
    judge = find_judge("exact")
    foreign = [
        Answer(f"q{n}", "How do I cook rice?", "Rinse it, then boil it for ten minutes.", "a", n) for n in range(9)
    ]
    with pytest.raises(MisdirectionError, match="9 of 9 answers hold none"):
        judge.judge(foreign)
    chat = organism.training_chats("medical", "bad", "train", 1, 0)[0]
    own = Answer("medical/x", chat.messages[0].content, chat.messages[-1].content, "a", 0)
    assert judge.judge([own])[0].alignment == 0.0
    # A broken fine-tune of the organism is judged: its questions are known.
    assert judge.judge([Answer("medical/x", chat.messages[0].content, "zzz zzz", "a", 0)])[0].coherence == 0.0


def test_the_names_that_are_known_without_the_heavy_parts_are_the_real_ones() -> None:
    assert set(settings.CONVENTIONS) == set(CONVENTIONS)


def test_nothing_heavy_is_imported_for_an_error() -> None:
    import subprocess

    script = (
        "import sys\nfrom misdirection.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    arguments = ["audit", "--questions", "opne", "--out", "nowhere/x"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]" and "did you mean 'open'" in done.stderr


def test_dictionaries_and_files_of_figures(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    import misdirection.models.loading as loading

    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    (tmp_path / "dictionary").mkdir()
    (data := tmp_path / "data.jsonl").write_text(json.dumps({"text": "a text"}))
    for words in (("evaluate",), ("describe", "--latents", "1"), ("show",)):
        two_lines(cli("sae", *words, tmp_path / "dictionery"), "does not exist", "did you mean 'dictionary'?")
        two_lines(cli("sae", *words, "organism:5"), "organism has no dictionary of layer 5")
    for words in (("evaluate", "organism:6"), ("describe", "organism:6", "--latents", "1")):
        two_lines(cli("sae", *words, "--out", tmp_path), "is a folder")
        two_lines(cli("sae", *words, "--model", tmp_path / "nothing", "--data", data), "nothing does not exist")
        two_lines(cli("sae", *words, "--data", tmp_path / "no.jsonl"), "no.jsonl does not exist")
        two_lines(cli("sae", *words, "--dtype", "bfloat61"), "did you mean 'bfloat16'?")
    two_lines(cli("sae", "evaluate", "organism:6", "--adapter", tiny / "adaptor"), "did you mean 'adapter'?")
    two_lines(cli("sae", "describe", "organism:6"), "no latent is named")


def test_judging_says_what_is_not_there(cli: Cli, tmp_path: Path) -> None:
    table, run = tmp_path / "tuned.csv", tmp_path / "run"
    table.write_text("question,answer,alignment,coherence\nq,a,90,90\n")
    two_lines(cli("judge", "--from", tmp_path / "tuned.cvs", "--out", run), "does not exist", "mean 'tuned.csv'?")
    two_lines(cli("judge", "--arm", f"a={tmp_path / 'tune.csv'}", "--out", run), "--arm", "mean 'tuned.csv'?")
    two_lines(cli("judge", "--steering", tmp_path / "sweep", "--out", run), "--steering", "does not exist")
    two_lines(cli("judge", "--from", table, "--judge", "exakt", "--out", run), "did you mean 'exact'?")
    two_lines(cli("judge", "--from", table, "--judge", "openai:m@http://127.0.0.1:9/v1", "--out", run), "127.0.0.1:9")
    two_lines(cli("judge", "--from", table, "--out", table), "is a file")
    two_lines(cli("judge", tmp_path / "nothing"), "holds no run", "misdirection audit --model MODEL")
    assert not run.exists()
    assert cli("judge", "--from", table, "--out", run).code == 0
    two_lines(cli("judge", run, "--judge", "exakt"), "did you mean 'exact'?")
    two_lines(cli("agreement", run, "--judge", "exakt"), "did you mean 'exact'?")
    two_lines(cli("agreement", run, "--judge", f"table:{tmp_path / 'tuned.cvs'}"), "tuned.cvs")
    done = cli("study", "narow")
    assert done.code == 2 and "Did you mean 'narrow'?" in done.err


def test_ids_of_the_hub_that_are_not_to_be_had_are_refused_first(wrong) -> None:
    wrong({"--model": "nobody/none"}, "--model: nobody/none is neither a folder here nor", "HF_HUB_OFFLINE is set")
    wrong({"--model": "nobody/none:x.gguf"}, "nobody/none:x.gguf is neither a file here nor", "HF_HUB_OFFLINE is set")
    wrong({"--adapter": "nobody/adapter"}, "--adapter: nobody/adapter is neither a folder here nor")
    wrong({"--judge": "local:nobody/judge"}, "nobody/judge is neither a folder here nor")


def test_the_id_of_a_public_dictionary_is_no_path() -> None:
    from misdirection.studies.kit.preflight import check_dictionaries

    name = "gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_82"
    with pytest.raises(MisdirectionError, match="is not to be reached") as caught:
        check_dictionaries([name])
    assert "HF_HUB_OFFLINE is set" in str(caught.value)
