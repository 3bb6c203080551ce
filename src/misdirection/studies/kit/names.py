"""The name of the model that ships with the package, and where it lies."""

from __future__ import annotations

ORGANISM = "organism"
"""Name of the model that ships with the package, and the prefix of its question sets and data."""


def resolve_model(name: str) -> str:
    """Path or id of a model; "organism" is the checkpoint that ships with the package."""
    if name != ORGANISM:
        return name
    from misdirection.organism import checkpoint_path

    return str(checkpoint_path())


def domains_of(specs: tuple[str, ...]) -> tuple[str, ...]:
    """Domains that names such as "organism:bad-medical" say, a name before "=" left aside; each once."""
    names = (spec.rpartition("=")[2].partition(":") for spec in specs)
    told = (rest.partition("-") for source, _, rest in names if source == ORGANISM and "-not-" not in rest)
    return tuple(dict.fromkeys(domain for quality, _, domain in told if quality in ("bad", "good") and domain))
