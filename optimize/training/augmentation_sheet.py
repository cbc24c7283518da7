"""A picture of what augmentation does, to look at before training: a row for each photo.

The photo itself, each augmentation of the recipe alone, each mix, and the whole
pipeline several times. Without a recipe's choice, everything there is, by name.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from optimize.errors import DataError
from optimize.seeding import generator
from optimize.training.durable import write_whole

if TYPE_CHECKING:
    from optimize.data.dataset import Dataset
    from optimize.training.augmentations import Augmentation
    from optimize.training.augmentations.pipeline import Pipeline
    from optimize.training.recipe import Recipe

Pixels = NDArray[np.uint8]

# Pictures are shown at least this large, in px, small ones pixel by pixel; no more than so many columns side by side.
TILE, COLUMNS = 112, 9
GAP, FONT = 8, 14
PAPER, INK, FAINT = (255, 255, 255), (32, 36, 44), (110, 118, 130)


@dataclass(frozen=True, slots=True)
class Column:
    """What is done to every picture of a column; uint8 (N, H, W, C)."""

    heading: str
    pictures: Pixels


def write_sheet_of(recipe: "Recipe", path: Path, *, rows: int = 6) -> str:
    """Write the sheet of a recipe: the first picture of each class of its training set, ``rows`` at most.

    Returns:
        What to tell a person.
    Raises:
        DataError: as ``read_data`` and ``open_store``.
        RecipeError: as ``build_network``.
    """
    from optimize.data.picture_store import open_store, stored_shape
    from optimize.data.read import read_data
    from optimize.training.augmentations.pipeline import Pipeline
    from optimize.training.incoming import MARGIN, size_at
    from optimize.training.network.build import build_network

    train = read_data(recipe.data, recipe.seed).train
    network = build_network(recipe.model, train.tasks, recipe.seed)
    size = size_at(recipe, network, 1.0)
    margin = MARGIN if network.spec.resize.mode == "shorter_side" else 1.0
    shown = _one_of_each(train, rows)
    store = open_store(shown, stored_shape(network.spec, min(size), margin), workers=1)
    pictures: Pixels = store.batch(np.arange(len(shown))).permute(0, 2, 3, 1).contiguous().numpy()
    store.close()
    pipeline = Pipeline([one.choice for one in recipe.augment], [one.choice for one in recipe.mix])
    labels = [shown.classes[label] for label in shown.first_labels]
    chosen = None if pipeline.is_plain else pipeline
    write_sheet(path, pictures, labels, chosen, height=size[0], width=size[1], seed=recipe.seed)
    return f"{path}: " + (
        "what the recipe does" if chosen else "the recipe augments nothing; here is all that it could"
    )


def _one_of_each(train: "Dataset", most: int) -> "Dataset":
    labels, first = np.unique(train.first_labels, return_index=True)
    return train.subset(first[labels >= 0][:most])


def write_sheet(
    path: Path,
    pictures: Pixels,
    labels: Sequence[str],
    pipeline: "Pipeline | None" = None,
    *,
    height: int | None = None,
    width: int | None = None,
    seed: int = 0,
    repeats: int = 4,
) -> None:
    """Write the sheet as PNG.

    Args:
        path: the file; a folder that is missing is made.
        pictures: uint8 (N, H, W, C), C 1 or 3, as stored; a few, a row for each.
        labels: N names of classes.
        pipeline: the recipe's; None shows every augmentation and mix with its default settings.
        height: the drawn height in px; None for that of ``pictures``. Likewise ``width``.
        seed: of everything that is drawn.
        repeats: how often the whole pipeline is shown.
    Raises:
        DataError: no pictures, or not as many labels.
        RunError: the file can't be written.
    """
    if pictures.ndim != 4 or not len(pictures) or len(labels) != len(pictures):
        raise DataError(f"a sheet needs pictures (N, H, W, C) and N labels, not {pictures.shape} and {len(labels)}")
    size = height or pictures.shape[1], width or pictures.shape[2]
    columns = _columns(pictures, pipeline, size, seed, repeats)
    buffer = io.BytesIO()
    _sheet(columns, labels).save(buffer, "PNG", optimize=True)
    write_whole(path, buffer.getvalue())


def _columns(
    pictures: Pixels, pipeline: "Pipeline | None", size: tuple[int, int], seed: int, repeats: int
) -> list[Column]:
    from optimize.training.augmentations import AUGMENTATIONS, MIXES, name_of
    from optimize.training.augmentations.pipeline import Pipeline

    if pipeline is None:
        alone = [(name, Pipeline([_surely(AUGMENTATIONS.choose(name))])) for name in AUGMENTATIONS]
        alone += [(name, Pipeline([], [MIXES.choose(name, {"alpha": 1.0})])) for name in MIXES]
        whole: list[tuple[str, Pipeline]] = []
    else:
        alone = [(name_of(augment), Pipeline([_surely(augment)])) for augment in pipeline.augments]
        alone += [(name_of(mix), Pipeline([], [mix])) for mix in pipeline.mixes]
        whole = [(f"all, {number}", pipeline) for number in range(1, repeats + 1)]
    shown = [("original", Pipeline()), *alone, *whole]
    return [Column(heading, _run(one, pictures, size, seed, number)) for number, (heading, one) in enumerate(shown)]


def _surely(augment: "Augmentation") -> "Augmentation":
    """The same, done to every picture: a column that shows it on one in five would show little."""
    if isinstance(augment, BaseModel) and "probability" in type(augment).model_fields:
        return augment.model_copy(update={"probability": 1.0})
    return augment


def _run(pipeline: "Pipeline", pictures: Pixels, size: tuple[int, int], seed: int, number: int) -> Pixels:
    import torch

    from optimize.training.step import Draw

    batch = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
    draw = Draw(generator(seed, "sheet", number), *size)
    changed, _ = pipeline(batch, torch.zeros(len(batch), 1), draw)
    pixels: Pixels = (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


def _sheet(columns: Sequence[Column], labels: Sequence[str]) -> Image.Image:
    """Blocks of columns below each other, each of them with the originals at its left."""
    original, others = columns[0], columns[1:]
    count = max(1, math.ceil(len(others) / (COLUMNS - 1)))
    each = math.ceil(len(others) / count) or 1
    blocks = [_block([original, *others[start : start + each]], labels) for start in range(0, len(others) or 1, each)]
    sheet = Image.new("RGB", (max(block.width for block in blocks), sum(block.height for block in blocks)), PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def _block(columns: Sequence[Column], labels: Sequence[str]) -> Image.Image:
    high, wide = _tile_size(columns[0].pictures)
    widths = [max(wide, _text_width(column.heading)) + GAP for column in columns]
    left = GAP * 2 + max(_text_width(label) for label in labels)
    top = GAP * 2 + FONT
    block = Image.new("RGB", (left + sum(widths), top + (high + GAP) * len(labels) + GAP), PAPER)
    pen = ImageDraw.Draw(block)
    for row, label in enumerate(labels):
        pen.text((GAP, top + row * (high + GAP) + high / 2), label, INK, _font(), anchor="lm")
    for column, width in zip(columns, widths, strict=True):
        ink = FAINT if column is columns[0] else INK
        pen.text((left + (width - GAP) / 2, top - GAP), column.heading, ink, _font(), anchor="ms")
        for row, pixels in enumerate(column.pictures):
            tile = _tile(pixels, wide)
            block.paste(tile, (left + (width - GAP - wide) // 2, top + row * (high + GAP)))
        left += width
    return block


def _tile_size(pictures: Pixels) -> tuple[int, int]:
    """Height and width in px of the sheet."""
    factor = max(1, math.ceil(TILE / max(pictures.shape[1:3])))
    return pictures.shape[1] * factor, pictures.shape[2] * factor


def _tile(pixels: Pixels, width: int) -> Image.Image:
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    factor = width // picture.width
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT)


def _text_width(text: str) -> int:
    return math.ceil(_font().getlength(text))
