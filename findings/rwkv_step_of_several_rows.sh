#!/usr/bin/env bash
# Guess:     RWKV, given its state and one more token for each of n rows, answers with n rows, as it does for a prompt.
# Behaviour: the time shift of a single token sets the kept states, (rows, width), against the new ones, (rows, 1, width);
#            they broadcast to (rows, rows, width). Two rows give two "tokens" a row, and each row mixes in the other's past.
#            One row, or a whole prompt, is right, so a batch of one hides it.
# Version:   transformers 5.23.0 (torch 2.13.0), models/rwkv/modeling_rwkv.py, the branch for a sequence of length 1.
# Seen:      a prompt of 2 rows: (2, 3, 16); the next token of 2 rows: (2, 2, 16)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 numpy
HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import torch
from transformers import RwkvConfig, RwkvModel

torch.manual_seed(0)
sizes = {"vocab_size": 50, "hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
model = RwkvModel(RwkvConfig(**sizes)).eval()
with torch.no_grad():
    prompt = model(torch.tensor([[1, 2, 3], [4, 5, 6]]), use_cache=True)
    step = model(torch.tensor([[7], [8]]), state=prompt.state, use_cache=True)
    alone = model(torch.tensor([[1, 2, 3]]), use_cache=True)
    single = model(torch.tensor([[7]]), state=alone.state, use_cache=True)
print("a prompt of 2 rows:", tuple(prompt.last_hidden_state.shape))
print("the next token of 2 rows:", tuple(step.last_hidden_state.shape), "and of 1 row:", tuple(single.last_hidden_state.shape))
assert tuple(step.last_hidden_state.shape) == (2, 2, 16), "the guess holds now"
assert tuple(single.last_hidden_state.shape) == (1, 1, 16)
PY
