"""The spillover law: raising one latent raises the others by how alike their directions are (arXiv 2605.00842).

Derivation. A dictionary reads the residual stream x of a token: latent j has the pre-activation a_j = s <e_j, x> + b_j
(e_j its column of the encoder, s the input scale) and fires with f_j = a_j above its threshold. An update of the model
that moves x by dx changes

    da_j = s <e_j, dx>                                                                 (1)  exact, whatever dx is

Training that raises f_i follows its gradient, which in x is s e_i where i fires; with an encoder near its decoder's
transpose, x moves along the unit decoder vector d_i: dx = alpha d_i. Then

    da_j = alpha s <e_j, d_i>   and, for tied unit weights (e_j = d_j),   da_j = alpha s cos(d_i, d_j)      (2)

A latent that fires before and after changes by just that; one that does not fire stays at zero. Over all tokens, with
p_j the share at which j fires and no latent switching on or off,

    change of the mean of f_j = alpha s p_j <e_j, d_i>                                 (3)

So against <e_j, d_i> the change where j fires is a line through zero of slope alpha s and R^2 = 1; against the cosine
it is as straight as the encoder is tied; the change of the mean is so after multiplication by p_j. What the derivation
leaves out: a gradient step moves weights, not x, and dx = J J^T g mixes in what else the weights do. How much of the
mean dx lies along d_i (`Spill.along`) is measured, and by (1) is the slope to be expected.

All changes here are divided by the size of the update, the root mean square of |dx| over tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from misdirection.engine import Text
from misdirection.engine.capture import visit_states
from misdirection.errors import MisdirectionError
from misdirection.features.dictionary import Dictionary
from misdirection.features.stream import CHUNK_VALUES
from misdirection.models import Model
from misdirection.statistics.contrasts import bootstrap


class NoUpdateError(MisdirectionError):
    """An update moved nothing, or nothing that could be looked at."""


def read_states(model: Model, texts: Sequence[Text], layer: int, span: str = "answer") -> Tensor:
    """The residual stream at every token of the spans, text after text; shape (tokens, width), float32, on the CPU."""
    held: dict[int, Tensor] = {}

    def visit(batch: Sequence[int], states: Sequence[Tensor]) -> None:
        held.update({index: found.float().cpu().clone() for index, found in zip(batch, states, strict=True)})

    visit_states(model, texts, layer, span, visit)
    return torch.cat([held[index] for index in range(len(texts))]) if texts else torch.zeros(0, model.width)


@dataclass(frozen=True, eq=False)
class LatentChanges:
    """How every latent changed over the same tokens; shapes (latents,), float64, where nothing else is said.

    Attributes:
        mean: Change of the mean activation over all tokens.
        steady: Mean change over tokens at which it fires before and after; NaN where there is none.
        linear: What (1) says of `steady`: the mean of s <e_j, dx> over the same tokens.
        fired: Tokens at which it fires before.
        moved: Mean dx, shape (width,).
        size: Root mean square of |dx|.
        tokens: Number of tokens.
    """

    mean: Tensor
    steady: Tensor
    linear: Tensor
    fired: Tensor
    moved: Tensor
    size: float
    tokens: int


def change_of(dictionary: Dictionary, before: Tensor, after: Tensor) -> LatentChanges:
    """How every latent differs between two states of the same tokens, in chunks of tokens.

    Args:
        dictionary: What encodes.
        before: Shape (tokens, width).
        after: The same shape.

    Raises:
        MisdirectionError: The shapes differ, or there is no token.
    """
    if before.shape != after.shape or not len(before):
        raise MisdirectionError(f"states of shapes {tuple(before.shape)} and {tuple(after.shape)} cannot be compared")
    total, steady, linear, both, fired = torch.zeros(5, dictionary.latents, dtype=torch.float64)
    for first in range(0, len(before), max(1, CHUNK_VALUES // dictionary.latents)):
        past = first + max(1, CHUNK_VALUES // dictionary.latents)
        x, y = (part[first:past].to(dictionary.encoder) for part in (before, after))
        f, g = dictionary.encode(x), dictionary.encode(y)
        stays = (f > 0) & (g > 0)
        told = (y - x) @ dictionary.encoder * dictionary.input_scale
        total += (g - f).double().sum(0).cpu()
        steady += ((g - f).double() * stays).sum(0).cpu()
        linear += (told.double() * stays).sum(0).cpu()
        both += stays.sum(0).cpu()
        fired += (f > 0).sum(0).cpu()
    moved = (after - before).double()
    size = float(moved.square().sum(1).mean() ** 0.5)
    return LatentChanges(total / len(before), steady / both, linear / both, fired, moved.mean(0), size, len(before))


@dataclass(frozen=True)
class Fit:
    """A straight line through points.

    Attributes:
        slope: Of ordinary least squares.
        intercept: Where x is 0.
        r2: Share of the variance explained; NaN where either side is constant.
        n: Points.
    """

    slope: float
    intercept: float
    r2: float
    n: int


def fit_line(x: Tensor, y: Tensor) -> Fit:
    """The least-squares line through points whose x and y are finite."""
    known = torch.isfinite(x) & torch.isfinite(y)
    a, b = x[known].double(), y[known].double()
    nothing = float("nan")
    if len(a) < 3 or float(a.std()) < 1e-12:
        return Fit(nothing, nothing, nothing, len(a))
    across, up = a - a.mean(), b - b.mean()
    slope = float((across * up).sum() / across.square().sum())
    spread = float(up.square().sum())
    r2 = 1 - float((up - slope * across).square().sum()) / spread if spread > 1e-24 else nothing
    return Fit(slope, float(b.mean() - slope * a.mean()), r2, len(a))


@dataclass(frozen=True, eq=False)
class Spill:
    """What an update meant for one latent did to the others; changes are divided by the size of the update.

    Attributes:
        latent: The one that it was meant for.
        own: Its own change of mean activation.
        along: Mean dx along its decoder vector, over the size of the update: the slope that (1) expects.
        share: Cosine of the mean dx with that vector.
        turn: -1 where the update was turned round, else 1.
        size: Of the update, before division.
        others: The latents that are looked at, shape (others,).
        cosine: cos(d_i, d_j), same shape.
        encoder: s <e_j, d_i>.
        firing: p_j.
        mean: Change of the mean over all tokens.
        steady: Change where it fires before and after.
        gap: Largest difference between `steady` and what (1) says of it: zero but for rounding.
    """

    latent: int
    own: float
    along: float
    share: float
    turn: int
    size: float
    others: Tensor
    cosine: Tensor
    encoder: Tensor
    firing: Tensor
    mean: Tensor
    steady: Tensor
    gap: float

    @property
    def fits(self) -> dict[str, Fit]:
        """Lines of the change where a latent fires ("steady") and of the change of its mean, by "<change> <against>".

        Against the cosine, against <e_j, d_i> ("encoder"), and of the mean against the prediction (3).
        """
        return {
            "steady cosine": fit_line(self.cosine, self.steady),
            "steady encoder": fit_line(self.encoder, self.steady),
            "mean cosine": fit_line(self.cosine, self.mean),
            "mean encoder": fit_line(self.encoder, self.mean),
            "mean predicted": fit_line(self.along * self.firing * self.encoder, self.mean),
        }


def spill_of(
    dictionary: Dictionary, latent: int, change: LatentChanges, least: int = 20, *, oriented: bool = False
) -> Spill:
    """Read the law off a change.

    Args:
        dictionary: What encoded.
        latent: The one that the update was meant for; it is no point of the fits.
        change: Before and after the update.
        least: Tokens at which another latent must fire to be looked at.
        oriented: Turn the update round where it lowers the latent, so that all are along the vector.

    Raises:
        NoUpdateError: The update moved nothing, or no other latent fires often enough.
    """
    if change.size < 1e-12:
        raise NoUpdateError(f"the update for latent {latent} moves nothing")
    seen = change.fired >= least
    seen[latent] = False
    others = seen.nonzero()[:, 0]
    if len(others) < 3:
        raise NoUpdateError(f"fewer than 3 latents fire at {least} tokens", "give more texts")
    unit = dictionary.directions.double().cpu()
    read = dictionary.encoder.double().cpu().T[others] * dictionary.input_scale
    component = float(change.moved @ unit[latent])
    turn = -1 if oriented and component < 0 else 1
    scale = turn * change.size
    gap = (change.steady - change.linear)[others].nan_to_num().abs().max()
    return Spill(
        latent, float(change.mean[latent]) / scale, component / scale,
        turn * component / max(float(change.moved.norm()), 1e-12), turn, change.size, others,
        unit[others] @ unit[latent], read @ unit[latent], change.fired[others] / change.tokens,
        change.mean[others] / scale, change.steady[others] / scale, float(gap) / change.size,
    )  # fmt: skip


@dataclass(frozen=True)
class Mean:
    """A mean over latents that were raised, with the percentiles of its bootstrap over them.

    Attributes:
        value: The mean.
        low: 2.5 %.
        high: 97.5 %.
        n: Latents with a value.
    """

    value: float
    low: float
    high: float
    n: int


def mean_over(values: Sequence[float], *, seed: int = 0) -> Mean:
    """Mean of what is finite, with a bootstrap interval; NaN where nothing is."""
    held = np.asarray([value for value in values if np.isfinite(value)])
    if not len(held):
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    return Mean(float(held.mean()), *bootstrap(held.tolist(), seed, 2000), len(held))
