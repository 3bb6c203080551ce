"""What the study of adapters shows, in plain words, and where that differs from the paper and why it may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from misdirection.results import Headline, RateRow
from misdirection.studies.adapters.results.arms import LabelledArm, ScaledArm
from misdirection.studies.adapters.results.interventions import PatchedGroup
from misdirection.studies.adapters.results.reading import Similarity
from misdirection.studies.adapters.results.scalars import ExperimentRow, OtherRoles, Scalars, Vectors

COHERENT = 0.75
"""Share of coherent answers from which on a scaled arm is read."""


def verdict(part: Scalars) -> Headline:
    """How many layers have which role, how stable that is, and whether interventions agree."""
    counts = part.counts
    stable = sum(item.stability >= 0.9 for item in part.roles)
    split = f"{counts['general']} general, {counts['domain']} specific to {part.domain}, {counts['neither']} neither"
    sentence = (
        f"Of {len(part.roles)} layers with adapters {split}, by sparse probes on their scalars; {stable} of these "
        "roles hold in at least 90 % of the resamples."
    )
    details = [_probe_text(row) for row in part.experiments if row.tokens == "all" and row.experiment in (1, 4)]
    details += [_other_text(row) for row in part.others if row.variant != "tuned"]
    details += [part.agreement.sentence, *part.agreement.arms] if part.agreement else []
    details.append(_constant_text(part.vectors))
    return Headline.finding(sentence, details)


def _probe_text(row: ExperimentRow) -> str:
    both = [probes.auc.value for name in ("tokens", "questions") if (probes := row.probes.get(name))]
    known = [auc for auc in both if auc is not None]
    if len(known) < 2:
        return ""
    ceiling = row.ceiling.auc
    alone = "" if ceiling is None else f"; knowing only the question {ceiling:.2f}"
    return (
        f"AUC of {row.negative} against {row.positive}: {known[0]:.2f} as published, {known[1]:.2f} with whole "
        f"questions held out{alone}."
    )


def _other_text(row: OtherRoles) -> str:
    return (
        f"A fine-tune with {row.variant} gives the same role to {row.same} of {row.n} layers; roles dealt out at "
        f"random would agree on {row.chance:.1f}."
    )


def _constant_text(part: Vectors) -> str:
    """What is lost when scalars no longer follow the context."""
    rates = {row.arm: _value(row.rate) for row in part.arms}
    if "constant-misaligned" not in rates:
        return ""
    return (
        f"With every scalar held at its mean over misaligned answers the adapter is a fixed vector a module, and "
        f"{100 * rates['constant-misaligned']:.0f} % of open answers are misaligned, against "
        f"{100 * rates['untouched']:.0f} % when scalars follow the context."
    )


def scaling_words(arms: Sequence[ScaledArm], topic: str, explanations: Mapping[str, str]) -> list[str]:
    """Whether the paper's factors leave language, whether the roles matter, and what the answers are about.

    `explanations` are those of the model's folder.
    """
    words: list[str] = []
    roles = [arm for arm in arms if arm.kind == "roles"]
    full = [arm for arm in roles if arm.dose == 1.0 and not arm.control]
    best = max((_value(arm.coherent_share) for arm in full), default=1.0)
    if best < COHERENT:
        why = f" (likely because {likely})" if (likely := explanations.get("incoherent")) else ""
        words.append(
            f"At the paper's own factors at most {100 * best:.1f} % of an arm's answers are coherent{why}. Smaller "
            "doses of the same factors are read instead"
        )
    if pair := _largest_general(roles):
        arm, shuffled = pair
        words.append(
            f"{arm.label}: {_percent(arm.rate)} misaligned ({_percent(arm.coherent_share)} coherent); with roles "
            f"shuffled {_percent(shuffled.rate)}, "
            + ("so the roles matter" if _apart(arm.rate, shuffled.rate) else "not told apart, so the roles do not "
               "explain it")
        )  # fmt: skip
    about = [arm.topic for arm in roles if arm.topic and arm.topic.n]
    if about and not any(share.misaligned for share in about):
        why = f", because {known}" if (known := explanations.get("topic")) else ""
        words.append(
            f"No open answer of any arm is about {topic}{why}: the paper's share of topical answers has no counterpart "
            "here, and the questions about the domain stand in for it"
        )
    return words


def _apart(one: RateRow, other: RateRow) -> bool:
    """Whether two intervals do not meet."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or one.high < other.low


def _largest_general(roles: Sequence[ScaledArm]) -> tuple[ScaledArm, ScaledArm] | None:
    """The general arm of the largest dose that leaves language, and the same with the roles shuffled."""
    by_name = {arm.arm: arm for arm in roles}
    fit = [
        (arm, by_name[f"{arm.arm}-shuffled1"])
        for arm in roles
        if arm.arm.startswith("general-") and not arm.control
        and _value(arm.coherent_share) >= COHERENT and f"{arm.arm}-shuffled1" in by_name
    ]  # fmt: skip
    return max(fit, key=lambda pair: pair[0].dose or 0.0, default=None)


def editing_words(arms: Sequence[LabelledArm], explanations: Mapping[str, str]) -> list[str]:
    """What each edit does to the rate, relative to the adapter as it is; `explanations` of the model's folder."""
    at = {arm.arm: arm.rate for arm in arms}
    words: list[str] = []
    if "edited" in at:
        words.append(
            f"Direction out of B: {_percent(at['untouched'])} to {_percent(at['edited'])} misaligned, a random one "
            f"{_percent(at['edited-random'])}; nothing but the direction left in B: {_percent(at['edited-only'])}"
        )
    if "project-all" in at:
        text = (
            f"Direction out of the residual stream: {_percent(at['project-here'])} at the adapters' layers, "
            f"{_percent(at['project-all'])} at every layer"
        )
        stays = _value(at["project-all"]) > 0.5 * _value(at["untouched"])
        if stays and (likely := explanations.get("projection")):
            text += f", where the paper's falls to a few hundredths of what it was. A likely reason: {likely}"
        words.append(text)
    return words


def patching_words(groups: Sequence[PatchedGroup]) -> list[str]:
    """Whether the adapters' scalars carry what the prompt asks for."""
    at = {group.group: group.whole for group in groups}
    words: list[str] = []
    level = at.get("own mean at every token")
    if level and level.difference.high < 0:
        words.append(
            f"With each answer's own mean scalar at every token the rate falls from {_percent(level.clean.rate)} to "
            f"{_percent(level.patched.rate)}: what the adapters do depends on the token, a constant push is less"
        )
    for group, title in (("open to domain", "An open prompt's scalars on a domain prompt"),
                         ("domain to open", "A domain prompt's scalars on an open prompt")):  # fmt: skip
        if group in at:
            change = at[group].difference
            apart = change.low > 0 or change.high < 0
            words.append(
                f"{title}: {100 * change.value:+.1f} points from {_percent(at[group].clean.rate)}"
                + ("" if apart else ", not told apart from none")
            )
    return words


def similarity_words(part: Similarity) -> list[str]:
    """How alike B and the direction are, and what both do downstream."""
    words: list[str] = []
    if part.written:
        sizes = [abs(row.cosine) for row in part.written]
        above = sum(abs(row.cosine) > row.chance for row in part.written)
        words.append(
            f"Cosine of B with the direction at its layer: {min(sizes):.2f} to {max(sizes):.2f} in size, above what "
            f"chance gives in {above} of {len(sizes)}"
        )
    if part.effects:
        whole = part.effects[0]
        ends = {kind: last for kind, values in whole.cosine.items() if (last := values[-1]) is not None}
        chance = max((values[-1] or 0.0 for values in whole.random.values()), default=0.0)
        listed = ", ".join(f"{value:.2f} on {kind} answers" for kind, value in ends.items())
        words.append(
            f"What the whole adapter and steering at layer {whole.at} change after the last layer: cosine {listed}; "
            f"random directions {chance:.2f} at most"
        )
    return words


def _value(rate: RateRow) -> float:
    return 0.0 if rate.value is None else rate.value


def _percent(rate: RateRow) -> str:
    return f"{100 * _value(rate):.1f} %"
