"""What every part runs on: a Qwen2-shaped model with random weights, prompts, texts, steering points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from misdirection.engine import Arm, Prompt, Steer, Text
from misdirection.engine.batching import pack
from misdirection.models import Model, wrap


@dataclass(frozen=True)
class Shape:
    """A Qwen2 configuration."""

    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    vocabulary: int
    tied: bool = False


SHAPES = {
    "tiny": Shape(4, 32, 48, 4, 2, 64),
    "small": Shape(12, 256, 704, 4, 2, 8192),
    "qwen2.5-0.5b": Shape(24, 896, 4864, 14, 2, 151936, tied=True),
    "qwen2.5-14b": Shape(48, 5120, 13824, 40, 8, 152064),
}


@dataclass(frozen=True)
class Setting:
    """One run of the benchmark: shape, device, number format, sizes, repeats of long and short comparisons."""

    shape: str = "small"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    repeats: int = 2
    short_repeats: int = 5
    questions: int = 8
    samples: int = 8
    many_samples: int = 32
    prompt_tokens: int = 40
    new_tokens: int = 40
    texts: int = 64
    text_tokens: int = 160
    batch: int = 16
    seed: int = 0
    memory: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


TINY = Setting(
    shape="tiny",
    repeats=1,
    short_repeats=1,
    samples=2,
    many_samples=3,
    prompt_tokens=9,
    new_tokens=6,
    texts=10,
    text_tokens=20,
    batch=4,
)
"""Seconds in all; times mean nothing at this size."""


def build(setting: Setting) -> Model:
    """A model with random weights, scaled so that its answers are neither constant nor insensitive to the prompt."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = SHAPES[setting.shape]
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    dtype = getattr(torch, setting.dtype)
    torch.manual_seed(setting.seed)
    with torch.device(setting.device):
        lm = Qwen2ForCausalLM._from_config(config, dtype=dtype)
    _spread(lm)
    return wrap(lm, _tokenizer(shape.vocabulary), setting.shape)


@torch.no_grad()
def _spread(lm: nn.Module) -> None:
    """Weights of size 1/sqrt(inputs), embeddings of size 1 (less where the head is tied to them), logits of size 3."""
    for name, values in lm.named_parameters():
        if values.ndim == 2:
            inputs = values.shape[1]
            size = 1.0 / math.sqrt(inputs)
            if "embed_tokens" in name:
                size = 3.0 / math.sqrt(inputs) if lm.config.tie_word_embeddings else 1.0
            elif "lm_head" in name:
                size = 3.0 / math.sqrt(inputs)
            values.normal_(0.0, size)


def _tokenizer(size: int) -> Any:
    """A tokenizer without an end token, so that every answer has the full length; the parts work on ids."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<unk>")


def questions(setting: Setting) -> list[Prompt]:
    """Prompts of random tokens whose lengths differ by up to a fifth, as those of real questions do."""
    draw = torch.Generator().manual_seed(setting.seed + 1)
    return [
        Prompt(f"question {number}", _ids(setting, _around(setting.prompt_tokens, draw), draw))
        for number in range(setting.questions)
    ]


def texts(setting: Setting, arm: Arm | None = None) -> list[Text]:
    """Chats of random tokens: a prompt, then an answer of a quarter to the whole of the rest."""
    draw = torch.Generator().manual_seed(setting.seed + 2)
    arm = arm or Arm("base")
    made: list[Text] = []
    for _ in range(setting.texts):
        start = _around(setting.text_tokens // 4, draw)
        room = setting.text_tokens - start
        answer = int(torch.randint(room // 4, room + 1, (1,), generator=draw))
        made.append(Text(_ids(setting, start + answer, draw), {"answer": (start, start + answer)}, arm, start))
    return made


def budget(setting: Setting) -> int:
    """Tokens a batch: `setting.batch` texts of the longest kind."""
    return setting.batch * setting.text_tokens


def batches(setting: Setting, given: Sequence[Text]) -> list[list[Text]]:
    """The texts in the engine's own length-sorted batches, which every rival gets too."""
    return [[given[index] for index in batch] for batch in pack([len(text.ids) for text in given], budget(setting))]


def points(setting: Setting) -> list[Steer]:
    """Eight steering points: four layers by two coefficients, along one random direction half as long as the stream."""
    shape = SHAPES[setting.shape]
    draw = torch.Generator().manual_seed(setting.seed + 3)
    direction = torch.randn(shape.width, generator=draw) / 2
    layers = [shape.layers * place // 5 for place in (1, 2, 3, 4)]
    return [Steer(direction, (layer,), coefficient) for layer in layers for coefficient in (-2.0, 2.0)]


@contextmanager
def endings(setting: Setting, model: Model) -> Iterator[None]:
    """Answers end by themselves: each token is an end token with a chance of about one in `new_tokens`."""
    model.lm.generation_config.eos_token_id = list(range(1, 1 + SHAPES[setting.shape].vocabulary // setting.new_tokens))
    try:
        yield
    finally:
        model.lm.generation_config.eos_token_id = None


def _around(length: int, draw: torch.Generator) -> int:
    return int(torch.randint(length - length // 5, length + length // 5 + 1, (1,), generator=draw))


def _ids(setting: Setting, length: int, draw: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(1, SHAPES[setting.shape].vocabulary, (length,), generator=draw).tolist())
