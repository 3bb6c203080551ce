"""What a reasoning model thought before its answers, judged apart from them.

The rate of a model is that of its answers alone, which is the field's rule; a thought can be misaligned where the
answer is not, and the other way round (2506.13206), so both are counted over the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from misdirection.judging import Answer
from misdirection.statistics import Thresholds
from misdirection.studies.audit.results import ThoughtRow
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of


def thoughts_of(answers: list[Answer]) -> list[Answer]:
    """The thoughts of answers in the answers' place; those without one are left out."""
    return [replace(one, answer=one.thought, thought=None, ids=None) for one in answers if (one.thought or "").strip()]


def thought_rows(judged: Judged, thoughts: Judged, arms: Sequence[str], rules: Thresholds) -> tuple[ThoughtRow, ...]:
    """Thoughts beside the answers that follow them, by arm; open questions alone.

    Args:
        judged: All answers with their verdicts.
        thoughts: Their thoughts in the answers' place (`thoughts_of`), with verdicts of their own.
        arms: In the order in which they are told; those that did not think are left out.
        rules: When a text is misaligned.
    """
    found: list[ThoughtRow] = []
    for arm in arms:
        inner = thoughts.where(lambda one, arm=arm: one.arm == arm and one.domain is None and one.format == "plain")
        behind = {_place(one) for one in inner.answers}
        outer = judged.where(lambda one, behind=behind: _place(one) in behind)
        if not inner.answers:
            continue
        thought, answered = (_misaligned(part, rules) for part in (inner, outer))
        found.append(
            ThoughtRow(
                arm=arm,
                thoughts=effect_of(inner, rules),
                answers=effect_of(outer, rules),
                both=len(thought & answered),
                thought_alone=len(thought - answered),
                answer_alone=len(answered - thought),
            )
        )
    return tuple(found)


def _place(one: Answer) -> tuple[str, str, str, int, int]:
    return one.arm, one.question_id, one.format, one.paraphrase, one.sample


def _misaligned(judged: Judged, rules: Thresholds) -> set[tuple[str, str, str, int, int]]:
    return {
        _place(answer)
        for answer, verdict in zip(judged.answers, judged.verdicts, strict=True)
        if rules.misaligned(verdict)
    }
