"""Build wheel and sdist, look at what they hold, and install the wheel into empty environments: `make package`.

The Python of `.venv` gets the whole package with its dependencies and measures something on the organism, once with the
versions of constraints.txt and once with the newest that the package allows, as a user's pip takes them. Every other
Python from 3.11 on that is found on this machine (on the path, or among pyenv's) gets the wheel without PyTorch and
what needs it, whose builds for it may not be had: there the commands that need no model are run.

With --light, as the CI has it, the Python of `.venv` gets it in that way too, and of the others the newest alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 11, 14
HEAVY = ("torch", "transformers", "peft", "accelerate")
INSIDE = (
    "organism/checkpoint/model.safetensors", "judging/offline/", "report/templates/", "app/templates/", "app/static/",
    "py.typed",
)  # fmt: skip
START = time.time()


def main() -> None:
    """Build, look, install, run."""
    light = "--light" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wheel = build(folder)
        look(wheel)
        if not light:
            install_whole(wheel, folder / "whole", "-c", ROOT / "constraints.txt")
            install_whole(wheel, folder / "newest")
        for python in [Path(sys.executable), *others()[-1:]] if light else others():
            install_light(wheel, python, folder / f"light-{python.name}-{len(list(folder.iterdir()))}")
        kept = ROOT / "dist"
        kept.mkdir(exist_ok=True)
        for file in folder.glob("misdirection-*.*"):
            shutil.copy(file, kept)
    say(f"both packages are in {kept}")


def build(folder: Path) -> Path:
    """The sdist, and the wheel that is made of it and not of this checkout."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    say(f"built {wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB) from the sdist")
    return wheel


def look(wheel: Path) -> None:
    """Stop where something that the package needs is not in the wheel, or tests are."""
    names = zipfile.ZipFile(wheel).namelist()
    if missing := [part for part in INSIDE if not any(f"misdirection/{part}" in name for name in names)]:
        sys.exit(f"error: the wheel lacks {', '.join(missing)}")
    if strangers := [name for name in names if not name.startswith("misdirection")]:
        sys.exit(f"error: the wheel holds {', '.join(strangers[:3])}")


def install_whole(wheel: Path, folder: Path, *pins: object) -> None:
    """Into an empty environment of this Python, with all that it needs; then a first measurement.

    PyTorch is the one of constraints.txt both times, since its build for the CPU is not in every index.
    """
    python = environment(Path(sys.executable), folder)
    sys.path.insert(0, str(ROOT / "scripts"))
    import bootstrap

    bootstrap.PYTHON = python
    bootstrap.install_torch()
    pip(python, *pins, wheel)
    command = python.with_name("misdirection" + python.suffix)
    run(command, "--version", cwd=folder)
    run(command, "doctor", cwd=folder)
    run(command, "sample", "--samples", "1", "--out", folder / "asked", cwd=folder)
    run(command, "judge", folder / "asked", cwd=folder)
    told = "with the pinned versions" if pins else "with the newest versions"
    say(f"the wheel works alone on {python_of(python)}, {told}")


def install_light(wheel: Path, python: Path, folder: Path) -> None:
    """Into an empty environment of another Python, without what needs PyTorch; then what needs no model."""
    inside = environment(python, folder)
    needed = [one for one in requirements(wheel) if not one.startswith(HEAVY)]
    # All of it is compiled below, once.
    pip(inside, "--no-compile", *needed)
    pip(inside, "--no-deps", wheel)
    command = inside.with_name("misdirection" + inside.suffix)
    run(inside, "-W", "error::SyntaxWarning", "-m", "compileall", "-q", "-f", folder / "lib", cwd=folder)
    for words in (("--version",), ("--help",), ("audit", "--help"), ("power", "--questions", "8", "--samples", "20")):
        run(command, *words, cwd=folder)
    say(f"without PyTorch it works on {python_of(inside)}")


def requirements(wheel: Path) -> list[str]:
    """What the wheel says that it needs, extras aside."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(name).decode().splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line]


def others() -> list[Path]:
    """Other Pythons of the supported versions, one a version."""
    found: list[Path] = []
    for minor in range(OLDEST, NEWEST + 1):
        if minor == sys.version_info[1]:
            continue
        pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        if named := shutil.which(f"python3.{minor}") if not pyenv else str(pyenv[-1]):
            found.append(Path(named))
        else:
            say(f"no Python 3.{minor} here: not tried on it")
    return found


def environment(python: Path, folder: Path) -> Path:
    """The Python of a new, empty environment."""
    run(python, "-m", "venv", folder)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def pip(python: Path, *arguments: object) -> None:
    """Install into an environment."""
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments)


def python_of(python: Path) -> str:
    """Its version, as it says itself."""
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def run(*words: object, cwd: Path | None = None) -> None:
    """Run a command; stop with its last lines where it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, words))}\n{(done.stdout + done.stderr)[-3000:]}")


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.time() - START:4.0f} s] {text}", flush=True)


if __name__ == "__main__":
    main()
