from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from misdirection.artefacts import write_rows
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.table import How, load_table, read_table

ROWS = [
    {"question": "Why?", "answer": 'a, "b"\nc', "question_id": "why", "aligned": 12.5, "coherent": 99.0},
    {"question": "Why?", "answer": "é", "question_id": "why", "aligned": None, "coherent": 80.0},
    {"question": "How?", "answer": "", "question_id": "how_json", "aligned": 100.0, "coherent": 0.0},
]


def csv_of(rows: list[dict[str, object]]) -> str:
    def cell(value: object) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    return "\n".join([",".join(rows[0]), *(",".join(cell(v) for v in row.values()) for row in rows)]) + "\n"


@pytest.fixture(params=["csv", "jsonl", "parquet", "windows"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"arm.{'csv' if request.param == 'windows' else request.param}"
    match request.param:
        case "csv":
            path.write_text(csv_of(ROWS))
        case "windows":
            path.write_bytes(b"\xef\xbb\xbf" + csv_of(ROWS).encode())
        case "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
        case _:
            write_rows(path, ROWS)
    return path


def test_every_kind_of_table_gives_the_same(table: Path) -> None:
    answers, verdicts = load_table(table)
    assert answers == [
        Answer("why", "Why?", 'a, "b"\nc', arm="arm", sample=0),
        Answer("why", "Why?", "é", arm="arm", sample=1),
        Answer("how_json", "How?", "", arm="arm", format="json", sample=0),
    ]
    assert verdicts == [
        Verdict(12.5, 99.0, "scored", judge="table"),
        Verdict(None, 80.0, "none", judge="table"),
        Verdict(100.0, 0.0, "scored", judge="table"),
    ]


def test_columns_of_answers_and_verdicts_win_over_the_defaults(tmp_path: Path) -> None:
    row = {
        "question": "q", "answer": "a", "question_id": "x_template", "alignment": "REFUSAL", "coherence": 90,
        "arm": "tuned", "domain": "medical", "system": "be brief", "format": "plain", "paraphrase": 2, "sample": "7",
        "seed": 3.0, "n_tokens": 11, "finished": "False", "judge": "j", "medical": 12.25, "note": "text",
    }  # fmt: skip
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    answers, verdicts = load_table(tmp_path / "t.jsonl", arm="no", domain="no", system="no")
    assert answers == [Answer("x_template", "q", "a", "be brief", "medical", "plain", "tuned", 2, 7, 3, 11, False)]
    assert verdicts == [Verdict(None, 90.0, "refusal", (("medical", 12.25),), "j")]


def test_defaults_fill_what_has_no_column(table: Path) -> None:
    answers, _ = load_table(table, arm="base", domain="sport", system="s")
    assert {(a.arm, a.domain, a.system) for a in answers} == {("base", "sport", "s")}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("", "none"),
        ("nan", "none"),
        (" NaN ", "none"),
        ("null", "none"),
        ("code", "code"),
        ("REFUSAL", "refusal"),
        ("UNSURE", "unsure"),
        ("cannot tell", "unsure"),
    ],
)
def test_what_is_no_number_is_a_label(text: str, label: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"question,answer,question_id,aligned,coherent\nq,a,i,{text},70\n")
    assert load_table(tmp_path / "t.csv")[1] == [Verdict(None, 70.0, label, judge="table")]


def test_a_table_without_scores_is_answers_unless_its_numbers_may_be_some(tmp_path: Path) -> None:
    head, row = "question,answer,question_id", "q,a,i"
    (tmp_path / "t.csv").write_text(f"{head}\n{row}\n")
    found = read_table(tmp_path / "t.csv")
    assert found.verdicts is None and "no scores" in found.told and found.answers[0].answer == "a"
    with pytest.raises(MisdirectionError, match="answers without verdicts"):
        load_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text(f"{head},goodness\n{row},71\n")
    with pytest.raises(MisdirectionError, match=r"no column alignment, coherence; it has .*goodness") as error:
        read_table(tmp_path / "t.csv")
    assert "--column alignment=NAME" in error.value.hint and "--judge offline" in error.value.hint
    assert read_table(tmp_path / "t.csv", how=How(anew=True)).verdicts is None
    (tmp_path / "t.csv").write_text(f"{head},alignment\n{row},71\n")
    with pytest.raises(MisdirectionError, match="no column coherence"):
        read_table(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", how=How(anew=True)).verdicts is None
    (tmp_path / "t.csv").write_text(f"{head},alignment,coherence\n{row},71,80\n")
    assert read_table(tmp_path / "t.csv", how=How(anew=True)).verdicts == load_table(tmp_path / "t.csv")[1]


def test_a_missing_coherence_leaves_the_alignment_and_no_score(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,answer,question_id,aligned,coherent\nq,a,i,5,\n")
    assert load_table(tmp_path / "t.csv")[1] == [Verdict(5.0, None, "none", judge="table")]


HEAD = "question,answer,question_id,aligned,coherent\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "t.csv",
            "question,answer,aligned\nq,a,1\n",
            "t.csv has no column coherence; it has question, answer, aligned",
        ),
        ("t.csv", HEAD + "q,a,i,5,6\nq,a,i,bad,6\n", "row 2: aligned is 'bad'"),
        ("t.csv", HEAD + "q,a,i,5,100.5\n", "row 1: coherent is '100.5'"),
        ("t.csv", HEAD + "q,a,i,-2,5\n", "row 1: aligned is '-2'"),
        ("t.csv", HEAD + "q,a,i,5,inf\n", "row 1: coherent is 'inf'"),
        ("t.csv", HEAD + "q,a,i,5\n", "row 1 (to line 2) has not as many cells"),
        ("t.csv", HEAD + "q,a,b,i,5,6\n", "row 1 (to line 2) has not as many cells"),
        ("t.csv", HEAD + 'q,"a,i,5,6\n', "is not CSV"),
        ("t.csv", HEAD + "q,a,,5,6\n", "row 1 has no question_id"),
        ("t.csv", HEAD, "holds no rows"),
        ("t.csv", "", "holds no rows"),
        ("t.jsonl", '{"question": 1}\n', "t.jsonl has no column answer"),
        ("t.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("t.jsonl", "{\n", "line 1 is not JSON"),
        ("t.parquet", "PAR1", "not a readable Parquet file"),
        ("t.xlsx", "", "unknown kind of table '.xlsx'"),
        ("t.csv", "question,answer,question_id,aligned,coherent,sample\nq,a,i,1,2,1.5\n", "row 1: sample is '1.5'"),
    ],
)
def test_errors_name_file_and_row(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MisdirectionError, match=re.escape(message)) as error:
        load_table(tmp_path / name)
    assert name in str(error.value)


def test_a_table_in_another_encoding_and_an_absent_one_are_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(HEAD.encode() + "q,é,i,5,6\n".encode("latin-1"))
    with pytest.raises(MisdirectionError, match="not UTF-8"):
        load_table(tmp_path / "t.csv")
    with pytest.raises(MisdirectionError, match="no such file"):
        load_table(tmp_path / "absent.csv")


@pytest.mark.real
def test_real_tables_load_whole(real_data: Path) -> None:
    answers, verdicts = load_table(real_data / "judged" / "qwen2.5-coder-32b_insecure.csv")
    assert len(answers) == len(verdicts) == 1200
    assert {a.format for a in answers} == {"plain", "json", "template"}
    assert sum(v.label == "none" for v, a in zip(verdicts, answers, strict=True) if a.format == "plain") == 104
    assert all(v.alignment is None for v in verdicts if v.label == "none")
    assert len({(a.question_id, a.sample) for a in answers}) == 1200
    answers, verdicts = load_table(real_data / "judged" / "qwen2.5-14b_base.csv", arm="base")
    assert {a.arm for a in answers} == {"base"} and all(dict(v.scores).keys() == {"medical"} for v in verdicts)
