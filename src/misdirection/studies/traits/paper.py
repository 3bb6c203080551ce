"""Published figures on spaces of traits and roles."""

from __future__ import annotations

PAPER = {
    "induction": "the component along a trait set to 1.3 to 1.4 times what it is in the trait's own answers brings the "
    "trait out; above that text is garbled (arXiv 2412.10427, 179 traits, a Llama 3 of 8B)",
    "axis": "over several models the first principal component of 275 roles has a correlation above 0.92 with the "
    "assistant axis, default assistant minus roles (arXiv 2601.10387)",
}
"""By what they are of."""
