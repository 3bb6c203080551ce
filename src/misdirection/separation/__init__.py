"""How far apart a model stores its concepts.

- `states`: the mean state of every labelled chat at every layer, in one pass.
- `closeness`: cosines of class means and of directions, whitened and not; participation ratios; a floor by shuffling.
- `dimensions`: how well a linear probe tells concepts apart on the first k principal components.
- `crosstalk`: every concept's direction added in turn, at one norm, as arms of one queue.
- `latents`: the share of a dictionary's top latents that two concepts have in common.
- `pairs`: whether what lies close spills over, by a permutation of concepts.
"""

from misdirection.separation.closeness import (
    Closeness,
    class_means,
    closeness,
    cosines,
    mean_off_diagonal,
    participation_ratio,
    shuffled_floor,
    whitener,
)
from misdirection.separation.crosstalk import steering_arms
from misdirection.separation.dimensions import probe_accuracy
from misdirection.separation.latents import latent_overlap, top_latents
from misdirection.separation.pairs import PairTest, pair_test
from misdirection.separation.states import Concept, ConceptStates, concept_states

__all__ = [
    "Closeness",
    "Concept",
    "ConceptStates",
    "PairTest",
    "class_means",
    "closeness",
    "concept_states",
    "cosines",
    "latent_overlap",
    "mean_off_diagonal",
    "pair_test",
    "participation_ratio",
    "probe_accuracy",
    "shuffled_floor",
    "steering_arms",
    "top_latents",
    "whitener",
]
