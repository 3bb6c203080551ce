"""Settings of the study of adapters read by their scalars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from misdirection.errors import MisdirectionError
from misdirection.studies.kit.config import option
from misdirection.studies.kit.tuned_config import TunedConfig
from misdirection.training.presets import LORA


@dataclass(frozen=True)
class AdaptersConfig(TunedConfig):
    """What does each adapter of a LoRA fine-tune read, and which are general, which of the domain?

    The scalar of each adapter at each answer token; sparse probes between four sets of tokens, as published and with
    whole questions held out; the role of each adapter with its stability; then scaling, patching and editing them.
    Adapters of any rank: each of the r canonical pairs of a module is read as an adapter of rank 1.

    Example: misdirection study adapters --preset rank32 --out runs/adapters-rank32
    """

    explained: ClassVar[Mapping[str, str]] = {
        "incoherent": "why answers are no longer coherent at the paper's own factors",
        "topic": "why no open answer is about the domain",
        "projection": "why taking the direction out of the residual stream cures less than in the paper",
    }
    samples: int = option(50, "answers a question and arm, as many as the paper's")
    preset: str = option("rank1x9", f"fine-tuning preset for --data: {', '.join(LORA)}")
    again: int = option(1, "further fine-tunes of --data with other seeds, to see whether the same layers take a role")
    domain: str = option("medical", "the domain of the fine-tune, as the judge scores it and questions name it")
    pairs: int | None = option(
        None, "canonical pairs of each module that are read; by default about 128 over all modules", was=0
    )
    aligned_from: float = option(90.0, "alignment from which an answer is in an aligned set")
    misaligned_to: float = option(30.0, "alignment up to which an answer is in a misaligned set")
    domain_from: float = option(50.0, "topic score from which an answer is in a set of the domain")
    other_to: float = option(1.0, "topic score up to which it is in a set outside of the domain")
    log_score: float = option(0.5, "logarithm of the significance, in nats, from which a token counts (the paper's)")
    roles_from: str = option(
        "tokens", "what is held out in the probes that roles come of: tokens (the paper) or questions"
    )
    all_tokens: bool = option(False, "roles come of all tokens, not of the significant ones alone as in the paper")
    repeats: int = option(100, "resamples of each probe")
    strength: float = option(0.01, "C of the probes' L1 penalty: the smaller, the sparser")
    kept: tuple[int, ...] = option((1, 2, 4, 8), "of adapters of a higher rank, how many leading pairs are kept")
    scalars_only: bool = option(False, "no interventions: scaling, leaving out, editing and patching adapters")

    def completed(self) -> Self:
        """With what suits the model.

        Raises:
            MisdirectionError: Nothing was tuned, no judge, an unknown choice, or a number out of range.
        """
        c = self.recommended()
        if c.preset == "full" or c.tuned:
            raise MisdirectionError(
                "a full fine-tune has no adapters to read", f"--adapter, or --preset {', '.join(LORA)}"
            )
        c.one_of("roles_from", ("tokens", "questions"))
        for name, least in (("repeats", 2), ("pairs", 1), ("again", 0), ("strength", 1e-6)):
            c.at_least(name, least)
        for name in ("aligned_from", "misaligned_to", "domain_from", "other_to"):
            c.within(name, 100)
        if c.misaligned_to >= c.aligned_from or c.other_to >= c.domain_from:
            raise MisdirectionError(
                "the sets of tokens overlap", "--misaligned-to below --aligned-from, --other-to below --domain-from"
            )
        if any(count < 1 for count in c.kept):
            raise MisdirectionError(f"--kept holds {min(c.kept)}", "numbers of pairs, 1 or more")
        whole = replace(super(AdaptersConfig, c).completed(), again=0 if c.adapter else c.again)
        return whole.topical("sets by alignment and topic need", (c.domain,))

    def default_questions(self) -> tuple[str, ...]:
        """Open questions and the domain's: both kinds of sets need answers, and the two are never pooled."""
        from misdirection.questions import question_sets

        return (self.open_set, *(name for name in (self.domain,) if name in question_sets()))
