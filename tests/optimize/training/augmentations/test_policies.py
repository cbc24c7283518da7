"""TrivialAugment and RandAugment: their operations against Pillow, their draws against their papers."""

from collections.abc import Callable

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from optimize.training.augmentations.policy_operations import Operation, apply_chosen
from optimize.training.augmentations.rand_augment import TABLE, RandAugment
from optimize.training.augmentations.trivial_augment import WIDE, TrivialAugment
from tests.optimize.training.augmentations.drawing import draw, from_pillow, pictures, to_pillow

BILINEAR = Image.Resampling.BILINEAR
SIZE = 32


def shear(x: float, y: float) -> Callable[[Image.Image], Image.Image]:
    middle = SIZE / 2
    coefficients = (1, x, -x * middle, y, 1, -y * middle)
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, coefficients, BILINEAR)


def move(x: int, y: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, x, 0, 1, y))


# The table's order, at strength 1, positive.
PILLOWS: list[tuple[str, Callable[[Image.Image], Image.Image]]] = [
    ("identity", lambda image: image),
    ("shear x", shear(0.99, 0)),
    ("shear y", shear(0, 0.99)),
    ("translate x", move(round(SIZE * 32 / 224), 0)),
    ("translate y", move(0, round(SIZE * 32 / 224))),
    ("rotate", lambda image: image.rotate(135, BILINEAR)),
    ("brightness", lambda image: ImageEnhance.Brightness(image).enhance(1.99)),
    ("colour", lambda image: ImageEnhance.Color(image).enhance(1.99)),
    ("contrast", lambda image: ImageEnhance.Contrast(image).enhance(1.99)),
    ("sharpness", lambda image: ImageEnhance.Sharpness(image).enhance(1.99)),
    ("posterize", lambda image: ImageOps.posterize(image, 2)),
    ("solarize", lambda image: ImageOps.solarize(image, 0)),
    ("autocontrast", ImageOps.autocontrast),
    ("equalize", ImageOps.equalize),
]


@pytest.mark.parametrize("number", range(len(PILLOWS)), ids=[name for name, _ in PILLOWS])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_operation_is_pillows(number: int, channels: int) -> None:
    batch = pictures(14, channels, SIZE)
    chosen = torch.arange(14)
    full = torch.ones(14, dtype=torch.float64)
    changed = apply_chosen(batch, WIDE, chosen, full, torch.ones(14, dtype=torch.bool))
    pillow = from_pillow(PILLOWS[number][1](to_pillow(batch[number])))
    away = (changed[number] - pillow).abs()
    # At the slanted edge of a turned picture Pillow blends otherwise; all else is its result to rounding.
    assert float((away < 3 / 255).float().mean()) > (0.8 if 1 <= number <= 5 else 0.9999)
    assert float(away.median()) < 1 / 255


def strengths(table: tuple[Operation, ...], strength: float) -> list[float]:
    one = torch.tensor([strength], dtype=torch.float64)
    return [round(float(operation.amounts(one, torch.tensor([True]))), 6) for operation in table]


def test_trivial_augment_has_the_papers_wide_ranges() -> None:
    assert strengths(WIDE, 1.0) == [0, 0.99, 0.99, *[round(32 / 224, 6)] * 2, 135, *[0.99] * 4, 2, 0, 0, 0]
    assert strengths(WIDE, 0.0) == [*[0] * 10, 8, 1, 0, 0]


def test_rand_augment_has_the_papers_ranges() -> None:
    assert strengths(TABLE, 1.0) == [0, 0.3, 0.3, *[round(150 / 331, 6)] * 2, 30, *[0.9] * 4, 4, 0, 0, 0]


def test_signed_amounts_go_both_ways() -> None:
    rotate = WIDE[5]
    amounts = rotate.amounts(torch.tensor([0.5, 0.5]), torch.tensor([True, False]))
    assert amounts.tolist() == [67.5, -67.5]


def distinct(batch: Tensor, original: Tensor) -> float:
    return float(((batch - original).abs().amax((1, 2, 3)) > 1e-4).float().mean())


def test_trivial_augment_changes_all_but_the_identities() -> None:
    """1 in 14 draws the identity; posterize at full bits, and tiny strengths, change nothing either."""
    batch = pictures(1).expand(1400, -1, -1, -1)
    assert 0.85 < distinct(TrivialAugment()(batch, draw()), batch) < 1 - 1 / 14 + 0.02
    half = TrivialAugment(probability=0.5)(batch, draw())
    assert 0.40 < distinct(half, batch) < 0.5


def test_each_operation_is_drawn_as_often() -> None:
    """A white picture on which only moves, brightness and solarize can be told from the identity."""
    white = torch.ones(2800, 3, 16, 16)
    changed = TrivialAugment()(white, draw(16))
    inverted = changed.amax((1, 2, 3)) == 0
    # solarize at any threshold up to 1 turns white to black: 1 in 14
    assert float(inverted.float().mean()) == pytest.approx(1 / 14, abs=0.02)


def test_rand_augment_does_more_with_more_operations_and_magnitude() -> None:
    batch = pictures(200)

    def away(**settings: float) -> float:
        return float((RandAugment.model_validate(settings)(batch, draw()) - batch).abs().mean())

    assert away(magnitude=3.0) < away(magnitude=12.0) < away(magnitude=30.0)
    assert away(operations=1) < away(operations=4)
    untouched = RandAugment(probability=0.25)(batch, draw())
    assert distinct(untouched, batch) < 0.33
