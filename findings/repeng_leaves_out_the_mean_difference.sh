#!/usr/bin/env bash
# Guess:     repeng's `pca_diff`, its default, finds what sets positive apart from negative prompts: a step that all
#            positive states make, and no negative one, is the vector.
# Behaviour: the principal component is that of the differences positive minus negative after scikit-learn has taken their
#            mean away, so that what all pairs share is what is left out; the vector is how pairs differ from one another.
#            With `pca_center`, where both sides of a pair enter, the step is found.
# Seen:      60 pairs, all positive states moved by 100 along one axis: cosine of the vector with that axis, pca_diff
#            0.17, as before the step (the vector is the same: cosine 1.00); pca_center 1.00.
# Version:   repeng 0.4.0, scikit-learn 1.9.1, transformers 5.23.0; repeng/extract.py, read_representations.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 repeng==0.4.0 scikit-learn==1.9.1 'numpy<2'
cd "$work"; HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import numpy as np
import torch
from repeng import ControlVector, DatasetEntry
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.manual_seed(0)
words = ["<pad>", "good", "bad", *(f"w{place}" for place in range(60))]
inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<pad>"))
inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **sizes)).eval()
pairs = [DatasetEntry(f"good w{place}", f"bad w{place}") for place in range(60)]
step = np.eye(32, dtype=np.float32)[5]


def moved(hiddens):
    """Every second state is a positive one."""
    return {layer: states + 100 * step * (np.arange(len(states)) % 2 == 0)[:, None] for layer, states in hiddens.items()}


def vector(method, change=None):
    found = ControlVector.train(model, tokenizer, pairs, method=method, hidden_layers=[1], transform_hiddens=change)
    return found.directions[1] / np.linalg.norm(found.directions[1])


without, diff, center = vector("pca_diff"), vector("pca_diff", moved), vector("pca_center", moved)
print(f"pca_diff: cosine with the step {abs(diff @ step):.2f}, with the vector without it {abs(diff @ without):.2f}")
print(f"pca_center: cosine with the step {abs(center @ step):.2f}")
assert abs(center @ step) > 0.99
assert abs(diff @ step) < 0.3 and abs(diff @ without) > 0.99, "the guess holds now"
PY
