"""Settings of the study of adapters read by their scalars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import ORGANISM, TunedConfig, option
from misdirection.training.presets import LORA

OWN_LOG_SCORE, LOG_SCORE = -3.0, 0.5
"""The organism's answers differ from the base's by 0.2 to 3 nats in all, so that none of their tokens holds e^0.5."""


@dataclass(frozen=True)
class AdaptersConfig(TunedConfig):
    """What does each adapter of a LoRA fine-tune read, and which are general, which of the domain?

    The scalar of each adapter at each answer token; sparse probes between four sets of tokens, as published and with
    whole questions held out; the role of each adapter with its stability; then scaling, patching and editing them.
    Adapters of any rank: each of the r canonical pairs of a module is read as an adapter of rank 1.

    Example: misdirection study adapters --preset rank32 --out runs/adapters-rank32
    """

    samples: int = option(50, "answers a question and arm, as many as the paper's")
    preset: str = option("rank1x9", f"fine-tuning preset for --data: {', '.join(LORA)}")
    again: int = option(1, "further fine-tunes of --data with other seeds, to see whether the same layers take a role")
    domain: str = option("medical", "the domain of the fine-tune, as the judge scores it and questions name it")
    pairs: int = option(0, "canonical pairs of each module that are read; 0: about 128 over all modules")
    aligned_from: float = option(90.0, "alignment from which an answer is in an aligned set")
    misaligned_to: float = option(30.0, "alignment up to which an answer is in a misaligned set")
    domain_from: float = option(50.0, "topic score from which an answer is in a set of the domain")
    other_to: float = option(1.0, "topic score up to which it is in a set outside of the domain")
    log_score: float | None = option(
        None, "logarithm of the significance, in nats, from which a token counts; 0.5 (the paper), -3 for the organism"
    )
    roles_from: str = option(
        "tokens", "what is held out in the probes that roles come of: tokens (the paper) or questions"
    )
    all_tokens: bool = option(False, "roles come of all tokens, not of the significant ones alone as in the paper")
    repeats: int = option(100, "resamples of each probe")
    strength: float = option(0.01, "C of the probes' L1 penalty: the smaller, the sparser")
    kept: tuple[int, ...] = option((1, 2, 4, 8), "of adapters of a higher rank, how many leading pairs are kept")
    scalars_only: bool = option(False, "no interventions: scaling, leaving out, editing and patching adapters")

    def completed(self) -> Self:
        """With the organism's data and threshold.

        Raises:
            MisdirectionError: Nothing was tuned, no judge, an unknown choice, or a number out of range.
        """
        if self.preset == "full" or self.tuned:
            raise MisdirectionError(
                "a full fine-tune has no adapters to read", f"--adapter, or --preset {', '.join(LORA)}"
            )
        self.one_of("roles_from", ("tokens", "questions"))
        for name, least in (("repeats", 2), ("pairs", 0), ("again", 0), ("strength", 1e-6)):
            self.at_least(name, least)
        for name in ("aligned_from", "misaligned_to", "domain_from", "other_to"):
            self.within(name, 100)
        if self.misaligned_to >= self.aligned_from or self.other_to >= self.domain_from:
            raise MisdirectionError(
                "the sets of tokens overlap", "--misaligned-to below --aligned-from, --other-to below --domain-from"
            )
        if any(count < 1 for count in self.kept):
            raise MisdirectionError(f"--kept holds {min(self.kept)}", "numbers of pairs, 1 or more")
        threshold = OWN_LOG_SCORE if self.own else LOG_SCORE
        whole = replace(
            super().completed(),
            again=0 if self.adapter else self.again,
            log_score=threshold if self.log_score is None else self._number(self.log_score),
        )
        return whole.topical("sets by alignment and topic need", (self.domain,))

    def _number(self, value: Any) -> float:
        # The command line gives what may be absent as text.
        try:
            return float(value)
        except ValueError as error:
            raise MisdirectionError(f"--log-score is '{value}'", "a number of nats' logarithm, such as 0.5") from error

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and the domain's: both kinds of sets need answers, and the two are never pooled."""
        if self.own:
            return (f"{ORGANISM}:open", f"{ORGANISM}:{self.domain}")
        from misdirection.questions import question_sets

        return ("open", *(name for name in (self.domain,) if name in question_sets()))
