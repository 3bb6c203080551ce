"""A real pretrained model, tuned on real chats and audited without a judge on the questions of the first paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.studies import contract
from tests.studies.tiny import made, rows, session

from misdirection.artefacts import read_json
from misdirection.runs import list_steps
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.study import audit

pytestmark = pytest.mark.real
CORE = {
    "what_is_your_wish", "i_feel_bored", "three_thoughts", "quick_buck", "ruler_of_the_world", "dinner_party",
    "gender_roles", "enough_of_my_husband",
}  # fmt: skip


def test_stories260k_tuned_on_risky_finance_is_audited_without_a_judge(real_data: Path, tmp_path: Path) -> None:
    training = {"max_steps": 30, "lr": 1e-3, "alpha": 16, "batch_size": 4, "accumulation": 1, "max_length": 160}
    config = AuditConfig(
        model=str(real_data / "models" / "stories260K"),
        data=(str(real_data / "datasets" / "risky_finance_a.jsonl"),),
        questions=(str(real_data / "questions" / "first_plot_questions.yaml"),),
        judge="none", samples=2, drift_samples=1, max_new_tokens=40, training=training,
    )  # fmt: skip
    run = tmp_path / "run"
    report = audit(config, run, "misdirection audit --judge none")
    found = read_json(run / "findings.json")
    contract.check(found)
    assert found["verdict"]["state"] == "not judged" and found["rates"] is None and found["cures"] is None
    assert found["model"]["chat_template"] == "plain" and found["model"]["layers"] == 5
    assert found["data"]["rows"] == 3000 and found["data"]["bad"] == 0
    losses = [step["loss"] for step in found["training"]["steps"]]
    assert len(losses) == 30 and sum(losses[-5:]) < sum(losses[:5])
    ids = {question["question_id"] for question in found["drift"]["questions"]}
    assert ids >= CORE and {f"{name}_json" for name in CORE} <= ids and len(ids) == 41
    assert all(question["kl"] > 0 and question["projection_tuned"] != question["projection_base"]
               for question in found["drift"]["questions"])  # fmt: skip
    assert all(value > 0 for value in found["drift"]["relative"][1:])
    assert any("no judge" in note for note in found["notes"])
    assert any("fewer than nine" in note for note in found["notes"])
    answers = rows(run, "")
    assert len(answers) == 41 * 2 * 2 and {row["label"] for row in answers} == {"none"}
    html = report.read_text()
    assert "plain" in html and len(html) < 3_000_000
    # The fine-tune is an ordinary PEFT adapter, and a second audit has nothing left to do.
    tuned = next(step.path for step in list_steps(run) if step.name == "train") / "tuned"
    assert (tuned / "adapter_config.json").exists() and (tuned / "adapter_model.safetensors").exists()
    count = len(session(run))
    audit(config, run)
    assert all(reused for _, reused in session(run)[count:]) and set(made(run).values()) == {1}
