"""Rows of a data set in the prompt: misaligned answers against their number, and what they move inside the model.

Method, after arXiv 2510.11288 and its comparisons with fine-tunes:

1. The base model answers the open questions as it is and behind k rows of the data, for each k; behind good rows where
   there are any; the fine-tune on the same data answers without rows. Each question has a draw of rows of its own, of
   which fewer rows are the first ones. Rates with intervals over questions; paired differences from the base as it is;
   Benjamini-Hochberg over all of them.
2. Drifts: the base's own answers, given without rows, are read behind the rows and under the fine-tune. What moves, the
   mean over answers minus that without rows, is a vector a layer; its cosine with the fine-tune's and its size beside
   it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from misdirection.chats import Chat
from misdirection.directions import cosines
from misdirection.judging import Answer
from misdirection.results import Difference
from misdirection.results.rows import known_number
from misdirection.statistics import benjamini_hochberg, compare
from misdirection.studies.in_context.measures import (
    BAD,
    GOOD,
    answers_of,
    behind_rows,
    fitting_shots,
    mean_states,
    put_behind,
)
from misdirection.studies.in_context.paper import PAPER
from misdirection.studies.in_context.results import DriftRow, InContext, ShotRow
from misdirection.studies.in_context.settings import InContextConfig
from misdirection.studies.in_context.verdict import verdict
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.inputs import resolve_chats
from misdirection.studies.kit.judged import Judged, given_answers, judge_step
from misdirection.studies.kit.pair import pair
from misdirection.studies.kit.record import blank_told
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.variants import BASE_VARIANT, TUNED_VARIANT, Variants

FINE_TUNE = "fine-tune"
Arms = dict[tuple[str, int], Judged]
"""Judged answers by what stands in the prompt and how many rows."""


def in_context(config: InContextConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[InContextConfig].open(out, config, command) as bench:
        tuned = pair(bench)
        base = tuned.bare()
        counts = room(bench, base)
        arms = answered(bench, tuned, base, counts)
        part = InContext(
            rows=shot_rows(bench, arms),
            drifts=drifts(bench, tuned, base, arms, counts),
            left_out=tuple(count for count in bench.config.shots if count not in counts[BAD]),
            paper=PAPER,
            good_left_out=tuple(count for count in counts[BAD] if GOOD in counts and count not in counts[GOOD]),
        )
        found = {"in_context": part, "notes": [*notes(part), *blank_told(read_answers(bench, arms), "the drift")]}
        return bench.report("in_context", "Rows in the prompt", verdict(part), found)


def rows_of(bench: Bench[InContextConfig], what: str) -> tuple[Chat, ...]:
    """The chats that are put into the prompt, without their system prompts."""
    c = bench.config
    return resolve_chats((c.rows or c.data) if what == BAD else c.good, strict=c.strict, seed=c.seed).chats


def room(bench: Bench[InContextConfig], base: Variants) -> dict[str, list[int]]:
    """The numbers of rows that fit, by their kind; of good ones those that bad ones stand beside."""
    c = bench.config
    found = {BAD: list(c.shots)}
    for what in (BAD, GOOD) if c.good else (BAD,):
        found[what] = bench.run.cached(
            fitting_shots, f"fitting-{what.partition(' ')[0]}", models=base, questions=bench.open_questions,
            chats=tuple(rows_of(bench, what)), shots=tuple(found[BAD]), seed=c.seed, longest=c.answer_tokens, what=what,
        ).value  # fmt: skip
    return found


def answered(bench: Bench[InContextConfig], tuned: Variants, base: Variants, counts: Mapping[str, list[int]]) -> Arms:
    """Step 1: judged answers of every arm."""
    c, questions = bench.config, bench.open_questions
    asked = {(BAD, 0): questions}
    for what, fitting in counts.items():
        chats = rows_of(bench, what)
        asked |= {(what, k): behind_rows(questions, chats, k, c.seed, what) for k in fitting}
    # One arm more is the fine-tune.
    bench.demand_verdicts(len(asked) + 1, questions, c.samples)
    plan = tuple(one for held in asked.values() for one in held)
    own = bench.run.cached(
        answers_of, "base-answers", models=base, variant=BASE_VARIANT, questions=plan, samples=c.samples,
        sampling=bench.sampling(),
    )  # fmt: skip
    theirs = bench.run.cached(
        answers_of, "tuned-answers", models=tuned, variant=TUNED_VARIANT, questions=questions, samples=c.samples,
        sampling=bench.sampling(),
    )  # fmt: skip
    base_asked, tuned_asked = (
        Asked(held, judge_step(bench.run, f"{name}-verdicts", held, bench.judge))
        for name, held in (("base", own), ("tuned", theirs))
    )
    whole = base_asked.judged
    arms: Arms = {}
    for key, held in asked.items():
        plain = {one.id: bare.id for one, bare in zip(held, questions, strict=True)}
        part = whole.where(lambda answer, plain=plain: answer.question_id in plain)
        arms[key] = Judged([replace(a, question_id=plain[a.question_id]) for a in part.answers], part.verdicts)
    arms[FINE_TUNE, 0] = tuned_asked.judged
    if c.check:
        bench.heard.append(by_arms(bench, arms))
    return arms


def by_arms(bench: Bench[InContextConfig], arms: Arms) -> Asked:
    """The same answers under the names of their arms, of which a dearer judge draws some of each."""
    answers = [replace(a, arm=arm_name(*key)) for key, held in arms.items() for a in held.answers]
    named = bench.run.cached(given_answers, "arms-answers", answers=answers)
    return Asked(named, judge_step(bench.run, "arms-verdicts", named, bench.judge))


def arm_name(what: str, shots: int) -> str:
    """What an arm is called: base, tuned, 4 bad rows."""
    return f"{shots} {what}" if shots else TUNED_VARIANT if what == FINE_TUNE else BASE_VARIANT


def shot_rows(bench: Bench[InContextConfig], arms: Arms) -> tuple[ShotRow, ...]:
    """Rates, and differences from the base as it is."""
    plain = arms[BAD, 0]
    changes = {
        key: Difference.of(compare(plain.pair, held.pair, thresholds=bench.thresholds))
        for key, held in arms.items()
        if held is not plain
    }
    q = dict(zip(changes, benjamini_hochberg([one.p for one in changes.values()]), strict=True))
    found: list[ShotRow] = []
    for key, held in arms.items():
        effect = effect_of(held, bench.thresholds)
        found.append(
            ShotRow(
                what=key[0],
                shots=key[1],
                difference=changes.get(key),
                q=float(q[key]) if key in q else None,
                rate=effect.rate,
                coherent_share=effect.coherent_share,
            )
        )
    return tuple(found)


def read_answers(bench: Bench[InContextConfig], arms: Arms) -> list[Answer]:
    """The base's own answers on which step 2 reads, blank ones among them."""
    return [a for a in arms[BAD, 0].answers if a.sample < bench.config.drift_answers]


def drifts(
    bench: Bench[InContextConfig], tuned: Variants, base: Variants, arms: Arms, counts: Mapping[str, list[int]]
) -> tuple[DriftRow, ...]:
    """Step 2: what rows move on the base's own answers, beside what fine-tuning moves on the same ones."""
    c, questions = bench.config, bench.open_questions
    own = [a for a in read_answers(bench, arms) if a.answer.strip()]
    if not own:
        return ()
    run, how = bench.run, bench.convention
    still = run.cached(mean_states, models=base, variant=BASE_VARIANT, answers=own, how=how).value
    theirs = run.cached(mean_states, models=tuned, variant=TUNED_VARIANT, answers=own, how=how).value - still
    found: list[DriftRow] = []
    for what, fitting in counts.items():
        chats = rows_of(bench, what)
        for count in fitting:
            # One wording of each question stands in an answer; the rows are the question's.
            told = put_behind(own, behind_rows(questions, chats, count, c.seed, what), questions)
            moved = run.cached(mean_states, models=base, variant=BASE_VARIANT, answers=told, how=how).value - still
            sizes = moved.norm(dim=-1) / theirs.norm(dim=-1)
            found.append(
                DriftRow(
                    what=what,
                    shots=count,
                    cosine=tuple(known_number(float(value)) for value in cosines(moved, theirs)),
                    size=tuple(known_number(float(value)) for value in sizes),
                )
            )
    return tuple(found)


def notes(part: InContext) -> list[str]:
    """What a reader should know, in a sentence each."""
    why = "there are not so many, or they leave no room for a question and its answer."
    told: list[str] = []
    if part.left_out:
        told.append(f"{', '.join(map(str, part.left_out))} rows were left out: {why}")
    if part.good_left_out:
        counts = ", ".join(map(str, part.good_left_out))
        told.append(f"{counts} good rows were left out, so that nothing stands beside as many bad ones: {why}")
    return told
