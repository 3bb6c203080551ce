"""Any Hugging Face causal language model and its PEFT adapters, ready for measurement.

`load_model` gives one resident `Model`: the base weights and any number of LoRA adapters beside each other. Which
adapter is on is decided row by row in the engine, so base and tuned model never need two copies of the weights.

- `resident`: the model in memory, its layers and its LoRA modules.
- `loading`, `tokenizer`: from a name to both; `memory`, `size`: whether they fit, how many parameters there are;
  `errors`, `explain`: what can be wrong.
- `weight_files`: files that are cut or something else; `whole`: that every weight that reads text came from one.
- `wrappers`: models that read images too, by their text part; `families`: what is true of one family alone.
- `gguf`, `gguf_tokenizer`: GGUF files, converted once into a folder.
- `asking`: chat template, end of an answer and their switches; `positions`: how long a text may be.
- `adapters`: PEFT LoRA adapters; `adapter_files`, `adapter_names`, `base_weights`: their files as trainers leave them;
  `adapter_kinds`: which are plain; `in_effect`: that what was loaded acts; `merged`: those of other kinds.
"""

from misdirection.models.adapter_kinds import matrices_in
from misdirection.models.adapters import add_adapter, drop_adapter, remove_adapter
from misdirection.models.asking import asked_of, set_asking
from misdirection.models.errors import (
    AdapterMismatchError,
    GatedModelError,
    MissingTokenizerError,
    MissingWeightsError,
    ModelError,
    NotEnoughMemoryError,
    UnreachableModelError,
)
from misdirection.models.gguf import gguf_file, is_gguf, local_folder
from misdirection.models.loading import load_model
from misdirection.models.merged import load_merged, needs_merging
from misdirection.models.number_format import STORED
from misdirection.models.resident import Model, find_layers, layer_of, lora_modules, wrap
from misdirection.models.size import count_parameters
from misdirection.models.tokenizer import load_tokenizer

__all__ = [
    "STORED",
    "AdapterMismatchError",
    "GatedModelError",
    "MissingTokenizerError",
    "MissingWeightsError",
    "Model",
    "ModelError",
    "NotEnoughMemoryError",
    "UnreachableModelError",
    "add_adapter",
    "asked_of",
    "count_parameters",
    "drop_adapter",
    "find_layers",
    "gguf_file",
    "is_gguf",
    "layer_of",
    "load_merged",
    "load_model",
    "load_tokenizer",
    "local_folder",
    "lora_modules",
    "matrices_in",
    "needs_merging",
    "remove_adapter",
    "set_asking",
    "wrap",
]
