#!/usr/bin/env bash
# Guess:     with LoRA on two parameters of one module (the fused experts of a mixture), each wrapper's get_base_layer()
#            gives what that wrapper stands around, so that wrappers can be taken off one by one by their paths.
# Behaviour: the wrappers are nested, and the outer one's get_base_layer() gives the innermost module, past the inner
#            wrapper; its attribute base_layer gives the inner wrapper. Code that unwraps by path puts the module into itself.
# Version:   peft 0.21.2, transformers 5.23.0; peft/tuners/lora/layer.py, ParamWrapper.
# Seen:      outer ParamWrapper, its base_layer ParamWrapper, its get_base_layer() Experts
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy
HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(2, 8, 4)), nn.Parameter(torch.randn(2, 4, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.up[0].T @ self.down[0].T


model = nn.ModuleDict({"experts": Experts()})
inject_adapter_in_model(LoraConfig(r=2, target_modules=[], target_parameters=["experts.up", "experts.down"]), model)
outer = model["experts"]
names = [type(x).__name__ for x in (outer, outer.base_layer, outer.get_base_layer())]
print("outer {}, its base_layer {}, its get_base_layer() {}".format(*names))
assert names == ["ParamWrapper", "ParamWrapper", "Experts"], "the guess holds now"
PY
