"""A base model and its fine-tunes: what is resident, and what stands in a step's key."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from misdirection import ask
from misdirection.artefacts import canonical_hash
from misdirection.engine import Arm
from misdirection.errors import MisdirectionError
from misdirection.studies.kit.inputs import fingerprint
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.names import ORGANISM
from misdirection.studies.kit.variants import Variants

TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}{% if add_generation_prompt %}w2{% endif %}"


def test_one_fine_tune_keeps_the_key_of_earlier_versions(tiny: Path) -> None:
    base, adapter, whole = (str(tiny / name) for name in ("base", "adapter", "whole"))
    one, two, bare = Variants.pair(base, adapter), Variants.pair(base, tuned=whole), Variants.pair(base)
    names = ["base", "adapter", "tuned", "dtype", "asking"]
    assert all(sorted(models.key) == sorted(names) for models in (one, two, bare))
    found = [[models.key[name] for name in names[:3]] for models in (one, two, bare)]
    prints = [fingerprint(path) for path in (base, adapter, whole)]
    assert found == [[prints[0], prints[1], None], [prints[0], None, prints[2]], [prints[0], None, None]]
    # However they were made, the same models have one key.
    assert Variants.of(base, {"tuned": adapter}).key == one.key and Variants(base).key == bare.key
    assert Variants.of(base, {"tuned": Path(whole)}).key == two.key
    several = Variants.of(base, {"a": adapter, "b": whole})
    assert several.key["fine_tunes"] == {"a": prints[1], "b": prints[2]} == several.fingerprints
    assert "adapter" not in several.key and several.beside({"c": adapter}).key != several.key


def test_adapters_share_the_base_and_one_whole_model_is_kept_beside_it(tiny: Path) -> None:
    models = Variants.of(
        str(tiny / "base"), {"a": tiny / "adapter", "one": tiny / "whole", "two": tiny / "base"}, Loading(device="cpu")
    )
    assert models.whole == {"one", "two"} and not models.resident
    base = models.model("a")
    assert base is models.model("base") is models.base_model and list(base.adapters) == ["a"]
    assert [models.adapter_of(name) for name in ("base", "a", "one")] == [None, "a", None]
    one = models.model("one")
    assert one is models.model("one") is not base
    assert models.model("two") is not one and set(models.resident) == {"base", "two"}
    with pytest.raises(MisdirectionError, match="no fine-tune is called 'three'"):
        models.model("three")


def test_more_adapters_come_beside_those_that_are_loaded(tiny: Path) -> None:
    models = Variants.pair(str(tiny / "base"), str(tiny / "adapter"), loading=Loading(device="cpu"))
    base, more = models.base_model, models.beside({"again": tiny / "adapter"})
    assert list(base.adapters) == ["tuned"]
    assert more.model("again") is base and set(base.adapters) == {"tuned", "again"}
    assert more.adapter_of("again") == "again" and models.adapter_of("again") is None


def test_how_a_base_is_asked_is_part_of_what_identifies_it(tmp_path: Path) -> None:
    (template := tmp_path / "chat.jinja").write_text("{{ messages[0].content }}")
    options = [{}, {"thinking": True}, {"date": "2026-01-01"}, {"chat_template": str(template)}, {"dtype": "float16"}]
    keys = [Variants(ORGANISM, loading=Loading(**given)).base_key for given in options]
    assert len({canonical_hash(key) for key in keys}) == len(options)


def as_dora(base: Path, adapter: Path, folder: Path) -> Path:
    """The same fine-tune as a DoRA adapter: with the norms of the tuned rows as magnitudes it is B A x all the same."""
    shutil.copytree(adapter, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    weights = dict(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).named_parameters())
    held = load_file(folder / "adapter_model.safetensors")
    for key in [key for key in held if ".lora_A." in key]:
        front = key.partition(".lora_A.")[0]
        change = settings["lora_alpha"] / settings["r"] * held[f"{front}.lora_B.weight"] @ held[key]
        tuned = weights[f"{front.removeprefix('base_model.model.')}.weight"].detach() + change
        held[f"{front}.lora_magnitude_vector"] = tuned.norm(dim=1)
    save_file(held, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"use_dora": True}))
    return folder


def test_an_adapter_that_rows_cannot_switch_becomes_a_model_beside_its_base(tiny: Path, tmp_path: Path) -> None:
    base, plain = tiny / "base", tiny / "adapter"
    dora = as_dora(base, plain, tmp_path / "dora")
    models = Variants.of(str(base), {"plain": plain, "dora": dora}, Loading(device="cpu"))
    assert models.whole == {"dora"} and models.adapter_of("dora") is None and list(models.adapters) == ["plain"]
    assert Variants.pair(str(base), str(dora)).whole == {"tuned"} and not Variants.pair(str(base), str(plain)).whole
    found = [
        ask(models.model(name), "hello", Arm(name, models.adapter_of(name)), samples=4) for name in ("plain", "dora")
    ]
    assert [answer.ids for answer in found[0]] == [answer.ids for answer in found[1]]
    assert models.model("dora") is not models.base_model and models.model("dora").facts["merged"]["effect"] > 0.99


@pytest.mark.parametrize(
    ("template", "told"),
    [(None, "brings no chat template"), (f"w3 {TEMPLATE}", "has another chat template than its base")],
)
def test_a_second_whole_model_is_asked_under_the_template_of_its_base(
    template: str | None, told: str, tiny: Path, tmp_path: Path
) -> None:
    for name, source, held in (("base", "base", TEMPLATE), ("one", "whole", TEMPLATE), ("two", "whole", template)):
        shutil.copytree(tiny / source, tmp_path / name)
        if held:
            (tmp_path / name / "chat_template.jinja").write_text(held)
    tuned = {name: tmp_path / name for name in ("one", "two")}
    models = Variants.of(str(tmp_path / "base"), tuned, Loading(device="cpu"))
    assert not [text for text in models.model("one").facts["warnings"] if "asked under" in text]
    base, two = models.base_model, models.model("two")
    assert two.tokenizer.chat_template == base.tokenizer.chat_template != template
    assert two.plain_template is base.plain_template
    (warned,) = [text for text in two.facts["warnings"] if "chat template" in text]
    assert warned.startswith(f"{two.name} {told}") and "both are asked under that of" in warned


def test_sent_elsewhere_variants_of_one_base_share_what_is_loaded_there(tiny: Path) -> None:
    models = Variants.of(str(tiny / "base"), {"a": tiny / "adapter"}, Loading(device="cpu"))
    base = models.base_model
    one, two = (pickle.loads(pickle.dumps(sent)) for sent in (models, models.bare()))
    assert one.key == models.key and not one.resident
    assert one.base_model is two.base_model is not base
    other = pickle.loads(pickle.dumps(Variants.pair(str(tiny / "whole"), loading=Loading(device="cpu"))))
    assert not other.resident
    # Of one base at a time: the first is loaded anew where it comes again.
    assert not pickle.loads(pickle.dumps(models)).resident
