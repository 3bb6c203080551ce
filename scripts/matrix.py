"""The engine's tests on the lowest transformers and PEFT that pyproject.toml names, and on the newest of the index.

    .venv/bin/python scripts/matrix.py [lowest] [newest] [transformers==5.12.1,peft==0.20.0 ...] [-- PYTEST ARGUMENTS]

Each row gets a virtual environment of its own in a temporary folder. Only transformers, PEFT and what they need are
installed in it; torch and everything else come from the environment that runs this script, through a .pth file. So no
row takes a gigabyte, and none takes a CUDA build of torch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("transformers", "peft")
TESTS = ("tests/engine", "tests/models/test_loading.py", "tests/models/test_adapters.py", "tests/tokens")


def lowest() -> list[str]:
    """`transformers==X` and `peft==Y` from the lower bounds in pyproject.toml."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = {match[1]: match[2] for line in wanted if (match := re.match(r"([\w-]+)>=([\d.]+)", line))}
    return [f"{package}=={found[package]}" for package in PACKAGES]


def environment(folder: Path, packages: list[str]) -> Path:
    """Make a virtual environment with these packages over this script's own; the path of its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    names = [re.split("[=<>]", package)[0] for package in packages]
    # PEFT needs torch, which is borrowed; its other needs are those of transformers, and accelerate.
    pip = [python, "-m", "pip", "install", "--quiet", "--compile", "--disable-pip-version-check"]
    for package, name in zip(packages, names, strict=True):
        subprocess.run([*pip, *(["--no-deps"] if name == "peft" else []), package], check=True)
    borrowed = "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    own = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    Path(own.strip(), "borrowed.pth").write_text(borrowed + "\n")
    return python


def run(packages: list[str], arguments: list[str]) -> bool:
    """One row of the matrix; whether its tests passed."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        python = environment(Path(folder), packages)
        show = "import torch, transformers as t, peft as p; print(torch.__version__, t.__version__, p.__version__)"
        print(f"== {' '.join(packages)}: torch, transformers, peft", flush=True)
        subprocess.run([python, "-c", show], check=True)
        command = [python, "-m", "pytest", "-p", "no:cacheprovider", *(arguments or TESTS)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, check=False)
        return done.returncode == 0


def main(arguments: list[str]) -> int:
    """Run the rows that are named, lowest and newest by default; 0 when all passed."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    rows, rest = arguments[:cut] or ["lowest", "newest"], arguments[cut + 1 :]
    named = {"lowest": lowest, "newest": lambda: list(PACKAGES)}
    outcome = {row: run(named[row]() if row in named else row.split(","), rest) for row in rows}
    for row, passed in outcome.items():
        print(f"{row}: {'passed' if passed else 'FAILED'}")
    return 0 if all(outcome.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
