"""What would be pushed, whole: the files by their names in the repository, the card among them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misdirection.artefacts import read_json, whole_folder
from misdirection.errors import MisdirectionError
from misdirection.hub import is_an_id
from misdirection.sharing.cards import make_card
from misdirection.sharing.measured import beside, figures_of
from misdirection.sharing.things import CARD, Kind, Thing, open_thing
from misdirection.studies.kit.config import ORGANISM

if TYPE_CHECKING:
    from misdirection.directions import Direction
    from misdirection.features import Dictionary


@dataclass(frozen=True)
class Parcel:
    """What would be pushed.

    Attributes:
        kind: What it is.
        repo: OWNER/NAME.
        files: Path, or bytes, by the name in the repository.
        card: README.md, which is among them.
        left: Names of files that lie beside them and stay here.
        figures: Where what was measured comes from; None where nothing was.
    """

    kind: Kind
    repo: str
    files: Mapping[str, Path | bytes]
    card: str
    left: tuple[str, ...]
    figures: Path | None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by name."""
        return {n: len(f) if isinstance(f, bytes) else f.stat().st_size for n, f in self.files.items()}

    def write(self, folder: str | Path) -> None:
        """Write all of it into a new folder, whole or not at all.

        Raises:
            MisdirectionError: Something is there.
        """
        place = Path(folder)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise MisdirectionError(f"{place} is there", "give a new or empty folder")
        with whole_folder(place) as partial:
            for name, held in self.files.items():
                if isinstance(held, bytes):
                    (partial / name).write_bytes(held)
                else:
                    shutil.copyfile(held, partial / name)


@contextmanager
def pack(
    what: str | Path | Direction | Dictionary,
    repo: str,
    *,
    base: str | None = None,
    figures: str | Path | None = None,
    license: str = "",
) -> Generator[Parcel]:
    """What would be pushed, as long as the block lasts.

    Args:
        what: A direction's file, a run that holds one, the folder of a dictionary, adapter or whole model; or a
            direction or dictionary in memory.
        repo: OWNER/NAME.
        base: Id of the model that it belongs to; by default what the thing says of itself.
        figures: Run (its folder or findings.json) or file of dictionaries' figures, whose figures stand in the card; by
            default those of the run that it lies in.
        license: As the hub names licenses; none is said without it.

    Raises:
        MisdirectionError: No id of a repository, nothing that can be pushed, a base that nobody else would find, or
            figures that are none.
    """
    demand_repo(repo)
    if base:
        _demand_id(base, "--base OWNER/NAME, as the hub knows it")
    with tempfile.TemporaryDirectory() as workspace:
        thing = open_thing(what, Path(workspace))
        of = _base_id(thing, base)
        source = Path(figures) if figures else beside(thing.place)
        tables = figures_of(source, thing.place.name if thing.place else "") if source else ()
        card = make_card(thing, repo, of, tables, license)
        files: dict[str, Path | bytes] = {**thing.files, CARD: card.encode()}
        if thing.kind == "adapter":
            files["adapter_config.json"] = _config(thing, of)
        yield Parcel(thing.kind, repo, files, card, thing.left, source)


def demand_repo(repo: str) -> None:
    """Refuse what is no OWNER/NAME.

    Raises:
        MisdirectionError: It is none.
    """
    hint = "give OWNER/NAME, as me/my-direction"
    _demand_id(repo, hint)
    if "/" not in repo:
        raise MisdirectionError(f"'{repo}' does not say whose repository it is", hint)


def _demand_id(name: str, hint: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        told = str(error).splitlines()[0].rstrip(".")
        raise MisdirectionError(f"'{name}' names no repository of the hub: {told}", hint) from error


def _base_id(thing: Thing, given: str | None) -> str:
    """The base as the hub knows it: what was given, or what the thing says; "" where that lies on this machine.

    Raises:
        MisdirectionError: It is an adapter, which nobody else could load without its base.
    """
    found = given or (thing.base if thing.base != ORGANISM and is_an_id(thing.base) else "")
    if thing.kind == "adapter" and not found:
        told = f"{thing.base}, which the hub does not have" if thing.base else "not named"
        raise MisdirectionError(
            f"the base of {thing.place} is {told}: nobody else could load the adapter", "--base OWNER/NAME"
        )
    return found


def _config(thing: Thing, base: str) -> bytes:
    """adapter_config.json with the base as others find it."""
    held: Any = read_json(thing.files["adapter_config.json"])
    held["base_model_name_or_path"] = base
    return (json.dumps(held, indent=2, sort_keys=True) + "\n").encode()
