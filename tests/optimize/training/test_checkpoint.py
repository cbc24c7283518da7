"""Checkpoints: whole or refused, and never at the cost of the one before."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.weights import load_weights
from optimize.errors import CheckpointError, RunError
from optimize.training.checkpoint import load_checkpoint, require_same_keys, save_checkpoint
from optimize.training.checkpoint_names import checkpoints


def state(value: float = 1.0) -> dict[str, object]:
    return {"state_dict": {"fc.weight": torch.full((3, 4), value)}, "rows": [{"epoch": 1, "lr": 0.1, "none": None}]}


def test_what_was_saved_is_read_by_us_by_torch_and_as_starting_weights(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, state(2.5))

    assert path.name == "epoch-0007.pt"
    for content in (load_checkpoint(path), torch.load(path, weights_only=True)):
        assert content["rows"] == [{"epoch": 1, "lr": 0.1, "none": None}]
        assert torch.equal(content["state_dict"]["fc.weight"], torch.full((3, 4), 2.5))
    assert torch.equal(load_weights(path)["fc.weight"], torch.full((3, 4), 2.5))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for epoch in (1, 2, 9, 10, 10_000):
        save_checkpoint(tmp_path, epoch, state())

    assert [path.name for path in checkpoints(tmp_path)] == ["epoch-0010.pt", "epoch-10000.pt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0010.pt", "epoch-10000.pt"]


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    path = save_checkpoint(folder, 1, state())
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)

    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 1, 30, 400])
def test_a_file_cut_short_is_found(tmp_path: Path, kept: int) -> None:
    path = save_checkpoint(tmp_path, 1, state())
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_damage_is_told_with_what_to_do(tmp_path: Path) -> None:
    first, second = save_checkpoint(tmp_path, 1, state()), save_checkpoint(tmp_path, 2, state())
    second.write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match=r"Delete epoch-0002.pt .* goes on from epoch-0001.pt"):
        load_checkpoint(second)
    first.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"Delete epoch-0001.pt .* begins anew"):
        load_checkpoint(first)


def test_a_full_disk_is_said_and_the_one_before_survives(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state(1.0))
    # What is written first goes to a device that is always full.
    (tmp_path / ".epoch-0002.pt.writing").symlink_to("/dev/full")

    with pytest.raises(RunError, match=r"epoch-0002.pt can't be written: the disk is full"):
        save_checkpoint(tmp_path, 2, state(2.0))

    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001.pt"]
    assert torch.equal(load_checkpoint(tmp_path / "epoch-0001.pt")["state_dict"]["fc.weight"], torch.ones(3, 4))


def test_another_network_is_told_by_its_keys() -> None:
    have = {"a": torch.zeros(2), "b": torch.zeros(3), **{f"c{index}": torch.zeros(1) for index in range(9)}}
    given = {"a": torch.zeros(5), "z": torch.zeros(1)}

    with pytest.raises(CheckpointError) as caught:
        require_same_keys("network", have, given, Path("epoch-0001.pt"))

    said = str(caught.value)
    assert "epoch-0001.pt is of another network" in said
    assert "it lacks b, c0, c1, c2 and 6 more" in said
    assert "has not, z" in said
    assert "a (5,) instead of (2,)" in said


def test_equal_keys_are_fine() -> None:
    require_same_keys("network", {"a": torch.zeros(2)}, {"a": torch.ones(2)}, Path("x"))


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert checkpoints(tmp_path / "absent") == []
