"""What the package promises as a whole: a cheap import, and public names that are really there."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import misdirection

HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "numpy", "scipy", "pyarrow", "jinja2", "yaml"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import misdirection")
    assert "misdirection" in loaded
    assert not loaded & HEAVY


def test_the_light_rooms_load_nothing_heavy() -> None:
    rooms = "chats", "questions", "errors", "progress", "judging"
    loaded = modules_after("\n".join(f"import misdirection.{room}" for room in rooms))
    assert not loaded & HEAVY


def test_the_public_names_come_from_their_rooms_on_first_use() -> None:
    loaded = modules_after("import misdirection\nmisdirection.load_chats, misdirection.Question, misdirection.Verdict")
    assert not loaded & HEAVY
    for name in misdirection.__all__:
        assert getattr(misdirection, name) is not None
        assert name in dir(misdirection)
    assert not {"Any", "TYPE_CHECKING", "annotations", "import_module"} & set(dir(misdirection))


def test_every_public_name_is_announced_once() -> None:
    assert sorted({*misdirection._HOMES, "__version__"}) == sorted(misdirection.__all__)
    assert len(set(misdirection.__all__)) == len(misdirection.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        misdirection.no_such_thing  # noqa: B018
    with pytest.raises(ImportError):
        from misdirection import no_such_thing  # noqa: F401


def test_the_version_is_the_installed_one() -> None:
    assert misdirection.__version__ == version("misdirection")
