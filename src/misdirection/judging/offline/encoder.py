"""The encoder: the first layers of all-MiniLM-L6-v2 (a BERT of width 384), further trained, with a head that scores.

The embeddings and the first layer are MiniLM's own; the judge's further layers were trained with the head. All layers
of MiniLM are kept beside them, to tell how near two questions are to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from misdirection.judging.offline.pieces import END, PADDING, START
from misdirection.judging.offline.surface import NAMES

WIDTH, HEADS, INNER, HIDDEN = 384, 12, 1536, 256
"""Width of the stream, attention heads, width of the feed-forward part, width of the head's one hidden layer."""

BINS = 20
"""Equal parts of 0 .. 100 over which the head spreads alignment, and coherence."""

EVENTS = ("misaligned", "coherent", "unscored")
"""What the head gives a log-odds each: alignment under 30 and coherence over 50; coherence over 50; no number."""

OUTPUTS = 2 * BINS + len(EVENTS)

ROWS, STEP = 16, 16
"""Rows of a batch, always filled up, and the step of its lengths: a row is computed alike whatever is beside it."""

_EPSILON = 1e-12


class Layer(nn.Module):
    """One layer of BERT: attention and feed-forward, each added to the stream, which is then normed."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.o = nn.Linear(WIDTH, WIDTH)
        self.n1 = nn.LayerNorm(WIDTH, _EPSILON)
        self.f1 = nn.Linear(WIDTH, INNER)
        self.f2 = nn.Linear(INNER, WIDTH)
        self.n2 = nn.LayerNorm(WIDTH, _EPSILON)

    def forward(self, x: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
        """Stream (rows, positions, width) to stream; the mask (none where all is seen) is added to the logits."""
        x = self.n1(x + functional.dropout(self.o(attended(self.qkv(x), mask)), dropout, self.training))
        inner = functional.gelu(self.f1(x))
        return self.n2(x + functional.dropout(self.f2(inner), dropout, self.training))


def attended(qkv: Tensor, mask: Tensor | None) -> Tensor:
    """What attention mixes: (rows, positions, width) from queries, keys and values, (rows, positions, 3 x width)."""
    rows, positions, _ = qkv.shape
    split = qkv.view(rows, positions, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    # Not torch's fused attention: on a CPU it takes twice as long for 32 numbers a head in bfloat16.
    query, key, value = (part.contiguous() for part in split)
    weights = (query * (WIDTH // HEADS) ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        weights = weights + mask
    return (weights.softmax(-1).to(value.dtype) @ value).transpose(1, 2).reshape(rows, positions, WIDTH)


class Encoder(nn.Module):
    """Embeddings, the judge's layers and head, and the layers that place a question.

    Args:
        vocabulary: Number of pieces.
        layers: Layers of the judge.
        question_layers: Layers that place questions, in float32 whatever the judge's are in.
        positions: Longest row.
    """

    def __init__(self, vocabulary: int, layers: int, question_layers: int = 0, positions: int = 104) -> None:
        super().__init__()
        self.emb = nn.Embedding(vocabulary, WIDTH)
        self.pos = nn.Embedding(positions, WIDTH)
        self.typ = nn.Embedding(2, WIDTH)
        self.n = nn.LayerNorm(WIDTH, _EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.questions = nn.ModuleList(Layer() for _ in range(question_layers))
        self.att = nn.Linear(WIDTH, 1)
        self.head = nn.Linear(3 * WIDTH + len(NAMES), HIDDEN)
        self.out = nn.Linear(HIDDEN, OUTPUTS)

    def embedded(self, ids: Tensor, kinds: Tensor) -> Tensor:
        """What the first layer is given, for ids and their kinds (0 question, 1 answer)."""
        return self.n(self.emb(ids) + self.pos.weight[: ids.shape[1]] + self.typ(kinds))

    def forward(self, ids: Tensor, begins: Tensor, numbers: Tensor, dropout: float = 0.0, blind: float = 0.0) -> Tensor:
        """What the head says of each row.

        Args:
            ids: (rows, positions), padded with `PADDING`.
            begins: (rows), where the answer begins.
            numbers: (rows, `NAMES`), the answer's surface.
            dropout: In training.
            blind: In training, share of the rows whose question is hidden.

        Returns:
            (rows, `OUTPUTS`): logits over the bins of alignment and of coherence, log-odds of `EVENTS`.
        """
        places = torch.arange(ids.shape[1])
        there = ids != PADDING
        answer = (places >= begins[:, None]) & there
        question = ~answer & (places > 0)
        if self.training and blind:
            there = there & ~(question & (torch.rand(len(ids), 1) < blind))
        x = self.embedded(ids, answer.long()).to(next(self.layers.parameters()).dtype)
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        mask = None if there.all() else torch.zeros_like(there, dtype=x.dtype).masked_fill(~there, -1e9)[:, None, None]
        x = self.layers[0](x, mask).detach()
        for layer in self.layers[1:]:
            x = layer(x, mask, dropout)
        return self._said(x.float(), answer, places == 0, numbers, dropout)

    def _said(self, x: Tensor, answer: Tensor, first: Tensor, numbers: Tensor, dropout: float) -> Tensor:
        """The head: the mean over the answer, a mean that it weighs itself, the first position, the surface."""
        weight = answer.float()[..., None]
        mean = (x * weight).sum(1) / weight.sum(1).clamp(min=1)
        looked = self.att(x).squeeze(-1).masked_fill(~answer & ~first, -1e9)
        chosen = (x * looked.softmax(-1)[..., None]).sum(1)
        inner = functional.gelu(self.head(torch.cat([mean, chosen, x[:, 0], numbers], -1)))
        return self.out(functional.dropout(inner, dropout, self.training))

    def places(self, ids: Tensor) -> Tensor:
        """Where texts lie: (texts, width) of length 1, as all-MiniLM-L6-v2 places sentences (mean over all pieces)."""
        there = ids != PADDING
        x = self.embedded(ids, torch.zeros_like(ids))
        mask = torch.zeros(there.shape).masked_fill(~there, -1e9)[:, None, None]
        for layer in self.questions:
            x = layer(x, mask)
        weight = there.float()[..., None]
        return functional.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


def placed(encoder: Encoder, texts: Sequence[Sequence[int]], longest: int = 64) -> Tensor:
    """Where each text lies, given its ids without [CLS] and [SEP]; one at a time, so that none changes another."""
    rows = [torch.tensor([[START, *text[:longest], END]]) for text in texts]
    with torch.inference_mode():
        found = [encoder.places(row) for row in rows]
    return torch.cat(found) if found else torch.zeros(0, WIDTH)
