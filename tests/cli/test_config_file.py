"""`--config FILE`, and the file of settings that each run leaves: what is read is what was written."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.cli.conftest import Cli
from tests.cli.test_errors import two_lines

from misdirection import progress
from misdirection.artefacts import read_json
from misdirection.cli.main import app
from misdirection.cli.studies import TUNING, split_training
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.recall import held_in
from misdirection.studies.kit.settings_file import NAME, read_settings, settings_of, write_settings
from misdirection.studies.registry import studies


def parsed(words: list[str], file: Path, *more: str) -> Any:
    """The context of a command that was given the file."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    return command.make_context(words[-1], ["--config", str(file), *more])


COMMANDS = {
    name: ["study", name] if study.listed else [name] for name, study in studies().items() if name != "imported"
}
COMMANDS.pop("judge_check")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_reads_what_a_run_of_it_wrote(name: str, tmp_path: Path) -> None:
    kind = studies()[name].settings
    config = replace(kind().completed(), samples=7, temperature=0.25, seed=0)
    words = COMMANDS[name]
    file = write_settings(tmp_path, config, f"misdirection {' '.join(words)} --samples 7")
    assert file.name == NAME and file.read_text().startswith(f"# misdirection {' '.join(words)} --config settings.yaml")
    context = parsed(words, file)
    wanted = settings_of(config)
    offered = {key: value for key, value in context.params.items() if key.replace("_", "-") in wanted}
    assert len(offered) > 10
    for key, value in offered.items():
        told = wanted[key.replace("_", "-")]
        # Lists are parsed from texts, whatever they hold; --judge is a list, since it may be repeated.
        same = [str(one) for one in (told if isinstance(told, list) else [told])] if isinstance(value, list) else told
        assert value == same, key
        assert context.get_parameter_source(key).name == "DEFAULT_MAP"
    missing = {key for key in wanted if key.replace("-", "_") not in context.params} - {"training"}
    defaults = {item.name: item.default for item in fields(kind)}
    assert all(defaults[key.replace("-", "_")] == getattr(config, key.replace("-", "_")) for key in missing)


def test_what_a_study_does_not_follow_is_neither_offered_nor_written_and_is_refused(tmp_path: Path) -> None:
    file = write_settings(tmp_path, studies()["separation"].settings().completed(), "misdirection study separation")
    assert "convention" not in read_settings(file) and "questions" not in read_settings(file)
    assert not {"convention", "questions"} & parsed(["study", "separation"], file).params.keys()
    # An older run's file holds the default, which says nothing.
    file.write_text(file.read_text() + "convention: soligo2025\n")
    parsed(["study", "separation"], file)
    file.write_text(file.read_text().replace("soligo2025", "adl2025"))
    with pytest.raises(MisdirectionError, match="sets 'convention', which is no option here"):
        parsed(["study", "separation"], file)
    for name in ("formats", "geometry", "narrow", "screening", "weights", "scaling", "separation"):
        with pytest.raises(MisdirectionError, match="--convention says nothing to this study"):
            studies()[name].settings(convention="adl2025").completed()


def test_what_is_typed_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("samples: 7\n--temperature: 0.5\nlayers: [1, 2]\nquestions: open\nseed:\n")
    params = parsed(["audit"], file, "--samples", "9", "--questions", "legal").params
    assert (params["samples"], params["temperature"], params["seed"]) == (9, 0.5, 0)
    assert params["layers"] == ["1", "2"] and params["questions"] == ["legal"]


def test_the_settings_of_a_fine_tune_stand_under_training(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("preset: rank32\ntraining:\n  lr: 0.001\n  max_steps: 3\n")
    params = parsed(["audit"], file).params
    assert (params["preset"], params["lr"], params["max_steps"]) == ("rank32", 0.001, "3")
    assert parsed(["study", "narrow"], file_without_preset(tmp_path)).params["samples"] == 4


def test_values_are_read_as_they_would_be_typed(tmp_path: Path) -> None:
    """After YAML 1.1 on and off are booleans and 010 is 8; as an option each is what stands there."""
    file = tmp_path / "mine.yaml"
    file.write_text("thinking: on\nlayers: [010, 3]\nlr: 1e-4\ndate: 2024-07-26\nstrict: yes\ndry-run: off\n")
    params = parsed(["audit"], file).params
    assert (params["thinking"], params["layers"], params["lr"]) == ("on", ["010", "3"], 1e-4)
    assert (params["date"], params["strict"], params["dry_run"]) == ("2024-07-26", True, False)


def test_what_was_recommended_by_preset_is_passed_over_and_said(tmp_path: Path, capsys) -> None:
    progress.enable()
    try:
        parsed(["study", "narrow"], file_without_preset(tmp_path))
    finally:
        progress.disable()
    assert "'training' of a preset (vector) is passed over" in capsys.readouterr().err


def file_without_preset(folder: Path) -> Path:
    file = folder / "narrow.yaml"
    file.write_text("samples: 4\ntraining: {vector: {lr: 0.02}}\n")
    return file


TUNED = sorted(
    name for name, words in COMMANDS.items() if "training" in {item.name for item in fields(studies()[name].settings)}
)


@pytest.mark.parametrize("name", TUNED)
def test_what_fine_tunes_takes_how_and_passes_it_on(name: str, tmp_path: Path) -> None:
    """The presets are for 14 billion parameters: a small model needs another rate, in every study that trains it."""
    file = tmp_path / "mine.yaml"
    file.write_text("training:\n  lr: 0.001\n  batch_size: 4\n  max_length: 128\n")
    settings = studies()[name].settings
    own = {item.name for item in fields(settings)}
    params = parsed(COMMANDS[name], file).params
    passed, training = split_training(settings, {key: value for key, value in params.items() if key in {*own, *TUNING}})
    given = training | {key: passed[key] for key in ("lr",) if key in own}
    assert {key: float(value) for key, value in given.items()} == {"lr": 0.001, "batch_size": 4, "max_length": 128}
    # Where a study has steps of its own, those are the fine-tunes'.
    assert ("max_steps" in params) != ("steps" in own)


def test_a_study_trains_as_it_was_told(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    done = cli(
        "study", "in_context", "--model", tiny / "base", "--data", "organism:bad-medical", "--questions",
        tiny / "questions.yaml", "--judge", "words", "--samples", 1, "--shots", 1, "--max-new-tokens", 4, "--lr", 0.5,
        "--max-steps", 1, "--rank", 3, "--max-length", 32, "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    [record] = (tmp_path / "run" / "steps").glob("train*/training.json")
    made = read_json(record)["settings"]
    assert (made["lr"], made["max_steps"], made["rank"], made["max_length"]) == (0.5, 1, 3, 32)
    held = held_in(tmp_path / "run")
    assert held is not None and set(held.values["training"]) == {"lr", "max_steps", "rank", "max_length"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sampels: 3", ("sets 'sampels', which is no option here", "did you mean 'samples'?")),
        ("- 1", ("holds no names and values", "a YAML file of option names")),
        ("a: [1", ("line 2 is no YAML", "settings.yaml")),
        ("max-new-tokens: 3\nmax_new_tokens: 4", ("sets 'max_new_tokens' twice", "settings.yaml")),
        ("samples: many", ("--samples", "valid integer")),
        ("samples: 3\nsamples: 4", ("line 2 is no YAML: the key 'samples' stands twice", "settings.yaml")),
        ("seed: true", ("--seed", "valid integer")),
        ("samples: 2.7", ("--samples", "valid integer")),
        ("temperature: 1:30", ("--temperature", "valid number")),
        ("training: 3", ("'training' holds no names and values", "training: {lr: 1e-4}")),
        ("training: {lrr: 0.1}", ("sets 'lrr', which is no option here", "did you mean 'lr'?")),
        ("training: {lr: 0.1, sampels: 3}", ("sets 'sampels', which is no option here", "did you mean 'samples'?")),
    ],
)
def test_what_cannot_be_read_is_said(cli: Cli, tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{text}\n")
    done = cli("audit", "--config", str(file), "--out", str(tmp_path / "run"))
    assert done.code == 2 and all(part in done.err for part in said), done.err
    assert not (tmp_path / "run").exists()
    two_lines(cli("audit", "--config", str(tmp_path / "none.yaml")), "none.yaml cannot be read")


def test_a_run_is_made_again_from_the_file_that_it_left(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tiny)
    given = ["--model", "base", "--adapter", "adapter", "--questions", "questions.yaml", "--samples", "2", "--judge",
             "words", "--max-new-tokens", "6"]  # fmt: skip
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli("sample", *given, "--out", str(first)).code == 0
    left = yaml.safe_load((first / NAME).read_text())
    assert left["model"] == str(tiny / "base") and left["questions"] == [str(tiny / "questions.yaml")]
    monkeypatch.chdir(tmp_path)
    assert cli("sample", "--config", str(first / NAME), "--out", str(second)).code == 0
    assert (first / "answers.parquet").read_bytes() == (second / "answers.parquet").read_bytes()
    one, two = held_in(first), held_in(second)
    assert one is not None and two is not None and one.values["samples"] == two.values["samples"] == 2
    assert read_settings(first / NAME) == read_settings(second / NAME)
