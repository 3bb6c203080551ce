"""What `misdirection doctor` says of this machine."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from tests.cli.conftest import Cli

from misdirection import doctor
from misdirection.doctor import BESIDE, Device, Package, examine, extras
from misdirection.models.memory import free_memory


def test_packages_are_those_of_the_environment() -> None:
    found = {package.name: package for package in examine().packages}
    assert {"torch", "transformers", "peft", "msgspec"} <= set(found) and "aiohttp" not in found
    for name, package in found.items():
        assert package.version == importlib.metadata.version(name) and package.fits
    assert examine().faults == []


def test_what_is_missing_or_of_another_version_is_a_fault(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    wanted = [Requirement("no-such-package>=2"), Requirement("numpy<1"), Requirement('nothing>1; extra == "judges"')]
    monkeypatch.setattr(doctor, "needs", lambda: tuple(wanted))
    missing, old = examine().faults
    assert missing.startswith("no-such-package is missing: >=2 is wanted")
    assert old == f"numpy {importlib.metadata.version('numpy')}: <1 is wanted; pip install 'numpy<1'"
    assert {extra.name: extra.missing for extra in extras()}["judges"] == ("nothing>1",)
    done = cli("doctor")
    assert done.code == 1 and "fault: no-such-package" in done.out and "lacks nothing>1" in done.out


def test_extras_for_work_on_the_package_are_left_out() -> None:
    assert {extra.name for extra in extras()} >= {"judges", "inspect", "sae"}
    assert not {"dev", "bench"} & {extra.name for extra in extras()}


@pytest.mark.parametrize(("free", "usual"), [(2, None), (4, 0.5), (17.5, 7), (150, 70)])
def test_the_largest_model_that_fits(free: float, usual: float | None) -> None:
    device = Device("cuda:0", "a GPU", 200_000_000_000, int(free * 1e9))
    assert device.billions("bfloat16") == max(0.0, (free * 1e9 - BESIDE) / 2e9)
    assert device.size("bfloat16") == usual


def test_json_holds_all_of_it(cli: Cli) -> None:
    done = cli("doctor", "--json")
    told = json.loads(done.out)
    assert done.code == 0 and told["faults"] == [] and told["version"] == importlib.metadata.version("misdirection")
    assert told["devices"][0]["name"] == "cpu" and told["devices"][0]["total"] == psutil.virtual_memory().total
    assert Package(**told["packages"][0]) == examine().packages[0]


@pytest.mark.parametrize("old", [False, True])
def test_a_container_s_limit_counts(tmp_path: Path, old: bool) -> None:
    names = (
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes") if old else ("memory.max", "memory.current")
    )
    for name, value in zip(names, (3_000_000, 2_500_000), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    facts = (tmp_path / names[0]).with_name("memory.stat")
    facts.write_text(f"{'total_' if old else ''}inactive_file 400000\n")
    assert free_memory(tmp_path) == 900_000
    (tmp_path / names[0]).write_text("max\n")
    assert free_memory(tmp_path) > 900_000
