"""Make `.venv` with everything the project needs; standard library only.

Run by `make` whenever pyproject.toml, constraints.txt or this file is newer than the stamp `.venv/.ok`. The pinned
PyTorch goes first: a plain requirement on torch takes the newest build with gigabytes of CUDA packages, also on a
machine without a GPU. The file must parse on any Python 3, to tell an old one what is missing.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST = (3, 11)
START = time.time()


def main() -> None:
    """Build or refresh the environment, then leave the stamp."""
    check_python()
    make_venv()
    install_torch()
    say("installing misdirection and its tools (pins: constraints.txt)")
    if not pip("install", "--compile", "-c", CONSTRAINTS, "-e", f"{ROOT}[dev]"):
        stop(
            "the packages could not be installed; pip's last lines, above, say why", "is there a network, or a mirror?"
        )
    # pip compiles what it installs; the sources of an editable install it leaves alone, and where
    # PYTHONDONTWRITEBYTECODE is set they would be compiled at every start.
    subprocess.run([PYTHON, "-m", "compileall", "-q", ROOT / "src"], check=False)
    check_install()
    (VENV / ".ok").touch()
    say("ready")


def check_python() -> None:
    """Stop on a Python that is too old."""
    if sys.version_info < OLDEST:
        stop(
            f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; {sys.executable} is {platform.python_version()}",
            "install a newer one, then name it: make PYTHON=/path/to/python3.11 ...",
        )


def make_venv() -> None:
    """Make `.venv`, or keep the one that is there when it works, belongs here and has the same Python."""
    if working_venv():
        say(f"using the environment that is in {VENV}")
        return
    say(f"making {VENV} with Python {platform.python_version()}")
    if subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False).returncode:
        stop(
            f"{sys.executable} could not make a virtual environment",
            "its modules venv and ensurepip are needed (on Debian and Ubuntu: apt install python3-venv)",
        )


def working_venv() -> bool:
    """Whether `.venv` runs, was not moved here from elsewhere, and has the Python that was asked for."""
    if not PYTHON.exists():
        return False
    probe = "import sys, pip; print(sys.prefix, *sys.version_info[:2])"
    found = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    return found.stdout.strip() == "{} {} {}".format(VENV, *sys.version_info[:2])


def install_torch() -> None:
    """Install the pinned PyTorch unless a torch is there: a local wheel, else the build that fits the machine."""
    if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
        return
    pin = next(line.strip() for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    install = ("install", "--compile", "-c", CONSTRAINTS, pin)
    # --no-index keeps find-links in force: this succeeds only when a local wheel is configured, and loads nothing down.
    if pip("install", "--dry-run", "--no-deps", "--no-index", pin, quiet=True):
        say(f"installing {pin} from a local wheel")
        done = pip(*install)
    elif platform.system() != "Linux" or shutil.which("nvidia-smi"):
        say(f"installing {pin} from PyPI (a GPU driver, macOS or Windows: the default build fits)")
        done = pip(*install)
    else:
        say(f"installing {pin}, the CPU build (no GPU driver found) from {CPU_INDEX}")
        # The local version keeps pip from taking PyPI's CUDA build in silence when this index does not answer.
        done = pip(*install[:-1], f"{pin}+cpu", "--extra-index-url", CPU_INDEX, "--retries", "1", "--timeout", "30")
        if not done:
            say("that index could not be used; taking PyPI's build, which brings several GB of CUDA packages along")
            done = pip(*install)
    if not done:
        stop(f"{pin} could not be installed; pip's last lines, above, say why", "is there a network, or a mirror?")


def check_install() -> None:
    """Stop when packages contradict each other or the command is not there."""
    if not pip("check", quiet=True):
        pip("check")
        stop("the installed packages contradict each other", "make clean-venv, then try again")


def pip(*arguments: object, quiet: bool = False) -> bool:
    """Run the environment's pip and show where it is; its last lines when it fails. True when it succeeded."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    lines = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in map(str.strip, process.stdout):
        lines.append(line)
        # Small packages come by the dozen and take no time.
        if not quiet and (line.endswith("MB)") or line.startswith("Installing collected")):
            say("  " + line[:100])
    done = process.wait() == 0
    if not done and not quiet:
        print(*lines[-30:], sep="\n", flush=True)
    return done


def say(text: str) -> None:
    """One line of progress with the time spent."""
    print(f"[{time.time() - START:5.0f} s] {text}", flush=True)


def stop(message: str, hint: str) -> None:
    """End with an error and what to do about it."""
    sys.exit(f"error: {message}\n  {hint}")


if __name__ == "__main__":
    main()
