"""What came out of the map of traits, in sentences."""

from __future__ import annotations

from misdirection.results import Headline
from misdirection.studies.kit.sentences import p_text
from misdirection.studies.traits.results import InducedRow, RankRow, TraitMap

LIKE = 0.5
"""Below this correlation of the halves' cosines less than a quarter of what the map shows is seen again."""


def verdict(found: TraitMap) -> Headline:
    """Dimensions, groups, the axis, and whether neighbours move most."""
    d = found.dimensions
    traits = len(found.places) - 1
    again = (
        f"Correlation of the cosines of both halves of the questions {d.likeness:.2f}; their maps differ by "
        f"{d.map_error:.2f} (0 the same, 1 unrelated)."
    )
    if is_seen_again(found):
        sentence = (
            f"The {traits} traits differ inside the model, at layer {found.layer}, in about "
            f"{d.reliable_participation:.1f} independent ways (dimensions) that both halves of the questions show "
            f"({d.participation:.1f} by all of the variance)."
        )
        own = [*space_text(found), again]
    else:
        sentence = (
            f"The two halves of the questions draw different maps of the {traits} traits at layer {found.layer} "
            f"(correlation {d.likeness:.2f}): with so few answers nothing is known of dimensions and groups."
        )
        own = [
            again,
            "More questions (--most-questions 0) or --samples may tell; or the model does not play the roles.",
        ]
    details = [
        *own,
        *map(rank_text, found.ranks),
        *(induced_text(found, name) for name in dict.fromkeys(row.trait for row in found.induced)),
    ]
    return Headline.finding(sentence, details)


def is_seen_again(found: TraitMap) -> bool:
    """Whether one half of the questions tells the other's map."""
    return found.dimensions.likeness >= LIKE


def space_text(found: TraitMap) -> list[str]:
    """The first component and the groups; the axis is none."""
    d = found.dimensions
    groups = len({row.cluster for row in found.places if row.family != "axis"})
    return [
        f"The first component holds {100 * d.share[0]:.0f} % of the variance between traits; its cosine with the "
        f"assistant axis is {d.axis_on_first:.2f}.",
        f"{groups} groups, mean silhouette {d.silhouette:.2f} (above 0.5 they stand apart, near 0 there are none).",
    ]


def rank_text(row: RankRow) -> str:
    """Whether the neighbours of a trained trait move most."""
    if row.rho is None or row.p is None:
        return ""
    answer = "move most" if row.rho > 0 and row.p < 0.05 else "do not move most"
    return (
        f"{row.fine_tune}: the nearest neighbours of {row.trained} {answer} (rank correlation {row.rho:.2f} over "
        f"{row.traits} traits, {p_text(row.p)}); {row.trained} itself comes {_ordinal(row.place)}; most moved: "
        f"{', '.join(row.most[:3])}."
    )


def _ordinal(place: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(place, f"{place}th")


def induced_text(found: TraitMap, trait: str) -> str:
    """The multiple under which a trait shows most."""
    rows = [row for row in found.induced if row.trait == trait and row.score.value is not None]
    plain = next((row for row in rows if row.alpha is None), None)
    tried = [row for row in rows if row.alpha is not None]
    if plain is None or not tried:
        return ""
    best: InducedRow = max(tried, key=lambda row: row.score.value or 0.0)
    if (best.score.value or 0.0) <= (plain.score.value or 0.0):
        return f"{trait}: no multiple of its component shows more of it than the model as it is."
    return (
        f"{trait}: score {plain.score.value:.0f} as the model is; at most {best.score.value:.0f}, with the component "
        f"set to {best.alpha:g} times that of its own answers ({100 * best.coherent:.0f} % coherent)."
    )
