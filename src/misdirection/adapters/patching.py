"""Scalars A·x recorded on one prompt and replayed while another is answered (arXiv 2506.11618 appendix J).

The two prompts have equally many tokens, so that each token of one has its counterpart in the other. Replayed scalars
take the place of the adapter's own reading at the same position: the recipient is steered as the donor was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from torch import Tensor

from misdirection.engine import Arm, PatchAdapter, Prompt, Row, Sample, SamplingConfig, Text, capture_scalars, sample
from misdirection.models import Model

GROUPS = ("same", "open", "domain", "open to domain", "domain to open")
"""Appendix J's groups (same prompt, two open ones, two of the domain, one of each), the last in either direction."""


@dataclass(frozen=True)
class Wording:
    """One wording of a question, as the model gets it.

    Attributes:
        question_id: Of the question.
        paraphrase: Which wording.
        domain: None for an open question.
        prompt: Token ids, and the key of its random stream.
    """

    question_id: str
    paraphrase: int
    domain: str | None
    prompt: Prompt


@dataclass(frozen=True, eq=False)
class Recording:
    """A clean answer and what the adapter read while it was written.

    Attributes:
        answer: The answer.
        scalars: By module path, shape (tokens of prompt and answer, rank).
    """

    answer: Sample
    scalars: Mapping[str, Tensor]

    def levelled(self) -> Recording:
        """The same with each token's scalars replaced by their mean over all tokens: steering without context."""
        return Recording(
            self.answer, {path: values.mean(0, keepdim=True).expand_as(values) for path, values in self.scalars.items()}
        )


def find_pairs(
    wordings: Sequence[Wording], domain: str, most: int, seed: int = 0
) -> dict[str, list[tuple[Wording, Wording]]]:
    """(donor, recipient) by group, found by equal token length.

    Within a group each wording receives once at most; questions that have not received yet come first, and among the
    donors that fit, the one that has given least.

    Args:
        wordings: Open ones and the domain's; others are left aside.
        domain: Whose questions are the domain's.
        most: Pairs a group.
        seed: Of the order.
    """
    ordered = sorted(wordings, key=lambda w: w.prompt.key)
    Random(seed).shuffle(ordered)
    sides = {None: [w for w in ordered if w.domain is None], domain: [w for w in ordered if w.domain == domain]}
    groups = {"open": (None, None), "domain": (domain, domain), "open to domain": (None, domain),
              "domain to open": (domain, None)}  # fmt: skip
    found = {name: _pairs(sides[donor], sides[recipient], most) for name, (donor, recipient) in groups.items()}
    same = _one_each([*sides[None], *sides[domain]])[:most]
    return {"same": [(wording, wording) for wording in same], **found}


def _pairs(donors: Sequence[Wording], recipients: Sequence[Wording], most: int) -> list[tuple[Wording, Wording]]:
    given: dict[str, int] = {}
    found: list[tuple[Wording, Wording]] = []
    for recipient in _one_each(recipients):
        fit = [
            donor
            for donor in donors
            if donor.question_id != recipient.question_id and len(donor.prompt.ids) == len(recipient.prompt.ids)
        ]
        if fit and len(found) < most:
            donor = min(fit, key=lambda w: given.get(w.prompt.key, 0))
            given[donor.prompt.key] = given.get(donor.prompt.key, 0) + 1
            found.append((donor, recipient))
    return found


def _one_each(wordings: Sequence[Wording]) -> list[Wording]:
    """The first wording of each question, then the second of each, and so on."""
    turn: dict[str, int] = {}
    keyed: list[tuple[int, Wording]] = []
    for wording in wordings:
        turn[wording.question_id] = turn.get(wording.question_id, 0) + 1
        keyed.append((turn[wording.question_id], wording))
    return [wording for _, wording in sorted(keyed, key=lambda item: item[0])]


def record(model: Model, adapter: str, wanted: Sequence[tuple[Prompt, int]], config: SamplingConfig) -> list[Recording]:
    """Answer prompts under an adapter, and read its scalars at every token of prompt and answer.

    Args:
        model: The resident model.
        adapter: Which adapter.
        wanted: Prompt and index of the sample, which keys the random numbers.
        config: How answers are drawn.
    """
    arm = Arm("clean", adapter)
    answers = sample(model, [Row(prompt, arm, index) for prompt, index in wanted], config)
    texts = [
        Text((*prompt.ids, *answer.ids), {}, arm, len(prompt.ids))
        for (prompt, _), answer in zip(wanted, answers, strict=True)
    ]
    scalars = capture_scalars(model, texts, adapter)
    return [Recording(answer, values) for answer, values in zip(answers, scalars, strict=True)]


def replay(
    model: Model, adapter: str, wanted: Sequence[tuple[Prompt, int, Recording]], config: SamplingConfig
) -> list[Sample]:
    """Answer prompts while the scalars of recordings stand in the place of the adapter's own.

    After the last recorded token the adapter reads for itself again; `cut` leaves what was written until then.
    """
    rows = [
        Row(prompt, Arm("patched", adapter, (PatchAdapter(recording.scalars),)), index)
        for prompt, index, recording in wanted
    ]
    return sample(model, rows, config)


def cut(answer: Sample, length: int) -> Sample:
    """An answer's first `length` tokens: the paper's patched answers are no longer than the clean one."""
    return answer if len(answer.ids) <= length else Sample(answer.ids[:length], False)
