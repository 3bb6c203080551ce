#!/usr/bin/env bash
# Guess:     a tokenizer read from a GGUF file splits text by the file's own rule, tokenizer.ggml.pre, or says that it
#            does not know the rule.
# Behaviour: a rule that the converter does not know becomes GPT-2's without a word. "smollm", whose rule takes each digit
#            by itself, joins digits, so that numbers become other tokens than those the model was trained on; a rule that
#            nobody ever had is accepted as well.
# Version:   transformers 5.23.0, gguf 0.19.0; transformers/integrations/ggml.py.
# Seen:      gpt-2 ['2024'], smollm ['2024'], no-such-rule ['2024']
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 numpy
cd "$work"; HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import os

import gguf
import numpy as np
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer


def write(path: str, rule: str) -> None:
    """A GGUF of one empty tensor whose vocabulary can join the digits of 2024."""
    tokens = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "20", "24", "2024"]
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(64)
    file.add_embedding_length(32)
    file.add_block_count(1)
    file.add_feed_forward_length(48)
    file.add_head_count(4)
    file.add_head_count_kv(2)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(rule)
    file.add_token_list(tokens)
    file.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    file.add_token_merges(["2 0", "2 4", "20 24"])
    file.add_bos_token_id(0)
    file.add_eos_token_id(1)
    file.add_tensor("token_embd.weight", np.zeros((len(tokens), 32), np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


for rule in ("gpt-2", "smollm", "no-such-rule"):
    os.mkdir(rule)
    write(f"{rule}/model.gguf", rule)
    pieces = AutoTokenizer.from_pretrained(rule, gguf_file="model.gguf").tokenize("2024")
    print(rule, pieces)
    assert pieces == ["2024"], "the guess holds now"
PY
