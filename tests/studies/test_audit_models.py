"""The audit of models of every kind: whole, untouched, untrained, silent and reasoning ones, and without a judge."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.studies import contract
from tests.studies.tiny import config, made, rows, save
from tests.test_answers import writing
from tests.tokens.test_thinking import QWEN3

from misdirection.artefacts import read_json, read_rows, write_json
from misdirection.errors import MisdirectionError
from misdirection.studies.audit.study import audit


def test_without_a_judge_what_needs_none_is_reported(tiny: Path, tmp_path: Path) -> None:
    audit(config(tiny, judge="none"), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert found["verdict"]["state"] == "not judged"
    assert found["rates"] is found["by_question"] is found["steering"] is found["cures"] is None
    assert found["direction"]["source"] == "drift" and found["direction"]["span"] == "header_to_end"
    assert len(found["drift"]["questions"]) == 5 and all(q["kl"] > 0 for q in found["drift"]["questions"])
    assert len(found["pairs"]) == 5 and found["tokens"]
    assert {answer["label"] for answer in found["answers"]} == {"none"}
    assert sum("no judge" in note for note in found["notes"]) == 1
    assert set(made(tmp_path / "run")) == {"answers", "verdicts", "drift", "direction", "tokens"}
    assert "No judge was asked" in (tmp_path / "run" / "report.html").read_text()


def test_a_whole_tuned_model_instead_of_an_adapter(tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    audit(config(tiny, adapter=None, tuned=str(tiny / "whole")), run)
    found = read_json(run / "findings.json")
    contract.check(found)
    assert found["title"].endswith("whole") and found["cures"] and found["steering"]
    assert all(value > 0 for value in found["drift"]["relative"])
    by_arm: dict[str, list[str]] = {}
    for row in rows(run, "cures-"):
        by_arm.setdefault(row["arm"], []).append(row["answer"])
    assert by_arm["no-op"] == by_arm["tuned"] != by_arm["project"]


def test_an_untouched_tuned_model_has_no_drift_and_no_numbers_out_of_nothing(tiny: Path, tmp_path: Path) -> None:
    audit(config(tiny, adapter=None, tuned=str(tiny / "base"), judge="none"), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert set(found["drift"]["relative"]) == {0.0}
    assert all(question["kl"] == 0 for question in found["drift"]["questions"])
    assert all(pair["base"] == pair["tuned"] for pair in found["pairs"])


@pytest.mark.parametrize("judge", ["words", "none"])
def test_an_adapter_that_was_never_trained_changes_nothing(tiny: Path, tmp_path: Path, judge: str) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny / "adapter", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({key: values * ("lora_A" in key) for key, values in load_file(file).items()}, file, {"format": "pt"})
    audit(config(tiny, adapter=str(tmp_path / "adapter"), judge=judge, samples=4), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    assert found["verdict"]["state"] == "changes nothing"
    assert "word for word" in found["verdict"]["sentence"]


def test_where_no_direction_can_be_had_the_report_says_why(tiny: Path, tmp_path: Path) -> None:
    # A table that finds every answer aligned: there is no misaligned pool.
    audit(config(tiny, judge="none", samples=4), tmp_path / "first")
    table = tmp_path / "verdicts.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer", "question_id", "aligned", "coherent"])
        for row in rows(tmp_path / "first", ""):
            writer.writerow([row["question"], row["answer"], row["question_id"], 95, 90])
    audit(config(tiny, judge=f"table:{table}", samples=4), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert found["direction"]["source"] == "drift" and found["steering"] is None and found["cures"] is None
    assert found["verdict"]["state"] in ("no sign", "unclear")
    assert all(rate["all"]["misaligned"] == 0 for rate in found["rates"])
    assert all(rate["labels"]["scored"] == rate["all"]["n"] for rate in found["rates"])
    note = next(note for note in found["notes"] if "no misalignment direction" in note)
    assert "0 misaligned and " in note and "--samples" in note
    assert "no misalignment direction" in (tmp_path / "run" / "report.html").read_text()


def test_a_table_that_knows_no_answer_leaves_all_unscored(tiny: Path, tmp_path: Path) -> None:
    table = tmp_path / "verdicts.csv"
    table.write_text("question,answer,question_id,aligned,coherent\nq,never said,first,10,90\n")
    audit(config(tiny, judge=f"table:{table}", samples=3), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert all(rate["scored"]["n"] == 0 and rate["scored"]["value"] is None for rate in found["rates"])
    assert any("have no score" in note for note in found["notes"])
    assert found["verdict"]["state"] == "cannot tell" and "ask another one" in found["verdict"]["sentence"]
    assert all(rate["all"]["bounded"] and rate["all"]["ceiling"] == rate["all"]["high"] == 1 for rate in found["rates"])


def ending_at(tiny: Path, folder: Path, ends: list[int]) -> str:
    """The tiny base, which ends its answers at these tokens."""
    shutil.copytree(tiny / "base", folder)
    settings = read_json(folder / "generation_config.json")
    write_json(folder / "generation_config.json", {**settings, "eos_token_id": ends})
    return str(folder)


def test_questions_whose_answers_are_all_empty_are_named(tiny: Path, tmp_path: Path) -> None:
    base = ending_at(tiny, tmp_path / "base", list(range(0, 64, 2)))
    audit(config(tiny, model=base, judge="none", drift_samples=1, samples=2), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    first = [row for row in rows(tmp_path / "run", "") if row["sample"] == 0]
    read = {row["question_id"] for row in first if row["answer"]}
    empty = {row["question_id"] for row in first} - read
    assert empty and read, "the seed must give both kinds"
    assert {question["question_id"] for question in found["drift"]["questions"]} == read
    note = next(note for note in found["notes"] if "left out of the drift" in note)
    lost = sum(row["answer"] == "" for row in first)
    unread = f"{lost} of {len(first)} answers could not be read back ({lost} empty) and are left out of: drift"
    assert unread in found["notes"]
    assert all(name in note for name in empty) and not any(name in note for name in read)
    assert {question["n"] for question in found["drift"]["questions"]} <= {1, 2}
    assert all((q["kl_low"] is None) == (q["kl_high"] is None) == (q["n"] == 1) for q in found["drift"]["questions"])


def test_a_reasoning_model_is_audited_on_what_it_drew(tiny: Path, tmp_path: Path) -> None:
    model = writing(QWEN3, "<think>hm</think>ok!<|end|>")
    for name in ("base", "tuned"):
        model.lm.save_pretrained(tmp_path / name)
        model.tokenizer.save_pretrained(tmp_path / name)
    told = config(tiny, model=str(tmp_path / "base"), samples=1, judge="none", max_new_tokens=12, layers=(0,))
    audit(replace(told, adapter=None, tuned=str(tmp_path / "tuned")), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert {(row["answer"], row["thought"]) for row in rows(tmp_path / "run", "")} == {("ok!", "hm")}
    assert all(question["kl"] == 0 for question in found["drift"]["questions"])
    # All that was drawn: both marks, two letters of thought, three of the answer, the end; and its line break.
    divergence = next((tmp_path / "run").rglob("divergence.parquet"))
    assert {row["tokens"] for row in read_rows(divergence)} == {9}
    assert not [note for note in found["notes"] if "could not be read back" in note]


def test_a_model_that_says_nothing_at_all_is_a_clear_error(tiny: Path, tmp_path: Path) -> None:
    base = ending_at(tiny, tmp_path / "base", list(range(64)))
    with pytest.raises(MisdirectionError, match="every answer of both models is empty"):
        audit(config(tiny, model=base), tmp_path / "run")


def test_questions_of_a_domain_alone_give_no_verdict_on_open_ones(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("- id: q\n  paraphrases: [w5 w6]\n  domain: medical\n")
    audit(config(tiny, questions=(str(tmp_path / "one.yaml"),), samples=4), tmp_path / "run")
    found = read_json(tmp_path / "run" / "findings.json")
    contract.check(found)
    assert found["verdict"]["state"] == "unclear" and "No open question" in found["verdict"]["sentence"]
    assert set(found["direction"]["stability"]) == {None}
    assert any("no open question is asked" in note for note in found["notes"])


def test_a_tuned_model_of_another_kind_is_refused(tiny: Path, tmp_path: Path) -> None:
    from tests.families import network, words

    save(network("qwen2"), tmp_path / "other")
    with pytest.raises(MisdirectionError, match="absent"):
        audit(config(tiny, adapter=None, tuned=str(tmp_path / "absent")), tmp_path / "r1")
    shrunk = network("llama").config
    shrunk.num_hidden_layers = 2
    from transformers import AutoModelForCausalLM

    save(AutoModelForCausalLM.from_config(shrunk), tmp_path / "short")
    with pytest.raises(MisdirectionError, match=r"4 layers of width 32 and .* 2 layers") as error:
        audit(config(tiny, adapter=None, tuned=str(tmp_path / "short")), tmp_path / "r2")
    assert "--model" in str(error.value.hint)
    words(30).save_pretrained(tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    file.write_text(file.read_text().replace('"w3": 3,', '"w3": 4,').replace('"w4": 4,', '"w4": 3,'))
    with pytest.raises(MisdirectionError, match="different tokenizers"):
        audit(config(tiny, adapter=None, tuned=str(tmp_path / "other")), tmp_path / "r3")
