"""Make `.venv/NAME`: the packages of the extra NAME on top of the project's own environment; standard library only.

`bench` brings the rivals of the benchmarks along, `sae-tests` SAELens and sparsify: some forty packages each (wandb,
datasets, typeguard's pytest plugin, ...) that nobody should meet in the other tests, and each its own version of
transformer-lens; and a second PyTorch must not be installed. So each gets an environment that sees the first one
through a .pth file: pip finds PyTorch and transformers there and adds only what is missing. Pins are those of
constraints.txt, or of constraints-NAME.txt where that has one of the same name.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ALONE = {"bench-traits": ("persona-vectors==0.8.10",)}
"""Packages that come without what they ask for: persona-vectors says that it wants Python 3.12, pip gives 0.1.0 for
3.11, and the one file of it that is measured runs on both."""


def main(name: str) -> None:
    """Make or refresh the environment, then leave the stamp `.venv/NAME/.ok`."""
    start = time.time()
    ours = sysconfig.get_path("purelib")
    if not Path(ours).resolve().is_relative_to((ROOT / ".venv").resolve()):
        sys.exit(f"run this with {ROOT / '.venv'}'s Python (make does)")
    folder = ROOT / ".venv" / name
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][name]
    print(f"making {folder}: {', '.join(wanted)}, beside the project's own environment", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    place = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (place / "misdirection-main.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pins = folder / "constraints.txt"
    pins.write_text(constraints(name))
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    if subprocess.run([*install, "-c", pins, *wanted], check=False).returncode:
        sys.exit(f"the extra [{name}] could not be installed; pip's last lines, above, say why")
    if alone := ALONE.get(name):
        subprocess.run([*install, "--no-deps", "--ignore-requires-python", *alone], check=True)
    if list(place.glob("torch-*")):
        sys.exit(f"pip installed a second PyTorch in {folder}; remove that folder and run `make .venv/.ok` first")
    (folder / ".ok").touch()
    print(f"ready after {time.time() - start:.0f} s", flush=True)


def constraints(name: str) -> str:
    """The pins of constraints.txt, those of constraints-NAME.txt in place of theirs."""
    own = ROOT / f"constraints-{name}.txt"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    more = own.read_text().splitlines() if own.exists() else []
    replaced = {line.partition("==")[0].lower() for line in more}
    return "\n".join([*(line for line in lines if line.partition("==")[0].lower() not in replaced), *more, ""])


if __name__ == "__main__":
    main(sys.argv[1])
