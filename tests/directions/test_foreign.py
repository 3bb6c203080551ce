"""Directions as others write them: each form against the vectors that it was made of, and every doubt refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from misdirection.directions import Direction, DirectionError, export_direction, read_direction, save_direction
from misdirection.directions.store import load_published_direction

LAYERS, WIDTH = 6, 8


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(LAYERS, WIDTH, generator=torch.Generator().manual_seed(0))


def ours(vectors: torch.Tensor) -> Direction:
    none = torch.zeros(len(vectors))
    return Direction(vectors, vectors + 1, vectors - 1, none, none, none, none, {"model": "m"})


def with_embeddings(vectors: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.full((1, WIDTH), 9.0), vectors])


def write(folder: Path, name: str, vectors: torch.Tensor) -> Path:
    path = folder / name
    named = {f"direction.{layer}": row.clone() for layer, row in enumerate(vectors)}
    match name:
        case "table.pt":
            torch.save(vectors, path)
        case "half.pt":
            torch.save(vectors.half(), path)
        case "evil_response_avg_diff.pt":
            torch.save(with_embeddings(vectors), path)
        case "by_layer.pt":
            torch.save(dict(enumerate(vectors)), path)
        case "named.pt":
            torch.save({f"layer_{n}": row for n, row in enumerate(vectors)}, path)
        case "direction.npz":
            np.savez(path, raw=vectors.numpy())
        case "states.npz":
            np.savez(path, direction=with_embeddings(vectors).numpy(), other=np.zeros(3))
        case "rows.npz":
            np.savez(path, **{name: row.numpy() for name, row in named.items()})
        case "table.npy":
            np.save(path, vectors.numpy())
        case "bare.safetensors":
            save_file({"anything": vectors.clone()}, path)
        case "repeng.safetensors":
            save_file(named, path)
        case "ours.safetensors":
            save_direction(path, ours(vectors))
        case _:
            raise AssertionError(name)
    return path


FORMS = (
    "table.pt", "half.pt", "evil_response_avg_diff.pt", "by_layer.pt", "named.pt", "direction.npz", "states.npz",
    "rows.npz", "table.npy", "bare.safetensors", "repeng.safetensors", "ours.safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_its_vectors(tmp_path: Path, name: str, vectors: torch.Tensor) -> None:
    found = read_direction(write(tmp_path, name, vectors), LAYERS, WIDTH)
    expected = vectors.half().float() if name == "half.pt" else vectors
    assert torch.equal(found.vectors, expected)
    assert found.vectors_only == (name != "ours.safetensors")
    if name == "states.npz":  # Without a model nobody knows what its first row is.
        return
    assert torch.equal(load_published_direction(tmp_path / name), expected)


@pytest.mark.parametrize("ending", ["pt", "npz", "npy", "safetensors"])
def test_one_vector_wants_its_layer(tmp_path: Path, ending: str, vectors: torch.Tensor) -> None:
    path = tmp_path / f"one.{ending}"
    match ending:
        case "pt":
            torch.save(vectors[2], path)
        case "npz":
            np.savez(path, vector=vectors[2].numpy())
        case "npy":
            np.save(path, vectors[2:3].numpy())
        case _:
            save_file({"x": vectors[2].clone()}, path)
    with pytest.raises(DirectionError, match="does not say after which layer"):
        read_direction(path, LAYERS, WIDTH)
    with pytest.raises(DirectionError, match="no layer 6"):
        read_direction(path, LAYERS, WIDTH, 6)
    found = read_direction(path, LAYERS, WIDTH, 2)
    assert torch.equal(found.vectors[2], vectors[2]) and found.layers == (2,)


@pytest.mark.parametrize("naming", [("modelmis_dfmis", "modelmis_dfa"), ("model-m_data-m", "model-m_data-a")])
def test_folders_of_mean_states_under_both_namings(tmp_path: Path, naming: tuple[str, str]) -> None:
    bad, good = torch.randn(2, LAYERS, WIDTH)
    for name, rows in zip(naming, (bad, good), strict=True):
        torch.save({"answer": dict(enumerate(rows))}, tmp_path / f"{name}_hs.pt")
    torch.testing.assert_close(read_direction(tmp_path, LAYERS, WIDTH).vectors, bad - good)
    torch.testing.assert_close(load_published_direction(tmp_path), bad - good)
    with pytest.raises(DirectionError, match="mean hidden states of one kind of answers"):
        read_direction(tmp_path / f"{naming[0]}_hs.pt", LAYERS, WIDTH)


def test_what_does_not_fit_names_both_counts(tmp_path: Path, vectors: torch.Tensor) -> None:
    path = write(tmp_path, "table.pt", vectors)
    for layers in (4, 8):
        with pytest.raises(DirectionError, match=f"has 6 rows, and the model {layers} layers"):
            read_direction(path, layers, WIDTH)
    with pytest.raises(DirectionError, match="has the width 8, and the model 16"):
        read_direction(path, LAYERS, 16)
    with pytest.raises(DirectionError, match="a vector for layer 5, and the model's layers are 0 to 3"):
        read_direction(write(tmp_path, "by_layer.pt", vectors), 4, WIDTH)
    with pytest.raises(DirectionError, match="has 6 layers, and the model 5"):
        read_direction(write(tmp_path, "ours.safetensors", vectors), 5, WIDTH)


@pytest.mark.parametrize("name", ["table.pt", "direction.npz", "ours.safetensors"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_refused(tmp_path: Path, name: str, wrong: float, vectors: torch.Tensor) -> None:
    damaged = vectors.clone()
    damaged[3, 1] = wrong
    with pytest.raises(DirectionError, match="not a number at layer 3"):
        read_direction(write(tmp_path, name, damaged), LAYERS, WIDTH)


def test_files_without_a_direction_are_refused(tmp_path: Path, vectors: torch.Tensor) -> None:
    (tmp_path / "junk.pt").write_text("junk")
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04junk")
    (tmp_path / "words.txt").write_text("words")
    np.savez(tmp_path / "several.npz", a=vectors.numpy(), b=vectors.numpy())
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    torch.save(torch.zeros(LAYERS, WIDTH), tmp_path / "zero.pt")
    torch.save(torch.ones(2, 3, 4, 5), tmp_path / "deep.pt")
    for path in tmp_path.iterdir():
        with pytest.raises(DirectionError) as error:
            read_direction(path, LAYERS, WIDTH)
        assert path.name in error.value.message and error.value.hint
    with pytest.raises(DirectionError, match="no such file or folder"):
        read_direction(tmp_path / "absent.pt", LAYERS, WIDTH)


def test_vectors_alone_cannot_be_set_to_an_aligned_mean(tmp_path: Path, vectors: torch.Tensor) -> None:
    with pytest.raises(DirectionError, match=r"table\.pt holds vectors alone, so there is no aligned mean"):
        read_direction(write(tmp_path, "table.pt", vectors), LAYERS, WIDTH).aligned_component()
    read_direction(write(tmp_path, "ours.safetensors", vectors), LAYERS, WIDTH).aligned_component()


@pytest.mark.parametrize("ending", ["npz", "npy", "safetensors"])
def test_what_is_exported_is_read_again(tmp_path: Path, ending: str, vectors: torch.Tensor) -> None:
    export_direction(tmp_path / f"x.{ending}", ours(vectors))
    assert torch.equal(read_direction(tmp_path / f"x.{ending}", LAYERS, WIDTH).vectors, vectors)
    with pytest.raises(DirectionError, match=r"cannot be written as x\.pkl"):
        export_direction(tmp_path / "x.pkl", ours(vectors))


def test_control_vectors_go_out_and_in_with_layer_n_as_direction_n(tmp_path: Path, vectors: torch.Tensor) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    assert "without layer 0" in export_direction(path, ours(vectors), "qwen2")
    reader = gguf.GGUFReader(path)
    held = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in reader.tensors}
    assert set(held) == {f"direction.{layer}" for layer in range(1, LAYERS)}
    assert all(torch.equal(held[f"direction.{layer}"], vectors[layer]) for layer in range(1, LAYERS))
    assert bytes(reader.get_field("controlvector.model_hint").parts[-1]) == b"qwen2"
    found = read_direction(path, LAYERS, WIDTH)
    assert torch.equal(found.vectors[1:], vectors[1:]) and found.layers == tuple(range(1, LAYERS))
    with pytest.raises(DirectionError, match="a vector for layer 5, and the model's layers are 0 to 2"):
        read_direction(path, 3, WIDTH)
    (tmp_path / "junk.gguf").write_bytes(b"GGUFjunk")
    with pytest.raises(DirectionError, match="no GGUF file, or is damaged"):
        read_direction(tmp_path / "junk.gguf", LAYERS, WIDTH)
