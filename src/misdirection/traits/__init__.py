"""Traits of character as directions: persona vectors and what is done with them (arXiv 2507.21509, 2412.10427).

- `trait`: what a trait is; `files`: our YAML, and the JSON of the persona-vectors repository as it is.
- `rollout`: answers under system prompts that ask for traits and against them, in one queue.
- `scoring`: how strongly answers show traits, by any judge that can say so.
- `vectors`: the filter of effective pairs and the response-mean difference.
- `steering`: traits turned up and down; `watching`: where prompts lie along them before a word is said.

What needs torch is imported when first used: the command line reads definitions, and must not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from misdirection.traits.files import load_traits, trait_sets
from misdirection.traits.trait import SIGNS, Contrast, Sign, Trait, TraitError

if TYPE_CHECKING:
    from misdirection.traits.rollout import Role, roles, rollouts
    from misdirection.traits.scoring import judge_of, score_table, trait_score
    from misdirection.traits.vectors import Effective, effective_pairs, layer_of_hidden_state, trait_vector

_HEAVY = ("rollout", "scoring", "vectors")

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


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use (PEP 562)."""
    for room in _HEAVY if name in __all__ else ():
        module = import_module(f"misdirection.traits.{room}")
        if hasattr(module, name):
            globals()[name] = getattr(module, name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
