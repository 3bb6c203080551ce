"""What came out of the study of separation."""

from __future__ import annotations

from dataclasses import dataclass

from misdirection.results import RateRow, Results

AS_IT_IS, RANDOM = "as it is", "random"
"""Names of arms in `CrossRow.added`: those of `separation.crosstalk`, which would bring PyTorch into a report."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """How close all concepts lie at one layer of one model.

    Attributes:
        variant: "base", or the concept that it was fine-tuned on.
        layer: Decoder layer.
        means: Mean squared cosine of every two class means, centred.
        means_whitened: The same after whitening.
        directions: Mean cosine of every two concepts' directions.
        directions_whitened: The same after whitening.
        floor: `means` where the labels are shuffled.
        dimensions_of_means: Participation ratio of the class means.
        dimensions_of_states: Of all states.
    """

    variant: str
    layer: int
    means: float
    means_whitened: float
    directions: float
    directions_whitened: float
    floor: float
    dimensions_of_means: float
    dimensions_of_states: float


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """How well a linear probe tells the concepts apart on so many principal components, as shares of chats.

    Attributes:
        variant: Whose states.
        dims: Components.
        accuracy: Mean over concepts of the share told right, cross-validated.
        shuffled: The same with shuffled labels.
    """

    variant: str
    dims: int
    accuracy: float
    shuffled: float


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """A concept that was trained on and another one.

    Attributes:
        trained: Which one was.
        concept: The other.
        base: Its rate of misaligned answers before.
        tuned: After.
        spill: The second minus the first.
        means: Cosine of both class means in the base, at the study's layer.
        means_whitened: After whitening.
        directions: Cosine of both directions.
        directions_whitened: After whitening.
        latents: Share of top latents in common; None without a dictionary.
        crosstalk: Change of the concept's rate when the trained one's direction is added to the base; None where
            nothing was added.
    """

    trained: str
    concept: str
    base: RateRow
    tuned: RateRow
    spill: float
    means: float
    means_whitened: float
    directions: float
    directions_whitened: float
    latents: float | None
    crosstalk: float | None


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """Whether spill follows a measure of closeness.

    Attributes:
        measure: Its name, a field of `PairRow`.
        layer: At which it is taken.
        rho: Mean over fine-tunes of the rank correlation with the spill; None where one does not vary.
        p: Two-sided, under permutations of the concepts; None where there is no rho, and at layers but the study's.
        pairs: How many pairs.
    """

    measure: str
    layer: int
    rho: float | None
    p: float | None
    pairs: int


@dataclass(frozen=True, kw_only=True)
class CrossRow:
    """Misaligned answers on one concept while a direction is added to the base model.

    Attributes:
        added: The concept whose direction it is, "as it is" for none, "random 1" ... for the controls.
        concept: What is asked about.
        rate: Misaligned answers, of all.
        coherent: Share of coherent ones.
    """

    added: str
    concept: str
    rate: RateRow
    coherent: float


@dataclass(frozen=True, kw_only=True)
class Separation:
    """What the study adds to the findings.

    Attributes:
        concepts: In their order.
        layer: Of the test, the probes and steering.
        norm: Length of what was added, in units of the residual stream.
        shrinkage: Of the covariance that whitens.
        chats: How many were read of all files.
        unread: Chats of which nothing could be read.
        layers: A row a model and layer.
        probes: A row a model and number of components.
        means: Cosines of the base's class means at the layer, by concept.
        directions: Cosines of its directions.
        pairs: A row a fine-tune and other concept.
        own: Rate of each fine-tune on its own concept.
        tests: A row a measure and layer.
        cross: A row a direction and concept.
    """

    concepts: tuple[str, ...]
    layer: int
    norm: float
    shrinkage: float
    chats: int
    unread: int
    layers: tuple[LayerRow, ...]
    probes: tuple[ProbeRow, ...]
    means: tuple[tuple[float, ...], ...]
    directions: tuple[tuple[float, ...], ...]
    pairs: tuple[PairRow, ...]
    own: tuple[PairRow, ...]
    tests: tuple[TestRow, ...]
    cross: tuple[CrossRow, ...]

    def test(self, measure: str) -> TestRow | None:
        """The test of a measure at the study's layer."""
        return next((row for row in self.tests if row.measure == measure and row.layer == self.layer), None)


@dataclass(frozen=True, kw_only=True)
class SeparationResults(Results):
    """The findings of the study of separation."""

    separation: Separation


RESULTS = SeparationResults
