"""The pipeline: sizes, runs of neighbours, mixes side by side."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from optimize.errors import DataError
from optimize.training.augmentations import AUGMENTATIONS
from optimize.training.augmentations.colour_jitter import ColourJitter
from optimize.training.augmentations.crop import Crop
from optimize.training.augmentations.cutmix import CutMix
from optimize.training.augmentations.flip import Flip
from optimize.training.augmentations.geometry import transform
from optimize.training.augmentations.grey import Grey
from optimize.training.augmentations.mixup import Mixup
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.augmentations.random_resized_crop import RandomResizedCrop
from optimize.training.augmentations.rotate import Rotate
from optimize.training.augmentations.translate import Translate
from optimize.training.step import Draw
from tests.optimize.training.augmentations.drawing import bytes_of, draw, from_pillow, pictures, to_pillow


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]))
def test_with_nothing_chosen_pictures_of_the_drawn_size_are_just_divided(
    height: int, width: int, channels: int
) -> None:
    batch = torch.randint(0, 256, (3, channels, height, width), dtype=torch.uint8)
    plain = Pipeline()
    changed, targets = plain(batch, torch.eye(3), draw(height, width))
    assert plain.is_plain
    assert torch.equal(changed, batch.float() / 255)
    assert torch.equal(targets, torch.eye(3))


def test_with_nothing_chosen_pictures_are_resized_as_pillow_does() -> None:
    batch = pictures(2, 3, 40, 30)
    changed, _ = Pipeline()(bytes_of(batch), torch.eye(2), draw(17, 13))
    pillow = from_pillow(to_pillow(batch[1]).resize((13, 17), Image.Resampling.BILINEAR))
    assert float((changed[1] - pillow).abs().max()) < 1.5 / 255


def test_anything_chosen_is_not_plain() -> None:
    assert not Pipeline([Flip()]).is_plain
    assert not Pipeline([], [Mixup()]).is_plain


@pytest.mark.parametrize(
    ("batch", "targets"),
    [
        (torch.zeros(2, 3, 8, 8), torch.eye(2)),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), torch.eye(2)),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), torch.eye(2)),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.eye(3)),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2)),
    ],
)
def test_what_is_no_batch_is_refused(batch: Tensor, targets: Tensor) -> None:
    with pytest.raises(DataError, match="pictures"):
        Pipeline([Flip()])(batch, targets, draw(8))


def test_neighbouring_geometric_ones_are_one_resampling() -> None:
    """Forty turns by up to 9°, and back by none: one resampling stays sharp, forty would blur everything."""
    turns = [Rotate(degrees=9.0, border="reflect") for _ in range(40)]
    batch = (torch.rand(4, 1, 32, 32, generator=draw().generator) > 0.5).to(torch.uint8) * 255
    together, _ = Pipeline(turns)(batch, torch.eye(4), draw(32))
    one_by_one = batch.float() / 255
    steps = draw(32)
    for turn in turns:
        one_by_one = turn(one_by_one, steps)
    assert float(together.std()) > 0.3
    assert float(one_by_one.std()) < 0.15


def test_a_run_draws_and_moves_as_its_parts_do() -> None:
    """Whole pixels and mirrors only: both ways are exact."""
    parts = [Translate(horizontal=0.2, vertical=0.2), Flip(vertical=0.5), Crop(padding=3), Translate()]
    batch = pictures(16)
    together, _ = Pipeline(parts)(bytes_of(batch), torch.eye(16), draw())
    steps = draw()
    one_by_one = batch
    for part in parts:
        one_by_one = part(one_by_one, steps)
    # What a step moves out of sight comes back in a run, and is black for single steps.
    seen = one_by_one > 0
    assert float(seen.float().mean()) > 0.6
    assert torch.equal(together[seen], one_by_one[seen])


def test_borders_that_differ_are_no_one_run() -> None:
    batch = torch.full((8, 1, 16, 16), 255, dtype=torch.uint8)
    both = Pipeline([Translate(border="black"), Translate(border="grey")])
    changed, _ = both(batch, torch.eye(8), draw(16))
    levels = set(changed.flatten().tolist())
    assert levels == {0.0, 0.5, 1.0}


def test_what_never_looks_outside_joins_any_border() -> None:
    parts = [Flip(), Translate(border="edge"), Flip()]
    batch = pictures(8)
    expected = transform(parts, batch, draw())
    changed, _ = Pipeline(parts)(bytes_of(batch), torch.eye(8), draw())
    torch.testing.assert_close(changed, expected)


def test_neighbouring_changes_of_colour_are_one_pass() -> None:
    """Made brighter and then grey: each picture is its own luma times one factor, though channels passed 1 between."""
    brighter, grey = ColourJitter(brightness=1.0, contrast=0.0, saturation=0.0), Grey(probability=1.0)
    batch = pictures(8)
    changed, _ = Pipeline([brighter, grey])(bytes_of(batch), torch.eye(8), draw())
    luma = (batch * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    factors = [(one[0] / level)[(one[0] < 1) & (level > 0.1)] for one, level in zip(changed, luma, strict=True)]
    assert max(float(factor.max()) for factor in factors) > 1.3
    for factor in factors:
        assert float(factor.max() - factor.min()) < 1e-4


class HalfSize:
    """An augmentation of someone's own, with no base class."""

    def __call__(self, pictures: Tensor, draw: Draw) -> Tensor:
        return pictures * 0.5


def test_anything_callable_can_be_an_augmentation() -> None:
    batch = pictures(3)
    changed, _ = Pipeline([RandomResizedCrop(), HalfSize(), Flip()])(bytes_of(batch), torch.eye(3), draw(10))
    assert changed.shape == (3, 3, 10, 10)
    assert float(changed.max()) <= 0.5


def test_of_several_mixes_each_picture_draws_one() -> None:
    """Of 400 pictures about half are blended, and about half have a box pasted."""
    count = 400
    levels = torch.arange(count) % 2 * 255
    batch = levels.to(torch.uint8)[:, None, None, None].expand(count, 1, 16, 16).contiguous()
    targets = torch.nn.functional.one_hot(torch.arange(count) % 2, 2).float()
    both = Pipeline([], [Mixup(alpha=1.0), CutMix(alpha=1.0)])
    changed, rows = both(batch, targets, draw(16))
    pasted = (changed.amax((1, 2, 3)) == 1) & (changed.amin((1, 2, 3)) == 0)
    blended = (changed.amax((1, 2, 3)) < 1) & (changed.amin((1, 2, 3)) > 0)
    assert 60 < int(pasted.sum()) < 140
    assert 60 < int(blended.sum()) < 140
    # Black is class 0 and white class 1: whichever way it was mixed, a picture's mean is its share of white.
    torch.testing.assert_close(changed.mean((1, 2, 3)), rows[:, 1], atol=1e-5, rtol=0)


def test_the_whole_table_in_one_pipeline() -> None:
    everything = [AUGMENTATIONS.choose(name) for name in AUGMENTATIONS]
    run = Pipeline(everything, [Mixup(), CutMix()])
    changed, rows = run(bytes_of(pictures(16)), torch.eye(16), draw(20))
    assert changed.shape == (16, 3, 20, 20)
    torch.testing.assert_close(rows.sum(1), torch.ones(16))
