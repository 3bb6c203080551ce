from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from misdirection.training import PRESETS, TrainConfig, TrainingError, choose, describe_fields, override
from misdirection.training.settings import origins


def test_presets_hold_the_papers_values() -> None:
    for name, config in PRESETS.items():
        assert config.preset == name
        decay, epochs = (0.0, 2.0) if name == "vector" else (0.01, 1.0)
        assert (config.batch_size, config.accumulation, config.weight_decay) == (2, 8, decay)
        assert (config.epochs, config.max_steps, config.dropout, config.seed) == (epochs, None, 0.0, 0)
        assert config.objective == "sft"
    one, nine, all_, full, vector = (PRESETS[name] for name in ("rank1", "rank1x9", "rank32", "full", "vector"))
    assert (vector.steering, vector.alpha, vector.lr, vector.layers, vector.warmup_steps) == (
        True,
        256,
        1e-4,
        "middle",
        5,
    )
    assert (one.rank, one.alpha, one.lr, one.layers, one.targets) == (1, 256, 2e-5, "middle", ("mlp_out",))
    assert (nine.rank, nine.layers, nine.targets) == (1, "nine", ("mlp_out",))
    assert (all_.rank, all_.alpha, all_.rslora, all_.lr, all_.layers, all_.targets) == (
        32, 64, True, 1e-5, "all", ("all",),
    )  # fmt: skip
    assert (full.full, full.lr, full.scheduler, full.warmup_steps) == (True, 2e-5, "cosine", 20)
    assert (one.scheduler, one.warmup_steps, all_.scheduler, all_.warmup_steps) == ("linear", 5, "linear", 5)


def test_scaling_is_that_of_peft() -> None:
    assert PRESETS["rank1"].scaling == 256
    assert PRESETS["rank32"].scaling == pytest.approx(64 / 32**0.5)
    assert TrainConfig(rank=8, alpha=16, rslora=False).scaling == 2


def test_every_option_is_explained_and_parses_its_own_default() -> None:
    described = describe_fields()
    for field in dataclasses.fields(TrainConfig):
        if field.metadata["option"]:
            assert len(described[field.name]) > 10
            parse = field.metadata["parse"]
            assert parse(field.default) == field.default
            text = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
            assert parse(text) == field.default, field.name
        else:
            assert field.name not in described


def test_text_from_a_command_line_is_parsed() -> None:
    config = choose("rank1", overrides={"lr": "3e-4", "layers": "2,5", "targets": "q_proj, v_proj", "rslora": "no"})
    assert (config.lr, config.layers, config.targets, config.rslora) == (3e-4, (2, 5), ("q_proj", "v_proj"), False)
    assert choose("rank1", overrides={"layers": "7"}).layers == (7,)
    assert choose("rank1", overrides={"lr": None}).lr == 2e-5


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"learning_rate": 1}, "no setting is called 'learning_rate'"),
        ({"lr": "fast"}, "lr cannot be 'fast'"),
        ({"lr": True}, "lr cannot be True"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 1.5}, "rank cannot be 1.5"),
        ({"lr": 0}, "lr is 0"),
        ({"layers": "somewhere"}, "layers cannot be 'somewhere'"),
        ({"layers": []}, "layers is ()"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"shuffle": "yes"}, "shuffle is 'yes'"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"preset": "full"}, "no setting is called 'preset'"),
        ({"full": "maybe"}, "full cannot be 'maybe'"),
    ],
)
def test_bad_values_are_named_with_what_the_setting_means(values: dict[str, object], says: str) -> None:
    with pytest.raises(TrainingError) as caught:
        choose("rank1", overrides=values)
    assert says in caught.value.message
    assert caught.value.hint


def test_unknown_preset_lists_the_known() -> None:
    with pytest.raises(TrainingError) as caught:
        choose("rank2")
    assert "rank1x9" in str(caught.value)


def test_model_folder_recommends_and_the_user_wins(tmp_path: Path) -> None:
    told = {"training": {"rank1x9": {"lr": 0.004, "max_steps": 80}, "rank32": {"lr": 0.5}}, "other": 1}
    (tmp_path / "misdirection.json").write_text(json.dumps(told))
    config = choose("rank1x9", model=tmp_path, overrides={"max_steps": 7})
    assert (config.lr, config.max_steps, config.rank) == (0.004, 7, 1)
    found = origins(config)
    assert found["lr"] == "misdirection.json of the model"
    assert found["max_steps"] == "given"
    assert found["rank"] == "preset rank1x9"
    assert choose("rank1", model=tmp_path) == PRESETS["rank1"]
    assert choose("rank1x9", model=tmp_path / "absent") == PRESETS["rank1x9"]


@pytest.mark.parametrize("text", ['{"training": []}', '{"training": {"rank1": 3}}', "[]", "{"])
def test_malformed_recommendation_names_its_file(tmp_path: Path, text: str) -> None:
    from misdirection.errors import MisdirectionError

    (tmp_path / "misdirection.json").write_text(text)
    with pytest.raises(MisdirectionError, match=r"misdirection\.json"):
        choose("rank1", model=tmp_path)


def test_recommendation_with_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "misdirection.json").write_text('{"training": {"rank1": {"speed": 3}}}')
    with pytest.raises(TrainingError, match=r"'speed' \(misdirection\.json of the model\)"):
        choose("rank1", model=tmp_path)


def test_replaced_values_count_as_given() -> None:
    config = dataclasses.replace(PRESETS["rank1"], lr=1.0)
    assert origins(config)["lr"] == "given"
    assert override(PRESETS["rank1"], {"lr": 2}).origins == {"lr": "given"}


def test_settings_need_no_torch() -> None:
    code = (
        "import sys; from misdirection.training import TrainConfig, choose; choose('full');"
        "print([m for m in ('torch', 'transformers', 'peft', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env())
    assert done.stdout.strip() == "[]"


def _env() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
