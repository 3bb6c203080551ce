#!/usr/bin/env bash
# Guess:     SAELens's loader of sparsify folders gives the dictionary that sparsify itself loads: the same latents of the
#            same activations, and decoder rows of shape (latents, width).
# Behaviour: for a dictionary with normalize_decoder (sparsify's default) the loader leaves out the subtraction of b_dec
#            before the encoder, which sparsify always does, and it turns W_dec, which sparsify stores as (latents, width).
# Seen:      apply_b_dec_to_input: False; W_dec of sparsify (24, 8), of the loader (8, 24); sparsify subtracts b_dec.
# Version:   sae-lens 6.54.12, eai-sparsify 1.3.3; sae_lens/loading/pretrained_sae_loaders.py, sparsify/sparse_coder.py.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.5.0 sae-lens==6.54.12 eai-sparsify==1.3.3
cd "$work"; HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import torch
from sae_lens.loading.pretrained_sae_loaders import sparsify_disk_loader
from sparsify import SparseCoder, SparseCoderConfig

torch.manual_seed(0)
theirs = SparseCoder(8, SparseCoderConfig(k=4, num_latents=24))
with torch.no_grad():
    theirs.b_dec.normal_()
theirs.save_to_disk("run/layers.4")
config, weights, *_ = sparsify_disk_loader("run/layers.4")
print("apply_b_dec_to_input:", config["apply_b_dec_to_input"])
print("W_dec of sparsify", tuple(theirs.W_dec.shape), "of the loader", tuple(weights["W_dec"].shape))
x = torch.randn(5, 8)
weight, bias, before = theirs.encoder.weight, theirs.encoder.bias, theirs.b_dec
rules = {
    "minus b_dec": torch.relu((x - before) @ weight.T + bias).topk(4).values,
    "without": torch.relu(x @ weight.T + bias).topk(4).values,
}
fire = theirs.encode(x).top_acts.sort(descending=True).values
found = [name for name, acts in rules.items() if torch.allclose(acts, fire, atol=1e-5)]
print("sparsify's latents are those of:", found)
assert found == ["minus b_dec"] and config["apply_b_dec_to_input"] is False, "the guess holds now"
assert tuple(weights["W_dec"].shape) == tuple(theirs.W_dec.shape)[::-1], "the guess holds now"
PY
