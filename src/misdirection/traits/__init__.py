"""Traits of character as directions: persona vectors and what is done with them (arXiv 2507.21509, 2412.10427).

- `trait`: what a trait is; `files`: our YAML, and the JSON of the persona-vectors repository as it is.
- `rollouts`: answers under system prompts that ask for traits and against them, in one queue.
- `scoring`: how strongly answers show traits, by any judge that can say so.
- `vectors`: the filter of effective pairs and the response-mean difference.
"""

from misdirection.traits.files import load_traits, trait_sets
from misdirection.traits.rollouts import Role, roles, rollouts
from misdirection.traits.scoring import judge_of, score_table, trait_score
from misdirection.traits.trait import SIGNS, Contrast, Sign, Trait, TraitError
from misdirection.traits.vectors import Effective, effective_pairs, layer_of_hidden_state, trait_vector

__all__ = [
    "SIGNS",
    "Contrast",
    "Effective",
    "Role",
    "Sign",
    "Trait",
    "TraitError",
    "effective_pairs",
    "judge_of",
    "layer_of_hidden_state",
    "load_traits",
    "roles",
    "rollouts",
    "score_table",
    "trait_score",
    "trait_sets",
    "trait_vector",
]
