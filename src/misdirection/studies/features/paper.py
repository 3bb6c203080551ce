"""Published figures on sparse features of misaligned models (arXiv 2506.19823, 2605.00842)."""

from __future__ import annotations

LISTS = (
    "Papers: the top 100 latents by correlation with insecure code (2605.00842), the top 1,000 by mean activation "
    "increase over nine fine-tunes (2506.19823), of which ten turned the model; what such lists share has not been "
    "published."
)
STEERING = (
    "GPT-4o, 1,000 latents by activation increase: ten steer the original model to misalignment and the misaligned "
    "ones back; the strongest, #10, takes the original model to about 80 %"
)
MIXTURES = (
    "GPT-4o, 6,000 rows: latent #10 rises at 5 % bad rows, where the misalignment score is 0 %; the behaviour appears "
    "between 25 % (health) and 75 % (code)"
)
