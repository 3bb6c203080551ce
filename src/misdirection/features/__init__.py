"""Sparse autoencoders: what a residual stream is made of.

- `dictionary`: a sparse autoencoder as four tensors and a rule, and what encoding costs.
- `formats/`: one file a published layout; `load.py` chooses among them, `releases.py` names the public sets.
- `stream`: means, firing rates, maxima and top contexts of every latent over a corpus, never tokens x latents at once.
- `decompose`: a vector as a few latents, beside random vectors of the same norm.
"""

from misdirection.features.dictionary import Dictionary, DictionaryError
from misdirection.features.load import load_dictionary, save_dictionary

__all__ = ["Dictionary", "DictionaryError", "load_dictionary", "save_dictionary"]
