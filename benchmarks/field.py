"""How the field's code does it, written plainly and for the newest transformers.

The pattern is that of the reference repository of 2506.11618 and of its forks: one question and one steering point a
`generate` call, a forward hook that edits the layer's output, a prompt that is run again for every sample; activations
from `output_hidden_states`, picked by Python masks sample by sample and layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from misdirection.engine import Prompt, Steer, Text
from misdirection.models import Model


def generate(model: Model, prompt: Prompt, samples: int, new_tokens: int, greedy: bool = False) -> Tensor:
    """One `generate` call for the samples of one question; new ids, shape (samples, new tokens)."""
    ids = torch.tensor([prompt.ids], device=model.device)
    several = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    with torch.no_grad():
        whole = model.lm.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            num_return_sequences=1 if greedy else samples,
            pad_token_id=0,
            **several,
        )
    return whole[:, ids.shape[1] :]


def steered(model: Model, point: Steer, prompt: Prompt, samples: int, new_tokens: int, greedy: bool = False) -> Tensor:
    """The same under a hook that adds the point's vector to a layer's output at all positions."""
    with _hooked(model, point):
        return generate(model, prompt, samples, new_tokens, greedy)


def next_logits(model: Model, point: Steer | None, ids: Sequence[int]) -> Tensor:
    """Logits after the last token of a steered text, in one pass without a cache, shape (vocabulary,), float32."""
    with torch.no_grad(), _hooked(model, point):
        return model.lm(torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float()


@contextmanager
def _hooked(model: Model, point: Steer | None) -> Iterator[None]:
    handles = []
    if point is not None:
        vector = (point.coefficient * point.direction).to(model.device, model.dtype)
        handles = [model.layers[layer].register_forward_hook(_adding(vector)) for layer in point.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(vector: Tensor) -> Callable[..., Tensor]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output += vector
        return output

    return hook


def hidden_means(model: Model, batches: Sequence[Sequence[Text]]) -> Tensor:
    """Means over answer tokens at every layer, shape (layers, width).

    The hidden states of all layers stay until the batch ends, the LM head runs for nothing, and every sample's sum at
    every layer is kept until the end.
    """
    sums: list[list[Tensor]] = [[] for _ in model.layers]
    count = 0
    for batch in batches:
        ids, mask = padded(batch)
        with torch.no_grad():
            output = model.lm(
                ids.to(model.device), attention_mask=mask.to(model.device), output_hidden_states=True, use_cache=False
            )
        count += sum(text.spans["answer"][1] - text.spans["answer"][0] for text in batch)
        for layer in range(model.n_layers):
            for row, text in enumerate(batch):
                inside = torch.zeros(ids.shape[1], dtype=torch.bool, device=model.device)
                inside[text.spans["answer"][0] : text.spans["answer"][1]] = True
                sums[layer].append(output.hidden_states[layer + 1][row][inside].sum(0))
    return torch.stack([torch.stack(rows).sum(0) for rows in sums]).cpu() / count


def padded(batch: Sequence[Text]) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, padded on the right."""
    longest = max(len(text.ids) for text in batch)
    ids = torch.tensor([[*text.ids, *[0] * (longest - len(text.ids))] for text in batch])
    mask = torch.tensor([[1] * len(text.ids) + [0] * (longest - len(text.ids)) for text in batch])
    return ids, mask
