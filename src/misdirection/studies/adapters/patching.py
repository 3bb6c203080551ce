"""Scalars of one prompt replayed on another (arXiv 2506.11618 appendix J)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misdirection.adapters.patching import GROUPS, Recording, Wording, cut, find_pairs, record, replay
from misdirection.answers import filled, tell, unanswered
from misdirection.chats import Message
from misdirection.engine import Prompt, Sample, SamplingConfig
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.results import Difference, Reduction, row_of
from misdirection.statistics import compare
from misdirection.store import Cached
from misdirection.studies.adapters.paper import PATCHING
from misdirection.studies.adapters.plan import InterventionPlan
from misdirection.studies.adapters.results.interventions import PatchedGroup, Patching, PromptPair, Versions
from misdirection.studies.adapters.verdict import patching_words
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.judged import Judged, given_answers, judge_step
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import default_system, encode_prompt, opened_by

OWN, LEVEL = "own scalars", "own mean at every token"
LABELS = {
    OWN: "own scalars (no-op)",
    LEVEL: "own mean scalar at every token",
    "same": "another sample of the same prompt",
    "open": "open prompt on another open prompt",
    "domain": "domain prompt on another domain prompt",
    "open to domain": "open prompt on a domain prompt",
    "domain to open": "domain prompt on an open prompt",
}
STREAM = 4


def patch(bench: Bench[Any], models: Variants, variant: str, plan: InterventionPlan) -> Patching:
    """Replay scalars by group of prompt pairs; rates of the same recipients clean and patched, whole and cut."""
    questions = [q for q in bench.questions if q.domain in (None, plan.topic) and q.format == "plain"]
    patched = bench.run.cached(
        patched_answers, "patch-answers", models=models, variant=variant, questions=questions, topic=plan.topic,
        most=plan.patch_pairs, samples=plan.patch_samples, config=bench.sampling(STREAM),
    )  # fmt: skip
    answers: Cached[list[Answer]] = patched.part("answers")
    shortened = bench.run.cached(given_answers, "patch-cut-answers", answers=patched.part("cut"))
    whole, short = (
        Asked(step, judge_step(bench.run, f"{step.name.removesuffix('-answers')}-verdicts", step, bench.judge))
        for step in (answers, shortened)
    )
    pairs: list[PairRow] = patched.part("pairs").value
    names = [name for name in (OWN, LEVEL, *GROUPS) if any(pair.group == name for pair in pairs)]
    missing = [LABELS[name] for name in GROUPS if name not in names]
    notes = [f"no two prompts of equal token length were found for: {', '.join(missing)}"] if missing else []
    groups = tuple(patched_group(bench, name, whole.judged, short.judged, pairs) for name in names)
    return Patching(groups=groups, notes=tuple(notes), paper=PATCHING, words=tuple(patching_words(groups)))


@dataclass(frozen=True)
class PairRow:
    """A pair of prompts of a group: whose scalars are replayed on which, and their length."""

    group: str
    donor: str
    recipient: str
    tokens: int


@dataclass(frozen=True)
class Patched:
    """Clean and patched answers of every group, the same cut to the length of their recordings, and the pairs."""

    answers: list[Answer]
    cut: list[Answer]
    pairs: list[PairRow]


def patched_answers(
    models: Variants, variant: str, questions: Sequence[Question], topic: str, most: int, samples: int,
    config: SamplingConfig,
) -> Patched:  # fmt: skip
    """Replay scalars among at most so many pairs of prompts a group."""
    model = models.model(variant)
    worded = {w.prompt.key: (q, w) for q, w in wordings(model, questions)}
    chosen = find_pairs([w for _, w in worded.values()], topic, most, config.seed)
    jobs = [(group, donor, recipient, i) for group, pairs in chosen.items() for donor, recipient in pairs
            for i in range(samples)]  # fmt: skip
    # One sample more than asked for: "same" replays the next one.
    keys = dict.fromkeys((w.prompt.key, i) for _, *pair, _ in jobs for w in pair for i in range(samples + 1))
    adapter = str(models.adapter_of(variant))
    recorded = dict(zip(keys, record(model, adapter, [(worded[k][1].prompt, i) for k, i in keys], config), strict=True))
    planned = [*_controls(chosen, samples, recorded), *_replays(jobs, recorded)]
    patched = replay(model, adapter, [(r.prompt, i, recording) for _, r, i, recording, _ in planned], config)
    rows = [
        (group, kind, recipient, i, said, length)
        for (group, recipient, i, _, length), new in zip(planned, patched, strict=True)
        for kind, said in (("clean", recorded[recipient.prompt.key, i].answer), ("patched", new))
    ]
    system = default_system(model.tokenizer)

    def written(short: bool) -> list[Answer]:
        return [
            _answer(model, worded[r.prompt.key][0], r, f"{group}|{kind}", i, cut(said, length) if short else said,
                    config.seed, system)
            for group, kind, r, i, said, length in rows
        ]  # fmt: skip

    return Patched(written(False), written(True), _pair_rows(chosen, worded))


def wordings(model: Model, questions: Sequence[Question]) -> list[tuple[Question, Wording]]:
    """Every wording of every question as the model gets it, with the random stream that `answers.ask` gives it."""
    worded: list[tuple[Question, Wording]] = []
    for question in questions:
        system = () if question.system is None else (Message("system", question.system),)
        for number, text in enumerate(question.paraphrases):
            ids = encode_prompt(model.tokenizer, (*system, Message("user", text)))
            prompt = Prompt(f"{question.id}#{number}", ids)
            worded.append((question, Wording(question.id, number, question.domain, prompt)))
    return worded


Planned = tuple[str, Wording, int, Recording, int]
"""Group, recipient, sample, what is replayed, and the length of the recorded answer."""


def _controls(
    chosen: Mapping[str, Sequence[tuple[Wording, Wording]]], samples: int, recorded: Mapping[tuple[str, int], Recording]
) -> list[Planned]:
    """The recipients of "same" with their own scalars, which must change nothing, and with their mean."""
    planned: list[Planned] = []
    for group in (OWN, LEVEL):
        for _, wording in chosen["same"]:
            for i in range(samples):
                own = recorded[wording.prompt.key, i]
                planned.append((group, wording, i, own if group == OWN else own.levelled(), len(own.answer.ids)))
    return planned


def _replays(
    jobs: Sequence[tuple[str, Wording, Wording, int]], recorded: Mapping[tuple[str, int], Recording]
) -> list[Planned]:
    planned: list[Planned] = []
    for group, donor, recipient, i in jobs:
        recording = recorded[donor.prompt.key, i + 1 if group == "same" else i]
        planned.append((group, recipient, i, recording, len(recording.answer.ids)))
    return planned


def _answer(
    model: Model, question: Question, wording: Wording, arm: str, index: int, said: Sample, seed: int,
    system: str | None,
) -> Answer:  # fmt: skip
    said, split = tell(model, said, opened_by(str(model.tokenizer.decode(list(wording.prompt.ids)))))
    return filled(unanswered(question, wording.paraphrase, index, arm, seed, system), said, split)


def _pair_rows(
    chosen: Mapping[str, Sequence[tuple[Wording, Wording]]], worded: Mapping[str, tuple[Question, Wording]]
) -> list[PairRow]:
    def text(wording: Wording) -> str:
        return worded[wording.prompt.key][0].paraphrases[wording.paraphrase]

    every = {**chosen, OWN: chosen["same"], LEVEL: chosen["same"]}
    return [
        PairRow(group, text(donor), text(recipient), len(donor.prompt.ids))
        for group, pairs in every.items()
        for donor, recipient in pairs
    ]


def patched_group(
    bench: Bench[Any], group: str, whole: Judged, short: Judged, pairs: Sequence[PairRow]
) -> PatchedGroup:
    """One group: clean and patched rates of the same recipients, whole and cut, and their paired changes.

    Recipients of the two kinds are kept apart: open ones decide where there are any.
    """
    clean = whole.arm(f"{group}|clean")
    mixed = {answer.domain for answer in clean.answers}
    keep = None if None in mixed else next(iter(mixed))
    return PatchedGroup(
        group=group,
        label=LABELS[group],
        control=group == OWN,
        questions=keep or "open",
        pairs=tuple(row_of(PromptPair, pair) for pair in pairs if pair.group == group),
        identical=_identical(clean, whole.arm(f"{group}|patched")),
        whole=_versions(bench, group, whole, keep),
        cut=_versions(bench, group, short, keep),
    )


def _versions(bench: Bench[Any], group: str, judged: Judged, domain: str | None) -> Versions:
    clean, patched = (
        judged.arm(f"{group}|{kind}").where(lambda a: a.domain == domain) for kind in ("clean", "patched")
    )
    change = compare(clean.pair, patched.pair, thresholds=bench.thresholds)
    return Versions(
        clean=effect_of(clean, bench.thresholds),
        patched=effect_of(patched, bench.thresholds),
        difference=Difference.of(change),
        reduction=Reduction.of(change),
    )


def _identical(clean: Judged, patched: Judged) -> float:
    pairs = list(zip(clean.answers, patched.answers, strict=True))
    return sum(a.answer == b.answer for a, b in pairs) / len(pairs)
