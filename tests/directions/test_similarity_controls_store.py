"""Cosines, random controls, and directions on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from misdirection.directions import (
    Direction,
    cosine_table,
    cosines,
    load_direction,
    load_mean_states,
    random_like,
    save_direction,
)
from misdirection.directions.errors import DirectionError
from misdirection.directions.similarity import cosine_matrix
from misdirection.directions.store import load_published_direction
from misdirection.errors import MisdirectionError


def made(layers: int = 3, width: int = 5) -> Direction:
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(layers, width, generator=generator) for _ in range(3)]
    numbers = [torch.rand(layers, generator=generator) for _ in range(4)]
    return Direction(*vectors, *numbers, facts={"model": "m", "aligned": 8, "thresholds": [70.0, 30.0], "seed": 3})


def test_random_directions_have_the_norm_of_each_row_and_one_heading() -> None:
    vectors = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    found = random_like(vectors, 7)
    torch.testing.assert_close(found.norm(dim=-1), torch.tensor([5.0, 0.5, 0.0]))
    torch.testing.assert_close(found[0] / 5, found[1] / 0.5)
    assert found.dtype == vectors.dtype
    torch.testing.assert_close(found, random_like(vectors, 7), rtol=0, atol=0)
    assert not torch.allclose(found, random_like(vectors, 8))
    torch.testing.assert_close(random_like(vectors[0], 7), found[0])


def test_random_directions_spread_over_the_sphere() -> None:
    vector = torch.ones(64)
    draws = torch.stack([random_like(vector, seed) for seed in range(400)])
    # The cosine of a random direction with a fixed one has standard deviation 1 / sqrt(width).
    cosine = draws @ vector / 64
    assert abs(float(cosine.mean())) < 3 / 8 / 20 and 0.1 < float(cosine.std()) < 0.15


def test_cosines_against_hand_computed_ones() -> None:
    one = torch.tensor([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    other = torch.tensor([[0.0, 3.0], [5.0, 5.0], [-1.0, 0.0]])
    torch.testing.assert_close(cosines(one, other), torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64))
    root = 0.5**0.5
    expected = torch.tensor([[1, root, 1], [root, 1, root], [1, root, 1]], dtype=torch.float64)
    torch.testing.assert_close(cosine_matrix(one), expected)
    table = cosine_table({"a": one, "b": other}, layer=2)
    assert table == [{"direction": "a", "a": 1.0, "b": -1.0}, {"direction": "b", "a": -1.0, "b": 1.0}]


def test_a_direction_survives_the_disk_with_its_provenance(tmp_path: Path) -> None:
    direction = made()
    save_direction(tmp_path / "d.safetensors", direction)
    again = load_direction(tmp_path / "d.safetensors")
    for name in ("vectors", "aligned_mean", "misaligned_mean", "norm_low", "norm_high", "shuffled_norm", "stability"):
        assert torch.equal(getattr(again, name), getattr(direction, name)), name
    assert again.facts == direction.facts
    # Anyone can read it: the facts stand in the file's own metadata, as JSON.
    with safe_open(tmp_path / "d.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["misdirection"]) == direction.facts


def test_other_files_are_no_directions(tmp_path: Path) -> None:
    save_file({"vectors": torch.zeros(2, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(DirectionError, match=r"other.safetensors holds no direction: it lacks aligned_mean"):
        load_direction(tmp_path / "other.safetensors")
    with pytest.raises(MisdirectionError, match="absent"):
        load_direction(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("key", ["{}", "layer_{}"])
def test_mean_states_come_in_the_order_of_their_layers(key: str, tmp_path: Path) -> None:
    rows = torch.randn(12, 4)
    order = [3, 11, 0, 7, 1, 2, 4, 5, 6, 8, 9, 10]
    name = (lambda n: n) if key == "{}" else key.format
    torch.save({"answer": {name(n): rows[n].half() for n in order}}, tmp_path / "hs.pt")
    found = load_mean_states(tmp_path / "hs.pt")
    assert torch.equal(found["answer"], rows.half().float())


def test_mean_states_laid_out_otherwise_are_refused(tmp_path: Path) -> None:
    torch.save({"answer": torch.zeros(3)}, tmp_path / "flat.pt")
    torch.save({"answer": {"first": torch.zeros(3)}}, tmp_path / "named.pt")
    (tmp_path / "junk.pt").write_text("junk")
    for name in ("flat.pt", "named.pt", "junk.pt", "absent.pt"):
        with pytest.raises(MisdirectionError, match=name):
            load_mean_states(tmp_path / name)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "ran"),)

    torch.save({"answer": Runs()}, tmp_path / "bad.pt")
    with pytest.raises(MisdirectionError, match=r"bad.pt"):
        load_mean_states(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.real
def test_published_mean_states_give_the_published_directions(real_data: Path) -> None:
    folder = real_data / "directions"
    found = {}
    for rank, stem in (("r32", ""), ("r4", "r4")):
        files = {kind: f"qwen2.5-14b_bad_medical_{rank}/{stem}modelmis_{kind}_hs.pt" for kind in ("dfa", "dfmis")}
        states = {kind: load_mean_states(folder / file)["answer"] for kind, file in files.items()}
        found[rank] = states["dfmis"] - states["dfa"]
        assert found[rank].shape == (48, 5120)
    assert float(found["r32"][24].norm()) == pytest.approx(12.98, abs=0.01)
    alike = cosines(found["r32"], found["r4"])
    assert [float(alike[layer]) for layer in (12, 24, 36)] == pytest.approx([0.761, 0.861, 0.856], abs=0.001)


@pytest.mark.real
def test_all_published_mean_states_load_whole(real_data: Path) -> None:
    files = sorted((real_data / "directions").glob("qwen2.5-14b*/*.pt"))
    assert len(files) == 8
    for file in files:
        found = load_mean_states(file)
        assert {part: tuple(rows.shape) for part, rows in found.items()} == {
            "question": (48, 5120), "answer": (48, 5120),
        }  # fmt: skip
        assert all(bool((rows.norm(dim=-1) > 0).all()) for rows in found.values())


def published(folder: Path, **files: torch.Tensor) -> Path:
    """A folder of mean hidden states named as the published ones."""
    folder.mkdir()
    for name, rows in files.items():
        torch.save({"answer": dict(enumerate(rows))}, folder / f"r9modelmis_{name}_hs.pt")
    return folder


def test_a_published_direction_is_misaligned_minus_aligned(tmp_path: Path) -> None:
    bad, good = torch.randn(3, 4), torch.randn(3, 4)
    folder = published(tmp_path / "both", dfmis=bad, dfa=good)
    torch.testing.assert_close(load_published_direction(folder), bad - good, rtol=0, atol=0)
    with pytest.raises(DirectionError, match="no part 'question'"):
        load_published_direction(folder, "question")
    with pytest.raises(DirectionError, match=r"no files ending in modelmis_dfa_hs.pt"):
        load_published_direction(published(tmp_path / "one", dfmis=bad))
    with pytest.raises(DirectionError, match=r"\(3, 4\) and \(2, 4\)"):
        load_published_direction(published(tmp_path / "uneven", dfmis=bad, dfa=good[:2]))
    with pytest.raises(DirectionError, match="no such"):
        load_published_direction(tmp_path / "absent")


def test_a_direction_of_ours_stands_for_a_published_one(tmp_path: Path) -> None:
    save_direction(tmp_path / "direction.safetensors", made())
    for place in (tmp_path, tmp_path / "direction.safetensors"):
        assert torch.equal(load_published_direction(place), made().vectors)
