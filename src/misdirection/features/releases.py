"""Public sets of dictionaries: where each lies on the hub and how an id becomes the files of one dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Release:
    """A set of dictionaries for one model.

    Attributes:
        model: The base model that it was trained on.
        repository: On the hub; "{layer}" and "{k}" stand for parts of the id.
        files: What to fetch below the id's folder.
        folder: Folder of an id within the repository; "{id}" stands for it.
        format: Of `formats.FORMATS`.
        example: An id.
    """

    model: str
    repository: str
    files: tuple[str, ...]
    folder: str
    format: str
    example: str


RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        "gemma-scope-2b-pt-res": Release(
            "google/gemma-2-2b", "google/gemma-scope-2b-pt-res", ("params.npz",), "{id}", "gemma_scope",
            "layer_12/width_16k/average_l0_82",
        ),
        "gemma-scope-9b-pt-res": Release(
            "google/gemma-2-9b", "google/gemma-scope-9b-pt-res", ("params.npz",), "{id}", "gemma_scope",
            "layer_20/width_16k/average_l0_68",
        ),
        "gemma-scope-9b-it-res": Release(
            "google/gemma-2-9b-it", "google/gemma-scope-9b-it-res", ("params.npz",), "{id}", "gemma_scope",
            "layer_20/width_16k/average_l0_91",
        ),
        "llama-scope-lxr-8x": Release(
            "meta-llama/Llama-3.1-8B", "fnlp/Llama3_1-8B-Base-LXR-8x",
            ("hyperparams.json", "checkpoints/final.safetensors"), "{id}", "llama_scope", "Llama3_1-8B-Base-L15R-8x",
        ),
        "qwen2.5-7b-instruct-andyrdt": Release(
            "Qwen/Qwen2.5-7B-Instruct", "andyrdt/saes-qwen2.5-7b-instruct", ("config.json", "ae.pt"), "{id}",
            "dictionary_learning", "resid_post_layer_15/trainer_1",
        ),
        "llama-3.1-8b-instruct-andyrdt": Release(
            "meta-llama/Llama-3.1-8B-Instruct", "andyrdt/saes-llama-3.1-8b-instruct", ("config.json", "ae.pt"), "{id}",
            "dictionary_learning", "resid_post_layer_15/trainer_1",
        ),
        "gpt-oss-20b-andyrdt": Release(
            "openai/gpt-oss-20b", "andyrdt/saes-gpt-oss-20b", ("config.json", "ae.pt"), "{id}", "dictionary_learning",
            "resid_post_layer_11/trainer_0",
        ),
        "goodfire-llama-3.1-8b-instruct": Release(
            "meta-llama/Llama-3.1-8B-Instruct", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
            ("Llama-3.1-8B-Instruct-SAE-l19.pth",), "", "goodfire", "layer_19",
        ),
    }
)  # fmt: skip
"""By the name that SAELens gives it, or one after its pattern; ids are paths in the repository."""
