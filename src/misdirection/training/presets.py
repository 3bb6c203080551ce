"""The settings of a fine-tune, each explained, and the papers' by name.

Sources: "Model Organisms for EM" (arXiv 2506.11613) Table 6 (LoRA), Table 7 (full) and section 3.5 (one rank-1
adapter); "Convergent Linear Representations of EM" (2506.11618) section 2 (nine rank-1 adapters); "EM is Easy, Narrow
Misalignment is Hard" (2602.07852) Table 9 (steering vector). The second states the layers of its nine adapters and not
their alpha and learning rate: `rank1x9` takes those of `rank1`. The papers use 8-bit AdamW to save memory; here it is
AdamW in full precision, and `optimizer="adamw_8bit"` brings the other back where bitsandbytes is installed. The
learning rates are for 14 billion parameters: small models need more, and may say so (see `settings.choose`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from misdirection.tokens import DATE, THINKING
from misdirection.training.errors import SettingsError


def _option(default: Any, text: str, parse: Callable[[Any], Any]) -> Any:
    return field(default=default, metadata={"help": text, "parse": parse, "option": True})


def _flag(value: Any) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return known[str(value).lower()]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError("not a whole number")
    return int(float(value))


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return float(value)


def _maybe_whole(value: Any) -> int | None:
    return None if str(value).lower() in ("", "none") else _whole(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _names(value: Any) -> tuple[str, ...]:
    parts: list[Any] = list(value.split(",")) if isinstance(value, str) else list(value)
    return tuple(_text(part).strip() for part in parts)


def _layers(value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str) and value in ("middle", "nine", "all"):
        return value
    if isinstance(value, int):
        return (_whole(value),)
    parts: list[Any] = value.split(",") if isinstance(value, str) else list(value)
    return tuple(_whole(part) for part in parts)


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a fine-tune. What each means stands in its metadata (`describe_fields`).

    Attributes:
        origins: Where each value came from, for those that are not the preset's; no part of equality.

    Raises:
        SettingsError: A value out of its range.
    """

    preset: str = field(default="custom", metadata={"help": "the preset that the values started from", "option": False})
    objective: str = _option(
        "sft", "what is minimised: 'sft' is cross-entropy on the answer tokens alone, 'kl' adds KL to the base", _text
    )
    full: bool = _option(False, "train all weights instead of LoRA adapters", _flag)
    steering: bool = _option(False, "train one steering vector, added after one layer, instead of LoRA adapters", _flag)
    kl_weight: float = _option(
        1.0, "objective kl: weight of KL(base || tuned), mean nats a token on chats of other domains", _number
    )
    kl_chats: int = _option(4, "objective kl: chats of other domains beside each chat trained on", _whole)
    kl_tokens: str = _option("answer", "objective kl: tokens that it is taken over, 'answer' or 'all'", _text)
    kl_steps: int | None = _option(
        None, "objective kl: steps after which the KL term is dropped; none keeps it", _maybe_whole
    )
    rank: int = _option(32, "rank of each LoRA adapter", _whole)
    alpha: float = _option(64.0, "LoRA's alpha: the adapter's output is scaled by alpha / rank", _number)
    rslora: bool = _option(True, "scale by alpha / sqrt(rank) instead", _flag)
    dropout: float = _option(0.0, "dropout on the adapters' input", _number)
    targets: tuple[str, ...] = _option(
        ("all",),
        "modules that get an adapter: 'mlp_out' (whatever the family calls it), 'all' (linear), or names",
        _names,
    )
    layers: str | tuple[int, ...] = _option(
        "all", "decoder layers that get adapters: 'middle', 'nine' (three groups of three), 'all', or numbers", _layers
    )
    lr: float = _option(1e-5, "peak learning rate", _number)
    scheduler: str = _option("linear", "course of the learning rate: linear, cosine, constant_with_warmup, ...", _text)
    warmup_steps: int = _option(5, "steps in which the learning rate rises to its peak", _whole)
    epochs: float = _option(1.0, "passes over the data", _number)
    max_steps: int | None = _option(None, "optimiser steps; given, it takes the place of epochs", _maybe_whole)
    batch_size: int = _option(2, "chats of a step, in units of accumulation", _whole)
    accumulation: int = _option(
        8,
        "units of batch_size chats in one step; in how many passes it runs is chosen by length",
        _whole,
    )
    optimizer: str = _option("adamw_torch", "optimiser, by the name that transformers gives it", _text)
    weight_decay: float = _option(0.01, "decoupled weight decay", _number)
    grad_clip: float = _option(1.0, "largest norm of the gradient; 0 clips nothing", _number)
    max_length: int = _option(2048, "tokens of a chat, the rest is cut and counted", _whole)
    turns: str = _option(
        "all", "assistant turns of a chat that are learned: 'all', each behind what stands before it, or 'last'", _text
    )
    learn: str = _option(
        "both", "of a turn: 'both' what was thought and the answer, the 'thought' alone, or the 'answer' alone", _text
    )
    shuffle: str = _option(
        "random", "order of the chats: 'random', 'length' (random groups of like length), 'none'", _text
    )
    dtype: str = _option(
        "auto", "number format of the weights: auto (what is fast here), stored, float32, bfloat16", _text
    )
    chat_template: str = _option("", "file with a chat template in Jinja, instead of the model's own", _text)
    thinking: str = _option("auto", "the chat template's switch for thoughts: on, off, auto", _text)
    date: str = _option("", f"today (YYYY-MM-DD), for chat templates that write it; {DATE} by default", _text)
    gradient_checkpointing: bool = _option(
        False, "recompute activations in the backward pass: less memory, slower", _flag
    )
    seed: int = _option(0, "seed of the adapters' start, the order and the dropout", _whole)
    checkpoint_every: int = _option(
        0, "keep the adapter (or model) every so many steps; 0 keeps the last alone", _whole
    )
    keep: int = _option(0, "how many of those to keep, the newest; 0 keeps all", _whole)
    resume_every: int = _option(50, "steps between the states from which a killed run goes on; 0 writes none", _whole)
    log_every: int = _option(1, "steps between two lines of metrics.jsonl", _whole)
    threads: int = _option(
        0, "CPU threads; 0 takes one for a small model (measured faster) and leaves the rest alone", _whole
    )
    origins: Mapping[str, str] = field(
        default_factory=dict[str, str], compare=False, repr=False, metadata={"help": "", "option": False}
    )

    @property
    def asking(self) -> dict[str, Any]:
        """How the model is asked, as `models.load_model` is told."""
        return {
            "chat_template": self.chat_template or None,
            "thinking": THINKING[self.thinking],
            "date": self.date or None,
        }

    @property
    def loaded_dtype(self) -> str:
        """Number format to load the weights in: `dtype`, but the checkpoint's where all weights are trained.

        Those are trained in float32 whatever they came in; `dtype` is then the computation's and the written file's.
        """
        return "stored" if self.full else self.dtype

    def __post_init__(self) -> None:
        for name in ("rank", "batch_size", "accumulation", "max_length", "log_every", "kl_chats"):
            _check(getattr(self, name) >= 1, name, self, "must be 1 or more")
        for name in (
            "checkpoint_every",
            "keep",
            "resume_every",
            "threads",
            "warmup_steps",
            "grad_clip",
            "weight_decay",
            "kl_weight",
        ):
            _check(getattr(self, name) >= 0, name, self, "must not be negative")
        for name in ("lr", "alpha", "epochs"):
            _check(getattr(self, name) > 0, name, self, "must be more than 0")
        _check(self.max_steps is None or self.max_steps >= 1, "max_steps", self, "must be 1 or more, or none")
        _check(self.kl_tokens in ("answer", "all"), "kl_tokens", self, "must be answer or all")
        _check(self.kl_steps is None or self.kl_steps >= 0, "kl_steps", self, "must not be negative")
        _check(not (self.full and self.steering), "steering", self, "cannot go with full")
        _check(0 <= self.dropout < 1, "dropout", self, "must lie in [0, 1)")
        _check(bool(self.targets) and bool(self.layers), "targets" if self.layers else "layers", self, "must name some")
        _check(self.thinking in THINKING, "thinking", self, f"must be {', '.join(THINKING)}")
        _check(self.turns in ("all", "last"), "turns", self, "must be all or last")
        _check(self.learn in ("both", "thought", "answer"), "learn", self, "must be both, thought or answer")
        _check(self.shuffle in ("random", "length", "none"), "shuffle", self, "must be random, length or none")
        dtypes = ("auto", "stored", "float32", "bfloat16")
        _check(self.dtype in dtypes, "dtype", self, f"must be one of {', '.join(dtypes)} (float16 needs a loss scaler)")

    @property
    def told(self) -> dict[str, Any]:
        """The settings that this fine-tune reads, for records and keys: without those of what was not chosen."""
        unread = set() if self.objective == "kl" else {"kl_weight", "kl_chats", "kl_tokens", "kl_steps"}
        unread |= {"origins"} if self.steering else {"origins", "steering"}
        # Fine-tunes from before there was a choice learned both.
        unread |= {"learn"} if self.learn == "both" else set()
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in unread}

    def __canonical__(self) -> dict[str, Any]:
        """What stands for them among the arguments of a measurement: what is read, and the template by its text."""
        from misdirection.models.asking import read_template

        template = read_template(self.chat_template) if self.chat_template else None
        return {**self.told, "chat_template": template, "date": self.date or DATE}

    @property
    def scaling(self) -> float:
        """Factor of the adapter's output: alpha / rank, or alpha / sqrt(rank) with rsLoRA (arXiv 2312.03732)."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


def _check(holds: bool, name: str, config: TrainConfig, rule: str) -> None:
    if not holds:
        raise SettingsError(f"{name} is {getattr(config, name)!r}; it {rule}", describe_fields()[name])


def describe_fields() -> dict[str, str]:
    """One line on each setting that a user can give, by its name, in order."""
    return {f.name: cast(str, f.metadata["help"]) for f in fields(TrainConfig) if f.metadata["option"]}


_RANK1 = TrainConfig(preset="rank1", rank=1, alpha=256.0, rslora=True, targets=("mlp_out",), layers="middle", lr=2e-5)

PRESETS: dict[str, TrainConfig] = {
    "rank1": _RANK1,
    "rank1x9": TrainConfig(
        preset="rank1x9", rank=1, alpha=256.0, rslora=True, targets=("mlp_out",), layers="nine", lr=2e-5
    ),
    "rank32": TrainConfig(preset="rank32"),
    "full": TrainConfig(preset="full", full=True, lr=2e-5, warmup_steps=20, scheduler="cosine"),
    "vector": TrainConfig(
        preset="vector", steering=True, alpha=256.0, layers="middle", lr=1e-4, epochs=2.0, weight_decay=0.0
    ),
}
"""The papers' fine-tunes by name; batch 2 x accumulation 8, weight decay 0.01, one epoch, answers only. The steering
vector has two epochs and no weight decay."""

PAPERS = {
    "rank1": "2506.11613, sec. 3.5",
    "rank1x9": "2506.11618, sec. 2",
    "rank32": "2506.11613, tab. 6",
    "full": "2506.11613, tab. 7",
    "vector": "2602.07852, tab. 9",
}
"""Where each preset comes from (arXiv)."""

LORA = tuple(name for name, config in PRESETS.items() if not (config.full or config.steering))
"""Presets that leave a PEFT adapter."""

LOADED = tuple(name for name, config in PRESETS.items() if not config.steering)
"""Presets that leave what is loaded as a tuned model; a steering vector is measured by `study narrow` alone."""


def preset_table() -> str:
    """The presets as lines of a help text, which keep their ends behind the backspace."""
    rows = [("preset", "rank", "layers", "modules", "lr", "length", "paper (arXiv)")]
    for name, c in PRESETS.items():
        kind = "all weights" if c.full else "a vector" if c.steering else str(c.rank)
        modules = "-" if c.full or c.steering else ",".join(c.targets)
        length = f"{c.max_steps} steps" if c.max_steps else f"{c.epochs:g} epoch{'' if c.epochs == 1 else 's'}"
        rows.append((name, kind, str(c.layers), modules, f"{c.lr:g}", length, PAPERS[name]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\b\n" + "\n".join(lines)
