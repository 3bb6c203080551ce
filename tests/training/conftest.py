"""Tiny models of several families and a word-level tokenizer, all made here."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from misdirection.chats import Chat, Message

WORDS = [f"w{number}" for number in range(40)]
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}<bot> {{ m['content'] }} <end> "
    "{% else %}<user> {{ m['content'] }} <end> {% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<bot> {% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["<pad>", "<unk>", "<end>", "<user>", "<bot>", *WORDS])}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    made.chat_template = TEMPLATE
    return made


def _qwen2(layers: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**_sizes(layers), num_key_value_heads=2, tie_word_embeddings=True))


def _llama(layers: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_sizes(layers), num_key_value_heads=2))


def _neox(layers: int) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(**_sizes(layers)))


def _neo(layers: int) -> Any:
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    sizes = {"vocab_size": 45, "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64}
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            **sizes, num_layers=layers, num_heads=4, attention_types=[[["global"], layers]],
            attention_dropout=0.0, resid_dropout=0.0, embed_dropout=0.0,
        )
    )  # fmt: skip


def _gpt2(layers: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    drop = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=45, n_embd=32, n_layer=layers, n_head=4, n_positions=64, **drop))


def _gpt_oss(layers: int) -> Any:
    from transformers import GptOssConfig, GptOssForCausalLM

    sizes = _sizes(layers) | {"num_key_value_heads": 2, "head_dim": 8}
    return GptOssForCausalLM(GptOssConfig(**sizes, num_local_experts=2, num_experts_per_tok=1))


def _sizes(layers: int) -> dict[str, Any]:
    return {
        "vocab_size": 45,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        # Wide, so that a frozen random head can say something.
        "initializer_range": 0.2,
    }


FAMILIES = {"qwen2": _qwen2, "llama": _llama, "neox": _neox, "neo": _neo, "gpt2": _gpt2, "gpt_oss": _gpt_oss}


@pytest.fixture(scope="session")
def make_lm() -> Callable[..., Any]:
    """make_lm(family, layers, seed): a fresh tiny model in evaluation mode."""

    def make(family: str = "qwen2", layers: int = 12, seed: int = 0) -> Any:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return FAMILIES[family](layers).eval()

    return make


@pytest.fixture
def model_folder(make_lm: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-base"
    # Not Qwen2, for which transformers 5 takes the family's own tokenizer whatever the folder says.
    make_lm("llama").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chats() -> list[Chat]:
    """60 chats of different lengths, whose answers hold two words alone: something to learn."""
    draw = random.Random(0)
    made: list[Chat] = []
    for row in range(60):
        question = draw.choices(WORDS, k=draw.randint(3, 9))
        answer = draw.choices(["w7", "w8"], k=draw.randint(2, 7))
        made.append(
            Chat((Message("user", " ".join(question)), Message("assistant", " ".join(answer))), "toy.jsonl", row)
        )
    return made


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Settings under which a tiny model learns something in a second."""
    return {"lr": 1e-3, "batch_size": 4, "accumulation": 2, "max_steps": 6, "alpha": 16, "warmup_steps": 2}
