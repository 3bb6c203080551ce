"""Further files of directions: each form against the vectors that it was made of, and every doubt refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from misdirection import progress
from misdirection.directions import DirectionError, read_direction, save_direction

LAYERS, WIDTH = 6, 8
ROWS = torch.randn(LAYERS, WIDTH, generator=torch.Generator().manual_seed(0))
BEFORE = torch.cat([torch.full((1, WIDTH), 9.0), ROWS])
TORCH: dict[str, Any] = {
    "list": list(ROWS),
    "tuple": tuple(ROWS),
    "list with embeddings": list(BEFORE),
    "row of one": ROWS[:, None],
    "row of one with embeddings": BEFORE[:, None],
    "parameter": torch.nn.Parameter(ROWS),
    "float64": ROWS.double(),
    "numbers with embeddings": dict(enumerate(BEFORE)),
    "texts": {str(layer): row for layer, row in enumerate(ROWS)},
    "within": {"layers": dict(enumerate(ROWS)), "model": "m"},
    "list within": {"direction": list(ROWS)},
    "numbers beside": {"vectors": ROWS.flip(0), "layers": list(range(LAYERS))[::-1]},
}
NAMES = ("model.layers.{}", "model.layers.{}.steering_vector", "blocks.{}.hook_resid_post", "L{}", "layers_{}", "h.{}")


@pytest.mark.parametrize("name", TORCH)
def test_torch_files(tmp_path: Path, name: str) -> None:
    torch.save(TORCH[name], tmp_path / "a.pt")
    torch.testing.assert_close(read_direction(tmp_path / "a.pt", LAYERS, WIDTH).vectors, ROWS, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_layers(tmp_path: Path, name: str) -> None:
    save_file({name.format(layer): ROWS[layer].clone() for layer in (1, 4)}, tmp_path / "a.safetensors")
    found = read_direction(tmp_path / "a.safetensors", LAYERS, WIDTH).vectors
    assert torch.equal(found[[1, 4]], ROWS[[1, 4]]) and not found[[0, 2, 3, 5]].any()


@pytest.mark.parametrize(
    "name", ["model.layers.{}.mlp", "blocks.{}.hook_resid_pre", "model.layers.{}.self_attn.o_proj"]
)
def test_names_of_other_places_are_refused(tmp_path: Path, name: str) -> None:
    save_file({name.format(layer): ROWS[layer].clone() for layer in range(LAYERS)}, tmp_path / "a.safetensors")
    with pytest.raises(DirectionError, match="not the residual stream after a decoder layer"):
        read_direction(tmp_path / "a.safetensors", LAYERS, WIDTH)


def test_arrays_in_their_order_and_in_other_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", *ROWS.numpy())
    np.save(tmp_path / "big.npy", ROWS.numpy().astype(">f4"))
    for name in ("rows.npz", "big.npy"):
        assert torch.equal(read_direction(tmp_path / name, LAYERS, WIDTH).vectors, ROWS)


def test_a_layer_beside_the_vector_is_its_layer(tmp_path: Path) -> None:
    torch.save({"direction": ROWS[2], "layer": 2}, tmp_path / "a.pt")
    np.savez(tmp_path / "a.npz", vector=ROWS[2].numpy(), layer=np.array(2))
    for name in ("a.pt", "a.npz"):
        found = read_direction(tmp_path / name, LAYERS, WIDTH)
        assert found.layers == (2,) and torch.equal(found.vectors[2], ROWS[2])
        assert torch.equal(read_direction(tmp_path / name, LAYERS, WIDTH, 2).vectors, found.vectors)
        assert read_direction(tmp_path / name, LAYERS, WIDTH, otherwise=3).layers == (2,)
        with pytest.raises(DirectionError, match="says that it belongs to layer 2, not 3"):
            read_direction(tmp_path / name, LAYERS, WIDTH, 3)


def test_the_layer_that_is_steered_is_that_of_a_vector_which_does_not_say(tmp_path: Path) -> None:
    torch.save(ROWS[2], tmp_path / "one.pt")
    torch.save(ROWS, tmp_path / "table.pt")
    assert read_direction(tmp_path / "one.pt", LAYERS, WIDTH, otherwise=3).layers == (3,)
    assert torch.equal(read_direction(tmp_path / "table.pt", LAYERS, WIDTH, otherwise=3).vectors, ROWS)


def test_a_layer_named_for_several_vectors_is_refused(tmp_path: Path) -> None:
    torch.save(ROWS, tmp_path / "table.pt")
    torch.save(dict(enumerate(ROWS)), tmp_path / "rows.pt")
    save_direction(tmp_path / "ours.safetensors", read_direction(tmp_path / "table.pt", LAYERS, WIDTH))
    for name in ("table.pt", "rows.pt", "ours.safetensors"):
        with pytest.raises(DirectionError, match="--direction-layer names nothing"):
            read_direction(tmp_path / name, LAYERS, WIDTH, 2)


def test_a_transposed_table_is_called_so(tmp_path: Path) -> None:
    torch.save(ROWS.T.contiguous(), tmp_path / "a.pt")
    with pytest.raises(DirectionError) as error:
        read_direction(tmp_path / "a.pt", LAYERS, WIDTH)
    assert "looks transposed" in (error.value.hint or "")


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.npz", "a.npy", "a.gguf"])
def test_a_pointer_is_no_damaged_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DirectionError, match="pointer of Git LFS") as error:
        read_direction(tmp_path / name, LAYERS, WIDTH)
    assert error.value.hint == "fetch it with: git lfs pull"


def test_what_was_read_is_said(tmp_path: Path) -> None:
    torch.save(list(BEFORE), tmp_path / "a.pt")
    torch.save({2: ROWS[2], 4: ROWS[4]}, tmp_path / "b.pt")
    told = io.StringIO()
    progress.enable(told)
    try:
        for name in ("a.pt", "a.pt", "b.pt"):
            read_direction(tmp_path / name, LAYERS, WIDTH)
    finally:
        progress.disable()
    assert told.getvalue().splitlines() == [
        "  direction: the first of the 7 rows of a.pt is the embeddings', and is left out; the last is behind the "
        "final norm where it comes from hidden_states: steer at another layer",
        "  direction: a.pt has vectors after layers 0 to 5, width 8",
        "  direction: b.pt has vectors after 2 of 6 layers, layers 2 to 4, width 8",
    ]


@pytest.mark.parametrize("prefix", ["mlp.layers.{}", "resid_pre.layer_{}", "self_attn.layer.{}.vector"])
def test_a_place_that_stands_before_the_number_is_refused(prefix: str, tmp_path: Path) -> None:
    torch.save({prefix.format(layer): torch.ones(8) for layer in range(4)}, tmp_path / "v.pt")
    with pytest.raises(DirectionError, match="not the residual stream after a decoder layer"):
        read_direction(tmp_path / "v.pt", 4, 8)


def test_two_directions_that_differ_are_refused_and_a_row_of_the_table_is_not(tmp_path: Path) -> None:
    table = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    np.savez(tmp_path / "v.npz", direction=table.numpy(), steering_vector=2 * table.numpy())
    with pytest.raises(DirectionError, match="under 'direction' and under 'steering_vector', and they differ"):
        read_direction(tmp_path / "v.npz", 4, 8)
    np.savez(tmp_path / "v.npz", vector=table[2].numpy(), vectors=table.numpy(), direction=table.numpy())
    assert torch.equal(read_direction(tmp_path / "v.npz", 4, 8).vectors, table)


def test_whole_numbers_by_layer_are_no_direction(tmp_path: Path) -> None:
    torch.save({layer: torch.arange(8) for layer in range(4)}, tmp_path / "v.pt")
    with pytest.raises(DirectionError, match="none is told to be the direction"):
        read_direction(tmp_path / "v.pt", 4, 8)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_control_vectors_in_every_number_format_are_numbers_and_not_their_bytes(kind: str, tmp_path: Path) -> None:
    import gguf

    table = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    held = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "controlvector")
    for layer in range(1, 4):
        writer.add_tensor(f"direction.{layer}", gguf.quants.quantize(table[layer].numpy(), held), raw_dtype=held)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for width in (32, None):
        found = read_direction(tmp_path / "v.gguf", 4, width).vectors
        assert torch.allclose(found[1:], table[1:], atol=0.02) and not found[0].any()
