"""Make `.venv/bench`: the rivals alone, on top of the project's own environment; standard library only.

They bring some forty packages along (wandb, datasets, typeguard's pytest plugin, ...) that nobody should meet in the
tests; and a second PyTorch must not be installed. So they get an environment that sees the first one through a .pth
file: pip finds PyTorch and transformers there and adds only what is missing.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".venv" / "bench"
PYTHON = BENCH / "bin" / "python"


def main() -> None:
    """Make or refresh the environment, then leave the stamp `.venv/bench/.ok`."""
    start = time.time()
    ours = sysconfig.get_path("purelib")
    if not Path(ours).is_relative_to(ROOT / ".venv"):
        sys.exit(f"run this with {ROOT / '.venv'}'s Python (make bench does)")
    print("making .venv/bench: transformer-lens and nnsight beside the project's own environment", flush=True)
    subprocess.run([sys.executable, "-m", "venv", BENCH], check=True)
    place = BENCH / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (place / "misdirection-main.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    if subprocess.run([*install, "-c", ROOT / "constraints.txt", *_rivals()], check=False).returncode:
        sys.exit("the rivals could not be installed; pip's last lines, above, say why")
    if list(place.glob("torch-*")):
        sys.exit(f"pip installed a second PyTorch in {BENCH}; remove that folder and run `make .venv/.ok` first")
    (BENCH / ".ok").touch()
    print(f"ready after {time.time() - start:.0f} s", flush=True)


def _rivals() -> list[str]:
    """The extra [bench] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["bench"]


if __name__ == "__main__":
    main()
