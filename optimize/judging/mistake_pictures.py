"""The worst mistakes as pictures, each beside a heat map of what spoke for the wrong class.

They are kept as small pictures in a file of their own, so that a report can be written again
without the data, and holds nothing of the pictures but what it shows.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.heat_map import map_box, overlay
from optimize.data.dataset import Dataset, Pixels
from optimize.data.fitting import fit_from, in_channels
from optimize.errors import DataError
from optimize.judging.json_file import load_json, save_json
from optimize.judging.judged_model import JudgedModel
from optimize.judging.judgement import Mistake

LONGER_SIDE_PX = 240
QUALITY = 80
# Smaller pictures are kept whole, and shown with their pixels.
AS_THEY_ARE_PX = 64


@dataclass(frozen=True, slots=True)
class MistakePicture:
    """A mistake that can be seen: data URIs of the picture and of its heat map, None where the model has no map."""

    mistake: Mistake
    picture: str
    heat: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    split: str
    mistakes: tuple[MistakePicture, ...]


def mistake_pictures(model: JudgedModel, dataset: Dataset, mistakes: Sequence[Mistake]) -> tuple[MistakePicture, ...]:
    """Read, ask for maps, and draw. A picture that can no longer be read is left out, and the report says so.

    Args:
        model: the one that made the mistakes.
        dataset: finds pictures by the ``index`` of their mistakes.
    Raises:
        DataError: another picture stands there.
        BackendError: the engine failed.
    """
    return tuple(MistakePicture(mistake, *one) for mistake in mistakes if (one := _shown(model, dataset, mistake)))


def save_mistake_pictures(path: Path, split: str, pictures: Sequence[MistakePicture]) -> None:
    """Write them as JSON; ``split`` says which pictures they are.

    Raises:
        RunError: the disk refused.
    """
    save_json(path, _Kept(split, tuple(pictures)))


def load_mistake_pictures(path: Path) -> tuple[str, tuple[MistakePicture, ...]]:
    """What ``save_mistake_pictures`` wrote: the split and the pictures.

    Raises:
        DataError: it is not there, or something else.
    """
    kept = load_json(path, _Kept, "pictures of mistakes")
    return kept.split, kept.mistakes


def data_uri(pixels: Pixels) -> str:
    """(H, W, 1 or 3) → a JPEG of at most ``LONGER_SIDE_PX``; small pictures → PNG, every pixel kept."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    target = io.BytesIO()
    if max(image.size) <= AS_THEY_ARE_PX:
        image.save(target, "PNG")
        kind = "png"
    else:
        image.thumbnail((LONGER_SIDE_PX, LONGER_SIDE_PX))
        image.save(target, "JPEG", quality=QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(target.getvalue()).decode()}"


def _shown(model: JudgedModel, dataset: Dataset, mistake: Mistake) -> tuple[str, str | None] | None:
    index = mistake.index
    # Names may be there twice, so the place decides; a picture of another name would be beside the wrong words.
    if index >= len(dataset) or dataset.identifier(index) != mistake.identifier:
        raise DataError(f"{mistake.identifier} is not picture {index} of {dataset.name}: these are not the ones judged")
    try:
        pixels = dataset.read(index)
        prepared = fit_from(dataset, index, lambda _: model.spec)
    except DataError:
        return None  # it was there when it was judged
    maps = model.maps(prepared[None])
    if maps is None:
        return data_uri(pixels), None
    return data_uri(pixels), data_uri(_over(pixels, maps[0], model))


def _over(pixels: Pixels, grid: NDArray[np.float32], model: JudgedModel) -> Pixels:
    height, width, _ = pixels.shape
    return overlay(in_channels(pixels, 3), grid, map_box(width, height, model.spec))
