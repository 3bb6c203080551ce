"""What this machine has: packages and their versions, devices and memory, what an extra lacks, which model fits."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

from misdirection.hub import offline_hint
from misdirection.processor import processor_words

BESIDE = 2_500_000_000
"""Bytes that an audit takes beside the weights: activations, its batches, Python and its libraries."""

FORMATS = {"bfloat16": 2, "float32": 4}
"""Bytes a parameter."""

FLAGS = ("avx512_bf16", "amx_bf16", "avx512_vnni", "amx_int8")
"""Instructions for half and eight-bit products, as Linux names them."""

SIZES = (0.5, 1, 1.5, 3, 4, 7, 8, 14, 24, 32, 70, 120, 235, 400, 670)
"""Sizes in which models come, in billions of parameters."""

_TOOLS = frozenset({"dev", "bench", "bench-traits", "docs", "sae-tests"})
"""Extras for work on this package itself."""


@dataclass(frozen=True)
class Package:
    """A package that is needed.

    Attributes:
        name: As pip knows it.
        version: The one that is there; None for none.
        wanted: The versions that do.
        fits: Whether it is one of them.
    """

    name: str
    version: str | None
    wanted: str
    fits: bool


@dataclass(frozen=True)
class Extra:
    """An extra, and what it lacks.

    Attributes:
        name: As in `pip install 'misdirection[name]'`.
        missing: Packages that are not there, or in another version.
    """

    name: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """Where a model can be loaded.

    Attributes:
        name: As `--device` takes it.
        what: Its maker's name.
        total: Bytes of memory.
        free: Bytes that are free now.
    """

    name: str
    what: str
    total: int
    free: int

    def billions(self, dtype: str) -> float:
        """The largest model that an audit has room for, in billions of parameters."""
        return max(0.0, (self.free - BESIDE) / FORMATS[dtype] / 1e9)

    def size(self, dtype: str) -> float | None:
        """The largest of the usual sizes that fits, in billions of parameters; None where none does."""
        return max((size for size in SIZES if size <= self.billions(dtype)), default=None)


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        version: Of misdirection.
        python: Its version.
        system: Operating system and processor.
        cores: Cores that this process may use.
        flags: What the processor says that it multiplies fast.
        disk: Free bytes where runs are written.
        hub: Why no hub is asked; None where it is.
        packages: What the package needs.
        extras: What is optional.
        devices: Where models can be loaded.
    """

    version: str
    python: str
    system: str
    cores: int
    flags: tuple[str, ...]
    disk: int
    hub: str | None
    packages: tuple[Package, ...]
    extras: tuple[Extra, ...]
    devices: tuple[Device, ...]

    @property
    def faults(self) -> list[str]:
        """What will not work, a sentence each."""
        wrong = [package for package in self.packages if not package.fits]
        return [
            f"{p.name} {p.version or 'is missing'}: {p.wanted or 'any version'} is wanted; "
            f"pip install '{p.name}{p.wanted}'"
            for p in wrong
        ]


def examine() -> Examination:
    """Look at this machine; nothing is loaded and nobody is asked."""
    return Examination(
        version=importlib.metadata.version("misdirection"),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        flags=tuple(flag for flag in FLAGS if flag in processor_words()),
        disk=shutil.disk_usage(Path.cwd()).free,
        hub=offline_hint(),
        packages=tuple(
            _package(need) for need in needs() if need.marker is None or need.marker.evaluate({"extra": ""})
        ),
        extras=extras(),
        devices=devices(),
    )


@cache
def needs() -> tuple[Requirement, ...]:
    """What the installed package asks for, that of its extras too."""
    return tuple(Requirement(text) for text in importlib.metadata.requires("misdirection") or ())


def extras() -> tuple[Extra, ...]:
    """Each extra that is meant for users, and what it lacks here."""
    names = importlib.metadata.metadata("misdirection").get_all("Provides-Extra") or []
    return tuple(Extra(name, _lacking(name)) for name in sorted(names) if name not in _TOOLS)


def _lacking(extra: str) -> tuple[str, ...]:
    own = [need for need in needs() if need.marker and not need.marker.evaluate({"extra": ""})]
    asked = [_package(need) for need in own if need.marker and need.marker.evaluate({"extra": extra})]
    return tuple(f"{package.name}{package.wanted}" for package in asked if not package.fits)


def _package(need: Requirement) -> Package:
    try:
        version = importlib.metadata.version(need.name)
    except importlib.metadata.PackageNotFoundError:
        return Package(need.name, None, str(need.specifier), False)
    return Package(need.name, version, str(need.specifier), need.specifier.contains(version, prereleases=True))


def devices() -> tuple[Device, ...]:
    """The CPU, and the accelerators that PyTorch sees."""
    import psutil
    import torch

    from misdirection.models.memory import free_memory

    total, left = int(psutil.virtual_memory().total), free_memory()
    found = [Device("cpu", platform.processor() or platform.machine(), total, left)]
    for place in range(torch.cuda.device_count()):
        free, whole = torch.cuda.mem_get_info(place)
        found.append(Device(f"cuda:{place}", torch.cuda.get_device_name(place), whole, free))
    if torch.backends.mps.is_available():
        # The memory is the CPU's own.
        found.append(Device("mps", "Apple GPU", total, left))
    return tuple(found)
