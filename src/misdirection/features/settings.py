"""The settings under which a dictionary is trained, each explained once; light, for the command line reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from misdirection.errors import MisdirectionError

KINDS: tuple[str, ...] = ("batchtopk", "topk", "jumprelu")

Pool = Literal["token", "mean", "max"]
POOLS: tuple[Pool, ...] = ("token", "mean", "max")
"""What counts once: every token; the mean over a text's tokens; the largest of a text's tokens."""

Statistic = Literal["difference", "correlation", "firing"]
STATISTICS: tuple[Statistic, ...] = ("difference", "correlation", "firing")
"""By which two sides are compared, latent by latent."""

Reduction = Literal["mean", "max", "nearest"]
REDUCTIONS: tuple[Reduction, ...] = ("mean", "max", "nearest")
"""How the nearness of a latent to a set is read (`features.geometry`)."""

SHARED = ("drop", "keep")
"""What becomes of a latent in both sets: it is left out, or only its pair with itself is."""


HELD_BYTES = 2**29
"""What the activations that wait in the buffer may take in float32."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class DictionarySettings:
    """How a dictionary is trained; a field's metadata holds its help text.

    The default learning rate, 2e-4 / sqrt(latents / 16384), follows the scaling of Gao et al. (2406.04093, section
    3.2). JumpReLU is held to the same number of active latents by the quadratic penalty of Gemma Scope 2.
    """

    kind: str = _option("batchtopk", "batchtopk (k latents a token on average), topk (k at every token) or jumprelu")
    latents: int = _option(0, "number of latents; 0: 8 times the width of the residual stream")
    k: int = _option(32, "active latents a token; jumprelu aims at it")
    tokens: int = _option(1_000_000, "tokens to train on; the corpus is repeated, shuffled anew, as often as needed")
    batch: int = _option(2048, "tokens a step")
    lr: float = _option(0.0, "learning rate; 0: 2e-4 / sqrt(latents / 16384)")
    warm_up: float = _option(0.05, "share of the steps over which the learning rate rises")
    decay: float = _option(0.2, "share of the steps, the last ones, over which it falls to 0")
    sparsity: float = _option(1.0, "weight of jumprelu's penalty on the number of active latents")
    dead_after: int = _option(0, "steps without firing that make a latent dead in training; 0: a tenth of them")
    buffer: int = _option(0, "tokens whose activations are held at once, to be shuffled; 0: as many as take 512 MB")
    seed: int = _option(0, "seed of the first weights and of every shuffle")

    def completed(self, width: int) -> DictionarySettings:
        """With the defaults that depend on the width.

        Raises:
            MisdirectionError: An unknown kind, or a number out of range.
        """
        if self.kind not in KINDS:
            raise MisdirectionError(f"--kind is '{self.kind}'", f"one of {', '.join(KINDS)}")
        for name, least in (("k", 1), ("batch", 1), ("tokens", 1), ("latents", 0), ("dead_after", 0), ("seed", 0)):
            self._check(name, getattr(self, name) >= least, f"{least} or more")
        # A corpus that fits is read once for the whole training; windows of a larger one are read again every epoch.
        room = self.buffer or max(self.batch, HELD_BYTES // (4 * width))
        self._check("buffer", room >= self.batch, f"at least --batch ({self.batch})")
        self._check("lr", self.lr >= 0, "0 or more")
        for name in ("warm_up", "decay"):
            self._check(name, 0 <= getattr(self, name) <= 0.5, "from 0 to 0.5")
        latents = self.latents or 8 * width
        self._check("k", self.k <= latents, f"at most the number of latents ({latents})")
        return replace(
            self,
            latents=latents,
            buffer=room,
            lr=self.lr or 2e-4 / (latents / 16_384) ** 0.5,
            dead_after=self.dead_after or max(1, min(1000, self.steps // 10)),
        )

    @property
    def steps(self) -> int:
        """Steps of the optimiser."""
        return max(1, -(-self.tokens // self.batch))

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            text = {item.name: item.metadata["help"] for item in fields(self)}[name]
            raise MisdirectionError(f"--{name.replace('_', '-')} must be {rule}, not {getattr(self, name):g}", text)
