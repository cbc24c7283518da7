"""``TeacherCache``: what it keeps is what the teacher says, whole or not at all."""

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.errors import RunError, TrainingError
from optimize.training.teacher.cache import TeacherCache
from optimize.training.teacher.teacher import Teacher
from tests.optimize.training.terms.steps import CLASSES, teacher

N = 23
CPU = torch.device("cpu")
PICTURES = torch.rand(N, 1, 16, 16, generator=torch.Generator().manual_seed(4))


def read(indices: NDArray[np.int64]) -> Tensor:
    return PICTURES[torch.from_numpy(indices)]


def nobody(indices: NDArray[np.int64]) -> Tensor:
    raise AssertionError("the teacher was asked again")


def cache(
    folder: Path, *, master: Teacher | None = None, data: str = "d", view: str = "16x16", pictures: int = N
) -> TeacherCache:
    return TeacherCache(folder, master or teacher(), data=data, view=view, pictures=pictures)


def test_says_what_the_teacher_says(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    assert not kept.is_filled
    kept.fill(read, batch_size=10)
    indices = torch.tensor([5, 0, 22, 5])
    seen = kept.seen(indices, CPU)
    torch.testing.assert_close(seen.logits, teacher()(PICTURES[indices]).logits, rtol=1e-4, atol=1e-5)
    assert seen.logits.dtype == torch.float32
    assert dict(seen.features) == {}


def test_rows_go_to_the_device_that_is_named_and_places_come_from_the_cpu(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.fill(read)
    assert kept.seen(torch.tensor([1, 2]), torch.device("meta")).logits.device.type == "meta"


def test_is_asked_once(tmp_path: Path) -> None:
    cache(tmp_path).fill(read)
    again = cache(tmp_path)
    assert again.is_filled
    again.fill(nobody)
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_numpy_reads_it(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.fill(read)
    rows = np.load(kept.path)
    assert rows.shape == (N, len(CLASSES))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, kept.seen(torch.arange(N), CPU).logits.numpy())


@pytest.mark.parametrize(
    "other",
    [{"master": teacher(seed=9)}, {"data": "e"}, {"view": "8x8"}, {"pictures": N - 1}],
    ids=lambda o: next(iter(o)),
)
def test_what_changes_the_answers_changes_the_name(tmp_path: Path, other: dict[str, object]) -> None:
    cache(tmp_path).fill(read)
    assert not cache(tmp_path, **other).is_filled  # type: ignore[arg-type]


def test_the_order_of_the_classes_changes_the_name(tmp_path: Path) -> None:
    first, second = teacher(), teacher()
    second.classes = second.classes[::-1]
    assert cache(tmp_path, master=first).path != cache(tmp_path, master=second).path


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    kept = cache(tmp_path)
    kept.fill(read)
    whole = kept.path.read_bytes()
    kept.path.write_bytes(content or whole[:-5])
    again = cache(tmp_path)
    assert not again.is_filled
    again.fill(read)
    assert again.path.read_bytes() == whole


def test_a_teacher_that_gives_no_numbers_is_stopped(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    with pytest.raises(TrainingError, match="no numbers for pictures 10 to 20"):
        kept.fill(lambda indices: read(indices) * (torch.nan if 12 in indices else 1), batch_size=10)
    assert not kept.is_filled
    assert not list(tmp_path.glob("*.npy"))


def test_asking_before_it_is_filled_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="fill the cache"):
        cache(tmp_path).seen(torch.tensor([0]), CPU)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="can't be kept"):
        cache(tmp_path / "file").fill(read)


def _fill_until_killed(folder: Path) -> None:
    torch.set_num_threads(1)

    def die(indices: NDArray[np.int64]) -> Tensor:
        if indices[0] >= 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(indices)

    cache(folder).fill(die, batch_size=5)


def _fill(folder: Path) -> None:
    torch.set_num_threads(1)
    cache(folder).fill(read, batch_size=5)


def _fill_beyond_what_fits(folder: Path) -> None:
    """A limit on the size of files stands in for the disk's: the third portion does not fit."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
    with pytest.raises(RunError, match=r"can't be kept: .*File too large"):
        cache(folder).fill(read, batch_size=5)


def _run(target: object, folder: Path, count: int = 1) -> list[int | None]:
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=target, args=(folder,)) for _ in range(count)]  # type: ignore[arg-type]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    return [child.exitcode for child in children]


def test_killed_on_the_way_it_begins_again(tmp_path: Path) -> None:
    assert _run(_fill_until_killed, tmp_path) == [-signal.SIGKILL]
    assert not list(tmp_path.glob("*.npy"))
    kept = cache(tmp_path)
    kept.fill(read, batch_size=5)
    said = kept.seen(torch.arange(N), CPU).logits
    torch.testing.assert_close(said, teacher()(PICTURES).logits, rtol=1e-4, atol=1e-5)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]


def test_several_runs_fill_one_file(tmp_path: Path) -> None:
    assert _run(_fill, tmp_path, count=2) == [0, 0]
    assert len(list(tmp_path.glob("*.npy"))) == 1
    cache(tmp_path).fill(nobody)


def test_a_full_disk_is_said_and_nothing_looks_whole(tmp_path: Path) -> None:
    assert _run(_fill_beyond_what_fits, tmp_path) == [0]
    assert not list(tmp_path.glob("*.npy"))
    cache(tmp_path).fill(read, batch_size=5)
    assert cache(tmp_path).is_filled
