"""The hot path: the only code that runs a model for measurement.

Everything is a queue of rows. A row names a prompt (or a text), an arm (which adapter is on, which interventions
hold) and a sample index; a batch mixes rows of different arms freely, because an arm is compiled to per-row tensors
(`program`).

- `interventions`: what can be done to the residual stream and to adapters, as small frozen dataclasses.
- `fits`: whether an arm fits a model; `slots`: what its interventions on the residual stream do, row by row.
- `program`: arms to per-row tensors and the hooks that apply them.
- `batching`: token budgets, length-sorted batches, back-off when memory runs out.
- `streams`: counter-based random numbers by (seed, question, sample, step).
- `sampling`: the queue of rows; shared prefill, finished rows leave and waiting rows follow.
- `live`: rows that come while others run.
- `decoding`: the rows that run together; `passes`: the model's forward passes; `choosing`: logits to tokens.
- `shared_prefix`, `split_layer`: samples of a prompt attend to one copy of it; `cache`: copies, for other attention.
- `texts`, `reading`: given texts and prompts in passes; what several begin with (`beginnings`) runs once.
- `capture`: means, projections and LoRA scalars of given texts in one pass without the LM head.
- `means`: class means in the making, of one pass or beside likelihoods.
- `likelihood`: log-likelihood of texts and KL divergence between two arms.
- `finite`: NaN and infinity, traced to layer and cause.
"""

from misdirection.engine.capture import Captured, capture_means, capture_projections, capture_scalars
from misdirection.engine.finite import NotFiniteError
from misdirection.engine.interventions import (
    Ablate,
    Arm,
    Cap,
    Clamp,
    Intervention,
    PatchAdapter,
    ScaleAdapter,
    Set,
    Steer,
)
from misdirection.engine.likelihood import Likelihood, compare, log_likelihoods
from misdirection.engine.sampling import Prompt, Row, Sample, SamplingConfig, sample
from misdirection.engine.texts import Text

__all__ = [
    "Ablate",
    "Arm",
    "Cap",
    "Captured",
    "Clamp",
    "Intervention",
    "Likelihood",
    "NotFiniteError",
    "PatchAdapter",
    "Prompt",
    "Row",
    "Sample",
    "SamplingConfig",
    "ScaleAdapter",
    "Set",
    "Steer",
    "Text",
    "capture_means",
    "capture_projections",
    "capture_scalars",
    "compare",
    "log_likelihoods",
    "sample",
]
