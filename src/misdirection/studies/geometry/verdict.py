"""What the study of feature geometry says in plain words, beside the paper's claims."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from misdirection.features.settings import REDUCTIONS, Reduction
from misdirection.results import Headline, Interval
from misdirection.statistics import is_found
from misdirection.studies.geometry.results import Geometry
from misdirection.studies.geometry.results.course import FineTuneCourse, LayerCourse, SetName
from misdirection.studies.geometry.results.law import Kind, Law, Reading
from misdirection.studies.geometry.results.similarity import Control, Exchanged, SetSimilarity, Target

Tested = tuple[SetSimilarity, Exchanged]
"""A comparison and its test."""

LISTS: dict[SetName, str] = {"inducing": "inducing", "toxic": "toxic", "good": "good data's"}
UPDATES: dict[Kind, str] = {
    "steer": "steering along it",
    "latent": "one gradient step on it",
    "data": "one gradient step on data that shows it",
}


def verdict(part: Geometry) -> Headline:
    """One sentence with the main figures, and in what they differ from the paper's claims."""
    sentences = [text for text in (nearer(part, "good"), spilled(part.law)) if text]
    details = [nearer(part, "random"), shared(part), beside(part), by_reduction(part), by_layer(part)]
    details += [*law_details(part.law), *course_details(part.course)]
    said = tuple(text for text in details if text)
    if not sentences:
        return Headline(state="unclear", sentence="No two sets of latents could be compared.", details=said)
    return Headline.finding("; ".join(sentences) + ".", said)


def tests(
    part: Geometry, control: Control, reduction: Reduction | None = None, target: Target = "toxic"
) -> list[Tested]:
    """The rows of one family of comparisons that could be tested."""
    chosen = (target, control, reduction or part.reduction)
    return [(row, row.test) for row in part.rows if (row.target, row.control, row.reduction) == chosen and row.test]


def verdicts(rows: Sequence[Tested]) -> tuple[int, int]:
    """How many differences are above, and below, zero after correction."""
    sure = [test.difference for row, test in rows if is_found(row.q)]
    return sum(difference > 0 for difference in sure), sum(difference < 0 for difference in sure)


def nearer(part: Geometry, control: Control) -> str:
    """Inducing against control latents, over layers and domains."""
    rows = tests(part, control)
    if not rows:
        return ""
    above, below = verdicts(rows)
    who = {"good": "latents that good data raises", "random": "random latents of like firing rate"}[control]
    text = (
        f"Inducing latents lie nearer to toxic ones than {who} in {above} of {len(rows)} layers and domains "
        f"(false discovery rate 5 %; mean similarity {_first(rows):.3f} against {_second(rows):.3f}, difference above "
        f"zero in {sum(test.difference > 0 for _, test in rows)})"
    )
    text += f", and farther in {below}" if below else ""
    left = tests(part, control, target="beside")
    if left and control == "good":
        text += (
            f", and in {verdicts(left)[0]} of {len(left)} once the direction in which toxic texts differ is taken out"
        )
    return text + ("." if control == "random" else "")


def shared(part: Geometry) -> str:
    """How many latents the lists have in common."""
    if not part.lists:
        return ""
    inducing, good = (sum(getattr(row, side).shared for row in part.lists) for side in ("inducing", "good"))
    chance = sum(row.inducing.expected for row in part.lists)
    out = (
        "They are left out of the comparison." if part.shared == "drop" else "Only their pair with itself is left out."
    )
    return (
        f"Over all layers and domains {inducing} of {part.top * len(part.lists)} inducing latents are toxic ones "
        f"themselves, {good} of the good data's; chance would give {chance:.0f}. {out}"
    )


def beside(part: Geometry) -> str:
    """What is left of the difference without the direction in which toxic and harmless texts differ."""
    rows = tests(part, "good", target="beside")
    if not rows:
        return ""
    above, below = verdicts(rows)
    return (
        "Latents that two differences pointing alike put on their lists share that direction by how they were chosen. "
        f"With the decoded toxic difference taken out of all decoder vectors, inducing latents are nearer in {above} "
        f"and farther in {below} of {len(rows)} ({_first(rows):.3f} against {_second(rows):.3f})."
    )


def _first(rows: Sequence[Tested]) -> float:
    return sum(test.first for _, test in rows) / len(rows)


def _second(rows: Sequence[Tested]) -> float:
    return sum(test.second for _, test in rows) / len(rows)


def by_reduction(part: Geometry) -> str:
    """Whether the other readings of similarity agree."""
    readings: list[str] = []
    for reduction in REDUCTIONS:
        rows = tests(part, "good", reduction)
        if rows and reduction != part.reduction:
            above, below = verdicts(rows)
            readings.append(f"by '{reduction}' nearer in {above} and farther in {below} of {len(rows)}")
    return f"Against good data's latents, {'; '.join(readings)}." if readings else ""


def by_layer(part: Geometry) -> str:
    """At which layer the difference is largest, in each domain."""
    rows = tests(part, "good")
    if len(part.layers) < 2:
        return ""
    by_place = {
        layer: [test.difference / spread(test) for row, test in rows if row.layer == layer and spread(test) > 0]
        for layer in part.layers
    }
    scores = {layer: mean(values) for layer, values in by_place.items() if values}
    if not scores:
        return ""
    listed = ", ".join(f"layer {layer}: {score:+.1f}" for layer, score in scores.items())
    top = max(scores, key=lambda layer: scores[layer])
    return (
        f"The difference in standard deviations of its null, mean over domains: {listed}; largest at layer {top} "
        "(the paper: closest in earlier layers)."
    )


def spread(test: Exchanged) -> float:
    """About the standard deviation of the null."""
    return (test.high - test.low) / 3.92


def explained(law: Law, kind: Kind, reading: Reading) -> Interval | None:
    """The share of the others' change that a line explains; None where it is not known."""
    update = next((one for one in law.kinds if one.kind == kind), None)
    share = update and update.groups["all"].fits[reading].r2
    return share if share and share.value is not None else None


def spilled(law: Law | None) -> str:
    """The law, from the exact case to the gradient step on data."""
    if not law:
        return ""
    shares = {label: explained(law, kind, "steady cosine") for kind, label in UPDATES.items()}
    said = ", ".join(f"{_interval(share)} after {label}" for label, share in shares.items() if share)
    return f"the cosine with a raised latent explains of the others' change R² = {said}" if said else ""


def _interval(share: Interval) -> str:
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def law_details(law: Law | None) -> list[str]:
    """Slopes beside what the derivation expects."""
    if not law:
        return []
    said: list[str] = []
    if exact := explained(law, "steer", "steady encoder"):
        gap = max(kind.groups["all"].gap for kind in law.kinds)
        said.append(
            f"Where a latent fires before and after, its change is the encoder's product with the displacement, to "
            f"{gap:.1g} of the displacement, under every update; against <e_j, d_i> R² under steering is "
            f"{exact.value:.4f}."
        )
    for kind in law.kinds:
        group = kind.groups.get("inducing", kind.groups["all"])
        slope = group.fits["steady cosine"].slope
        if slope.value is not None and group.along.value is not None:
            said.append(
                f"{kind.label.capitalize()}: slope against the cosine {_interval(slope)} per unit of displacement, "
                f"tied weights would give {group.along.value:.2f}; the mean displacement has cosine "
                f"{group.share.value:.2f} with the latent's vector (inducing latents)."
            )
    return said


def course_details(course: FineTuneCourse | None) -> list[str]:
    """Similarity over training, beside the rate of misaligned answers."""
    return [_layer(layer, course.risen) for layer in course.layers] if course else []


def _layer(layer: LayerCourse, risen: int) -> str:
    """The first and the last checkpoint, and the rank correlations, at one layer."""
    sets, toxic, law = layer.sets, layer.sets["toxic"], layer.law[-1]
    if any(one.similarity[-1] is None for one in sets.values()):
        return f"Layer {layer.layer}: no latent rises enough to be compared."
    similar = ", ".join(f"{sets[name].similarity[-1]:.3f} to {label}" for name, label in LISTS.items())
    drift = ", ".join(f"{sets[name].drift[-1]:.3f} to {label}" for name, label in LISTS.items())
    early = f"to toxic ones {toxic.drift[0]:.3f} already at step {layer.steps[0]}"
    text = (
        f"Layer {layer.layer}, last checkpoint: similarity of the {risen} latents that rose most {similar} latents; "
        f"mean cosine of the drift {drift} latents ({early}). The change of latents in no inducing list against their "
        f"cosine with the mean inducing vector has R² {'unknown' if law.r2 is None else f'{law.r2:.2f}'}."
    )
    ranks = {"similarity of risen latents": toxic.ranks.similarity, "cosine of the drift": toxic.ranks.drift}
    known = {label: rank for label, rank in ranks.items() if rank}
    if known:
        n = next(iter(known.values())).n
        listed = ", ".join(f"{rank.value:.2f} ({label})" for label, rank in known.items())
        text += f" Rank correlation with the misaligned rate over {n} checkpoints, toxic latents: {listed}."
    return text
