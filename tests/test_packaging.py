"""What stands beside pyproject.toml says the same as it; the packages themselves are tried by `make package`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHERS = {"torch": "pytorch"}


def test_the_recipe_for_conda_needs_what_the_package_needs() -> None:
    text = (ROOT / "conda" / "meta.yaml").read_text(encoding="utf-8")
    version = re.search(r'set version = "(.*)"', text)
    assert version is not None and version[1] == PROJECT["version"]
    recipe = yaml.safe_load(re.sub(r"{{.*?}}", "x", re.sub(r"{%.*%}", "", text)))
    split = (re.match(r"([\w-]+)(.*)", one) for one in PROJECT["dependencies"])
    wanted = {f"{OTHERS.get(one[1], one[1])} {one[2]}" for one in split if one}
    python = f"python {PROJECT['requires-python']}"
    assert set(recipe["requirements"]["run"]) == {*wanted, python}
    assert python in recipe["requirements"]["host"]
    script = PROJECT["scripts"]["misdirection"]
    assert recipe["build"]["entry_points"] == [f"misdirection = {script}"]


def test_the_image_installs_extras_that_there_are_and_the_pinned_pytorch() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (extras,) = re.findall(r'"\.\[(.*)\]"', text)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert len(re.findall(r"^torch==([^+\n]*)", pins, re.MULTILINE)) == 1
    (image,) = re.findall(r"^FROM python:3\.(\d+)", text, re.MULTILINE)
    assert int(image) >= int(PROJECT["requires-python"].removeprefix(">=3."))
