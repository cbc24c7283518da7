"""What the teacher sees of a batch: asked each time, or read from what it said before training began.

Where pictures are not augmented the teacher says the same of a picture in every epoch;
then it is asked once and its logits are kept on disk (``teacher/cache.py``).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.data.picture_store import PictureStore
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.batches import Batch
from optimize.training.step import Draw, Seen
from optimize.training.teacher.cache import TeacherCache
from optimize.training.teacher.teacher import Teacher

Teach = Callable[[Batch], Seen]


def asked(teacher: Teacher, features: tuple[str, ...]) -> Teach:
    """The teacher looks at each batch.

    Raises:
        RecipeError: it has no such layers.
    """
    teacher.tap(features)
    return lambda batch: teacher(batch.pictures)


def remembered(
    teacher: Teacher,
    store: PictureStore,
    *,
    folder: Path,
    data: str,
    size: tuple[int, int],
    view: str,
    device: torch.device,
    batch_size: int,
    say: Callable[[str], None],
) -> Teach:
    """Ask about every picture now, unless that was done before.

    Args:
        folder: where answers are kept.
        data: fingerprint of the data.
        size: height and width of training pictures.
        view: how they come to that size.
    Raises:
        RunError: the disk refused.
        TrainingError: the teacher says something that is no number.
    """
    plain = Pipeline()

    def read(indices: NDArray[np.int64]) -> Tensor:
        pictures = store.batch(indices).to(device)
        rows = torch.zeros(len(indices), 1, device=device)
        return plain(pictures, rows, Draw(torch.Generator(), *size))[0]

    cache = TeacherCache(folder, teacher, data=data, view=view, pictures=len(store))
    if not cache.is_filled:
        say(f"asking the teacher about {len(store):,} pictures once")
        cache.fill(read, batch_size=batch_size)
    return lambda batch: cache.seen(batch.places, device)
