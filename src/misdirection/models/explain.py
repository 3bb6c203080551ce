"""The user's error for what transformers raises while it loads."""

from __future__ import annotations

from pathlib import Path

from misdirection.hub import offline_hint
from misdirection.models.errors import GatedModelError, MissingWeightsError, ModelError, UnreachableModelError


def explain(name: str, error: Exception) -> ModelError:
    """The user's error for what transformers raised while it loaded `name`."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, ModelError):
        return error

    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(link) for link in chain)
    if any(isinstance(link, GatedRepoError) for link in chain) or "gated repo" in text:
        return GatedModelError(
            f"{name} is gated", f"accept its licence at https://huggingface.co/{name} and run: hf auth login"
        )
    if "no file named" in text or "does not appear to have a file named" in text:
        return MissingWeightsError(
            f"{name} holds a configuration but no weights",
            "expected model.safetensors or its shards with an index; a pytorch_model.bin is a pickle and is never read",
        )
    unreachable = any(isinstance(link, OSError) for link in chain) or "Repo id must" in text
    if Path(name).is_dir() or not unreachable:
        return ModelError(f"{name} cannot be loaded: {type(error).__name__}: {error}")
    return UnreachableModelError(
        f"{name} is neither a folder here nor a model that can be reached",
        offline_hint() or "check the spelling; offline, give the path of a local copy (hf download ... makes one)",
    )
