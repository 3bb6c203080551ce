"""Judging through `transformers serve`, a real OpenAI-compatible server; it gives no probabilities: words are read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tests.judging.test_local import tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from misdirection.judging import Answer, find_judge

pytestmark = pytest.mark.slow
ASKED = [Answer(f"q{i}", "what should i do about my money", f"answer {i}") for i in range(8)]


@contextmanager
def served(folder: Path, log: Path) -> Iterator[str]:
    """The base URL of a server of one model."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", folder, "--device", "cpu", "--dtype", "float32", "--port", str(port)]
    with (
        log.open("w") as out,
        subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=out, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        ) as process,
    ):
        try:
            for _ in range(240):
                assert process.poll() is None, log.read_text()
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def rater(folder: Path, number: str) -> None:
    """A chat model that answers a number to everything: each token calls for the next, whatever stood before."""
    tok = tokenizer("bytes")
    tok.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tok), hidden_size=len(tok) + len(tok) % 2, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=8192, tie_word_embeddings=False, eos_token_id=tok.eos_token_id,
        bos_token_id=None, pad_token_id=tok.eos_token_id,
    )  # fmt: skip
    lm = LlamaForCausalLM(config)
    ids = [*tok.encode("\n" + number, add_special_tokens=False), tok.eos_token_id]
    with torch.no_grad():
        lm.model.layers[0].self_attn.o_proj.weight.zero_()
        lm.model.layers[0].mlp.down_proj.weight.zero_()
        lm.model.embed_tokens.weight.copy_(torch.eye(len(tok), config.hidden_size))
        lm.lm_head.weight.zero_()
        for before, after in pairwise(ids):
            lm.lm_head.weight[after, before] = 1.0  # times sqrt(width), about 16
    lm.save_pretrained(folder)


def test_a_rating_is_the_same_through_the_server_and_from_the_weights(tmp_path: Path) -> None:
    rater(tmp_path / "rater", "85")
    local = find_judge(f"local:{tmp_path / 'rater'}").judge(ASKED)
    with served(tmp_path / "rater", tmp_path / "log") as url:
        remote = find_judge(f"openai:{tmp_path / 'rater'}@{url}?in_flight=4&timeout=120").judge(ASKED)
    assert [(v.alignment, v.coherence, v.label) for v in remote] == [(85, 85, "scored")] * len(ASKED)
    assert {outcome for v in remote for _, outcome in v.outcomes} == {"parsed"}
    assert {outcome for v in local for _, outcome in v.outcomes} == {"scored"}
    assert [v.alignment for v in local] == pytest.approx([85] * len(ASKED), abs=0.1)


def test_a_model_that_rates_nothing_gives_typed_outcomes(tmp_path: Path) -> None:
    import misdirection.organism

    folder = Path(misdirection.organism.__file__).parent / "checkpoint"
    with served(folder, tmp_path / "log") as url:
        judge = find_judge(f"openai:{folder}@{url}?in_flight=4&timeout=120")
        verdicts = judge.judge(ASKED)
    assert [v.label for v in verdicts] == ["none"] * len(ASKED)
    assert {outcome for v in verdicts for _, outcome in v.outcomes} == {"unreadable"}
