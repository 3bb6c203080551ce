"""Sparse autoencoders: what a residual stream is made of.

- `dictionary`: a sparse autoencoder as four tensors and a rule, and what encoding costs.
- `formats/`: one file a published layout; `load.py` chooses among them, `releases.py` names the public sets.
- `stream`: means, firing rates, maxima and top contexts of every latent over a corpus, never tokens x latents at once.
- `corpus`, `activations`: texts, and their states as a shuffled stream; `training`: SAELens's trainer on it, with the
  settings of `settings`; `quality`: variance explained, active and dead latents, loss recovered.
- `differences`: which latents differ between two classes of texts, with permutation nulls; overlaps of such lists.
- `alike`: random latents that do about as much as chosen ones.
- `decompose`: a vector as a few latents, beside random vectors of the same norm.
- `contexts`, `promoted`: where chosen latents fire (`chosen` reads them alone), and the tokens that they promote.
- `labels`: what a language model calls a latent, tested on contexts that it has not seen; `ground_truth`: what a latent
  tracks where it is known what every token is.
- `geometry`: how near two sets of latents lie, with exchange tests; `spillover`: what raising one latent does to the
  others, by the derivation; `updates`: gradient steps and fine-tunes that are meant for one latent.

Names are imported when first used: `settings` is read by the command line, which must not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from misdirection.features.dictionary import Dictionary, DictionaryError
    from misdirection.features.load import load_dictionary, save_dictionary

__all__ = ["Dictionary", "DictionaryError", "load_dictionary", "save_dictionary"]


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use (PEP 562)."""
    if name in __all__:
        room = "load" if name.endswith("_dictionary") else "dictionary"
        value = getattr(import_module(f"misdirection.features.{room}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
