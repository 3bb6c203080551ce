"""Is a tuned model one of its base, what does work cost, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.families import words

from misdirection import progress
from misdirection.errors import MisdirectionError
from misdirection.studies.kit import costs, preflight
from misdirection.studies.kit.costs import counted
from misdirection.studies.kit.same_kind import ask_alike, check_same_kind


def model(name: str, vocabulary: dict[str, int], layers: int = 4, template: str = "a", plain: bool = False) -> Any:
    held = SimpleNamespace(get_vocab=lambda: vocabulary, chat_template=template)
    facts: dict[str, Any] = {"warnings": [], "asked": {"from": "the base's folder"}}
    return SimpleNamespace(
        name=name, n_layers=layers, width=32, tokenizer=held, facts=facts, plain_template=plain,
        warn=facts["warnings"].append,
    )  # fmt: skip


def test_a_tuned_model_has_the_size_and_the_tokens_of_its_base() -> None:
    whole = words().get_vocab()
    base = model("base", whole)
    check_same_kind(base, same := model("tuned", dict(whole)))
    assert same.facts["warnings"] == []
    with pytest.raises(MisdirectionError, match="base has 4 layers of width 32 and tuned 5 layers of width 32"):
        check_same_kind(base, model("tuned", whole, layers=5))
    first, second = sorted(whole)[:2]
    swapped = whole | {first: whole[second], second: whole[first]}
    with pytest.raises(
        MisdirectionError, match=f"different tokenizers: '{first}' is {whole[first]} and {whole[second]}"
    ):
        check_same_kind(base, model("tuned", swapped))
    # A token more is told, another name for most is not the same tokenizer.
    more = model("tuned", whole | {"<pad>!": len(whole), "<x>": len(whole) + 1})
    check_same_kind(base, more)
    (said,) = more.facts["warnings"]
    assert "differ in 2 tokens (<pad>!, <x>)" in said
    renamed = {(token if number % 8 else f"{token}?"): number for token, number in whole.items()}
    with pytest.raises(MisdirectionError, match="they have few tokens in common"):
        check_same_kind(base, model("tuned", renamed))


def test_both_are_asked_under_the_template_that_the_base_got() -> None:
    base, tuned = model("base", {}, template="a"), model("tuned", {}, template="b")
    ask_alike(base, tuned)
    assert tuned.tokenizer.chat_template == "a" and not tuned.plain_template
    assert tuned.facts["warnings"] == [
        "tuned has another chat template than its base is asked under: both are asked under that of the base's folder"
    ]
    bare = model("bare", {}, template="plain", plain=True)
    ask_alike(base, bare)
    assert "bare brings no chat template" in bare.facts["warnings"][0] and not bare.plain_template
    ask_alike(base, alike := model("tuned", {}, template="a"))
    assert alike.facts["warnings"] == []


def test_the_memory_of_a_gpu_is_that_of_its_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU here: the allocator's two numbers are given, and what is made of them is looked at."""
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 8_500_000)
    with counted("cuda:1") as cost:
        assert calls == ["reset"]
    assert cost.megabytes == pytest.approx(5.5)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1)
    with counted("cuda") as less:
        pass
    assert less.megabytes == 0.0


def test_where_the_system_tells_no_peak_that_of_the_process_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        def __init__(self, name: str) -> None:
            self.name = name

        def exists(self) -> bool:
            return False

        def write_text(self, text: str) -> None:
            raise OSError(text)

    monkeypatch.setattr(costs, "Path", Elsewhere)
    monkeypatch.setattr(costs.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=1000))
    # Linux tells kilobytes, macOS bytes.
    for system, wanted in (("linux", 1_024_000), ("darwin", 1000)):
        monkeypatch.setattr(costs.sys, "platform", system)
        assert costs._peak(False) == wanted


def test_inputs_are_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    inside = tmp_path / "out" / "deep" / "rows.jsonl"
    config = SimpleNamespace(data=("organism:bad-medical", str(inside)))
    with pytest.raises(MisdirectionError, match=r"rows\.jsonl lies in --out"):
        preflight.check_places(config, tmp_path / "out")
    preflight.check_places(config, tmp_path / "out" / "deeper")
    preflight.check_places(SimpleNamespace(data=("organism:bad-medical",)), tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(MisdirectionError, match=r"cannot be made: .* is a file"):
        preflight.check_writable(file / "run")
    with pytest.raises(MisdirectionError, match=r"--out: .* is a folder"):
        preflight.check_target(tmp_path)
    preflight.check_target(None)
    with pytest.raises(MisdirectionError, match=r"--rows: .*missing\.jsonl does not exist"):
        preflight.check_files({str(tmp_path / "missing.jsonl"): "rows"})


def test_a_folder_that_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(MisdirectionError, match=r"--model: .* holds a PEFT adapter, no model") as error:
        preflight.check_model(str(tmp_path), "model")
    assert error.value.hint == f"--adapter {tmp_path}"
    (tmp_path / "config.json").write_text("{}")
    preflight.check_model(str(tmp_path), "model")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MisdirectionError, match=r"holds no config\.json, so it is no model"):
        preflight.check_model(str(empty), "model")
    with pytest.raises(MisdirectionError, match=r"--tuned: \./none does not exist"):
        preflight.check_model("./none", "tuned")


def test_data_is_looked_for_under_the_option_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MisdirectionError, match=r"--control-data: \./none\.jsonl does not exist"):
        preflight._data(SimpleNamespace(control_data=("law=./none.jsonl",)))
    bad = tmp_path / "rows.jsonl"
    bad.write_text('{"no": "chat"}\n')
    # What is trained on is read through; what is only a corpus may be anything.
    with pytest.raises(MisdirectionError):
        preflight._data(SimpleNamespace(data=(str(bad),), preset="rank32"))
    preflight._data(SimpleNamespace(data=(str(bad),)))
    preflight._data(SimpleNamespace(good=(str(bad),), preset="rank32"))
    monkeypatch.setattr(preflight, "PARSED", 3)
    preflight._data(SimpleNamespace(data=(str(bad),), preset="rank32"))
    monkeypatch.setattr(preflight, "offline_hint", lambda: "HF_HUB_OFFLINE is set")
    monkeypatch.setattr(preflight, "find_spec", lambda _: object())
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MisdirectionError, match="--toxic: some/set is neither a file here nor a data set"):
        preflight._data(SimpleNamespace(toxic=("some/set",)))
    (tmp_path / "cache" / "some___set").mkdir(parents=True)
    preflight._data(SimpleNamespace(toxic=("some/set",)))


def test_judges_and_servers_are_asked_only_where_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(preflight, "ping", lambda judge: asked.append(judge))
    monkeypatch.setattr(preflight, "find_judge", lambda spec: spec)
    monkeypatch.setattr(preflight, "reach", lambda servers: asked.append(servers))
    monkeypatch.setattr(preflight, "read_servers", lambda specs: specs)
    kept: list[str] = []
    monkeypatch.setattr(preflight, "list_steps", lambda _: [SimpleNamespace(name=name) for name in kept])
    for names, wanted in (([], 2), (["answers"], 1), (["answers", "cures-verdicts"], 0)):
        asked.clear()
        kept[:] = names
        preflight.check_judge("openai:x", tmp_path)
        preflight.check_servers(["http://here"], tmp_path)
        assert len(asked) == wanted, names
    asked.clear()
    preflight.check_judge("openai:x", None)
    assert asked == ["openai:x"]
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    with pytest.raises(MisdirectionError, match=r"misdirection\[judges\]"):
        preflight.check_judge("openai:x", None)
    with pytest.raises(MisdirectionError, match=r"misdirection\[inspect\]"):
        preflight.check_judge("inspect:x", None)


def test_who_checks_is_asked_again_until_the_run_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(preflight, "check_judge", lambda judge, out: asked.append((judge, out)))
    kept: list[str] = ["answers", "verdicts"]
    monkeypatch.setattr(preflight, "list_steps", lambda _: [SimpleNamespace(name=name) for name in kept])
    # The verdicts that the run holds are another judge's.
    preflight.check_checker("offline@200", tmp_path)
    kept.append("check")
    preflight.check_checker("offline@200", tmp_path)
    assert [out for _, out in asked] == [None, tmp_path] and len({judge for judge, _ in asked}) == 1


def test_what_a_model_of_another_size_departs_from_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: said.append(text))
    monkeypatch.setattr(preflight, "strangers", lambda model, names: [f"{model}: settings of {len(names) > 3}"])
    monkeypatch.setattr(preflight, "SETTINGS", ())
    preflight.check(SimpleNamespace(model="organism"))
    assert said == ["  organism: settings of True"]
    with pytest.raises(MisdirectionError, match=r"2 things are wrong:\n  - --model: ./no .*\n  - --tuned: ./nor"):
        preflight.check(SimpleNamespace(model="./no", tuned="./nor"))
