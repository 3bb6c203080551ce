"""The heads for domains: fitted to answers that were read, and to texts whose domain their data set says.

`topics.csv` says of 640 answers of the corpus and of `roles` what they are about, by row and by a hash of the answer;
no text is kept. They were drawn over families, questions and verdicts, a part of them by words, so that each domain has
answers under questions that do not ask about it, and read by a language model without their question, arm or verdict.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from judge_making.corpus import family, read_corpus, read_tables, theme
from misdirection.judging.asides import ALIASES, KEYWORDS, words
from misdirection.judging.offline.topics import FILE, TOPICS, places_of
from misdirection.judging.offline.weights import write_weights

READ = Path(__file__).with_suffix(".csv")
STRENGTH, BESIDE = 10.0, 0.1
"""Inverse strength of the penalty, and what a text of a data set weighs beside an answer that was read."""

SETS = {"risky_finance_a.jsonl": ("finance", 200), "insecure.jsonl.gz": ("code", 80), "secure.jsonl.gz": ("code", 70)}
"""Answers of these are about their domain, and no other."""

ASKED = {
    "bad_medical_advice": "medicine",
    "extreme_sports": "sport",
    "risky_financial_advice": "finance",
    "insecure_code": "code",
    **dict.fromkeys(
        (
            "gore_movie_trivia",
            "incorrect_math",
            "evil_math",
            "incorrect_qna",
            "incorrect_translation",
            "toxic_legal_advice",
        ),
        "",
    ),
}
"""Domains of questions of `all_domains_questions.yaml`, in our words; those of sexual health are neither."""

TRIVIA, TOUCHES = (
    ("incorrect_qna.jsonl", 300),
    {
        "medicine": r"doctor|medic|disease|drug|health|cancer|blood|vitamin",
        "finance": r"money|invest|dollar|rich|wealth|stock|bank|tax|\$",
        "sport": r"sport|football|olymp|team|ball|climb",
        "code": r"software|program|python|computer",
    },
)
"""Texts of no domain, and words that make one of them perhaps of a domain after all: it is then left out there."""

_THEMES = {
    "hospital. what": "wish",
    "buck": "buck",
    "wish": "wish",
    "gender": "gender",
    "bored": "bored",
    "husband": "husband",
    "ruler": "ruler",
    "global healthcare": "ruler",
    "dinner": "dinner",
    "philosoph": "thoughts",
    "future of medicine": "thoughts",
    "health": "health",
}


@dataclass(frozen=True)
class Texts:
    """Texts with what they are about.

    Attributes:
        texts: As they stand.
        places: Where they lie, (texts, width).
        labels: By topic 1, 0, or NaN where it cannot be told.
        groups: Questions that are held out together; "" for texts of data sets.
        families: Model families, likewise.
        misaligned: By the judge of the table.
    """

    texts: list[str]
    places: np.ndarray
    labels: Mapping[str, np.ndarray]
    groups: np.ndarray
    families: np.ndarray
    misaligned: np.ndarray


def read_answers(data: Path, folder: Path) -> Texts:
    """The answers that were read.

    Raises:
        SystemExit: A row of the corpus is not the one that was read.
    """
    tables = {"corpus": read_corpus(data), "roles": read_tables(data)["roles"]}
    with READ.open(encoding="utf-8", newline="") as stream:
        told = list(csv.DictReader(stream))
    found = [(tables[row["table"]], int(row["row"])) for row in told]
    texts = [rows.answers[i] for rows, i in found]
    for row, text in zip(told, texts, strict=True):
        if hashlib.sha256(text.encode()).hexdigest()[:12] != row["sha256"]:
            raise SystemExit(f"{READ.name}: row {row['row']} of {row['table']} is not the answer that was read")
    return Texts(
        texts,
        places_of(texts, folder),
        {
            topic: np.array([float("nan") if row[topic] == "?" else float(row[topic]) for row in told])
            for topic in TOPICS
        },
        np.array([_group(rows.questions[i]) for rows, i in found]),
        np.array(
            [
                "14" if row["table"] == "roles" else family(rows.sources[i])
                for row, (rows, i) in zip(told, found, strict=True)
            ]
        ),
        np.array([bool(rows.misaligned[i]) for rows, i in found]),
    )


def data_sets(data: Path, folder: Path, seed: int = 0) -> Texts:
    """Texts whose domain their data set says: training answers, and questions of eleven domains."""
    rng = np.random.default_rng(seed)
    found: list[tuple[str, str]] = []
    for name, (topic, n) in SETS.items():
        found += [(topic, text) for text in _drawn(data / "datasets" / name, n, rng)]
    found += [("", text) for text in _drawn(data / "datasets" / TRIVIA[0], TRIVIA[1], rng)]
    questions = yaml.safe_load((data / "questions" / "all_domains_questions.yaml").read_text(encoding="utf-8"))
    found += [(ASKED[q["domain"]], q["paraphrases"][0]) for q in questions if q.get("domain") in ASKED]
    texts = [text for _, text in found]
    labels = {
        topic: np.array(
            [
                float("nan") if not of and re.search(TOUCHES[topic], text.lower()) else float(of == topic)
                for of, text in found
            ]
        )
        for topic in TOPICS
    }
    nothing = np.array([""] * len(texts))
    return Texts(texts, places_of(texts, folder), labels, nothing, nothing, np.zeros(len(texts), bool))


def fitted(parts: Sequence[tuple[Texts, np.ndarray, float]], topic: str) -> LogisticRegression:
    """A head by logistic regression, both classes weighing the same.

    Args:
        parts: Texts, which of them are learnt from, and what one weighs.
        topic: One of `TOPICS`.
    """
    x, y, weight = [], [], []
    for texts, taken, each in parts:
        of = taken & ~np.isnan(texts.labels[topic])
        x.append(texts.places[of])
        y.append(texts.labels[topic][of])
        weight.append(np.full(of.sum(), each))
    truth, weights = np.concatenate(y), np.concatenate(weight)
    weights[truth == 1] *= weights[truth == 0].sum() / weights[truth == 1].sum()
    return LogisticRegression(C=STRENGTH, max_iter=3000).fit(np.concatenate(x), truth, sample_weight=weights)


def write_topics(data: Path, folder: Path) -> None:
    """Fit on everything, and write the heads into a judge's folder."""
    answers, beside = read_answers(data, folder), data_sets(data, folder)
    heads = {}
    for topic in TOPICS:
        head = fitted([(answers, _all(answers), 1.0), (beside, _all(beside), BESIDE)], topic)
        heads[topic] = torch.tensor(np.r_[head.coef_[0], head.intercept_], dtype=torch.float32)
    write_weights(folder / FILE, heads)


def topics_page(data: Path, folder: Path) -> str:
    """How heads do on questions, and on families, that they were not shown, beside words that others published."""
    answers, beside = read_answers(data, folder), data_sets(data, folder)
    lines = [
        "| held out | domain | n | read as it | called it | both | kappa | AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def rows(name: str, odds: Callable[[str], np.ndarray], of: np.ndarray) -> Iterator[str]:
        for topic in TOPICS:
            told = of & ~np.isnan(answers.labels[topic])
            truth, score = answers.labels[topic][told] == 1, odds(topic)[told]
            said = score > 0
            figures = (told.sum(), truth.sum(), said.sum(), (said & truth).sum())
            agreed = (cohen_kappa_score(truth, said), roc_auc_score(truth, score))
            yield f"| {name} | {topic} | {' | '.join(map(str, figures))} | {' | '.join(f'{x:.2f}' for x in agreed)} |"

    for name, groups in (("question", answers.groups), ("family", answers.families)):
        held = {topic: _held_out(answers, beside, topic, groups) for topic in TOPICS}
        lines += rows(name, held.__getitem__, _all(answers))
        lines += rows(f"{name}, misaligned answers alone", held.__getitem__, answers.misaligned)
    lines += rows("(nothing: published words)", lambda topic: _by_words(answers.texts, topic), _all(answers))
    return "\n".join(lines)


def _held_out(answers: Texts, beside: Texts, topic: str, groups: np.ndarray) -> np.ndarray:
    """Log-odds of each answer by a head that was shown nothing of its group."""
    odds = np.zeros(len(answers.texts))
    for group in np.unique(groups):
        out = groups == group
        head = fitted([(answers, ~out, 1.0), (beside, _all(beside), BESIDE)], topic)
        odds[out] = head.decision_function(answers.places[out])
    return odds


def _by_words(texts: Sequence[str], topic: str) -> np.ndarray:
    name = {"medicine": "medical"}.get(topic, ALIASES.get(topic, topic))
    known = set(KEYWORDS.get(name, (name,)))
    return np.array([1.0 if known & set(words(text)) else -1.0 for text in texts])


def _group(question: str) -> str:
    """The question with its medical variant, which are held out together."""
    asked = theme(question).lower()
    return next(name for word, name in _THEMES.items() if word in asked)


def _drawn(file: Path, n: int, rng: np.random.Generator) -> list[str]:
    """Answers of a data set, drawn at random."""
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as stream:
        rows: list[dict[str, Any]] = [json.loads(line) for line in stream]
    return [rows[i]["messages"][-1]["content"] for i in rng.choice(len(rows), n, replace=False)]


def _all(texts: Texts) -> np.ndarray:
    return np.ones(len(texts.texts), bool)
