#!/usr/bin/env bash
# Guess:     `min_token_index=n` of steering-vectors' apply() steers the tokens from place n of the sequence on, those that
#            are generated among them: with n the length of the prompt, the whole answer and nothing else.
# Behaviour: the place is counted within each forward pass. With the key-value cache, which generate() uses by default, a
#            pass behind the prompt is one token long, so that its place is 0: no generated token is steered where n is 1
#            or more, and with n the length of the prompt nothing is. Without the cache the guess holds.
# Seen:      share of the vector that each pass adds to its last token, n = 6, prompt of 6 tokens:
#            with the cache [0, 0, 0, 0], without it [0, 1, 1, 1]; n = 0: [1, 1, 1, 1] both.
# Version:   steering-vectors 0.12.2, transformers 4.57.6; steering_vectors/steering_vector.py, _create_additive_hook.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==4.57.6 steering-vectors==0.12.2
cd "$work"; HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import torch
from steering_vectors import SteeringVector
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
layer, direction = model.model.layers[1], torch.randn(16)
before, shares = [], []


def first(output):
    return output[0] if isinstance(output, tuple) else output


def passes(cache, start):
    """How much of the vector each pass adds to the last token that it computes."""
    before.clear(), shares.clear()
    watch = [layer.register_forward_hook(lambda m, i, o: before.append(first(o)[0, -1].clone()))]
    with torch.no_grad(), SteeringVector({1: direction}).apply(model, min_token_index=start):
        watch += [layer.register_forward_hook(lambda m, i, o: shares.append(first(o)[0, -1] - before[-1]))]
        model.generate(torch.tensor([[3, 4, 5, 6, 7, 8]]), attention_mask=torch.ones(1, 6, dtype=torch.long),
                       min_new_tokens=4, max_new_tokens=4, do_sample=False, use_cache=cache, pad_token_id=0)
    for handle in watch:
        handle.remove()
    return [round(float(one @ direction / (direction @ direction))) for one in shares]


seen = {(cache, start): passes(cache, start) for start in (0, 6) for cache in (True, False)}
for (cache, start), share in seen.items():
    print(f"min_token_index {start}, {'with' if cache else 'without'} the cache: {share}")
assert seen[True, 0] == seen[False, 0] == [1, 1, 1, 1]
assert seen[True, 6] == [0, 0, 0, 0] and seen[False, 6] == [0, 1, 1, 1], "the guess holds now"
PY
