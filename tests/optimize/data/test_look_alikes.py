"""Copies encoded anew."""

import io

import numpy as np
import pytest
from PIL import Image

from optimize.data.look_alikes import SIDE, look_alikes, thumbnails_of
from optimize.data.screening import decode_small
from tests.optimize.data.sets_on_disk import photo

PHOTO = photo(1, (400, 533))

COPIES = {
    "jpeg of low quality": (PHOTO, "jpeg", {"quality": 30}),
    "progressive jpeg": (PHOTO, "jpeg", {"quality": 60, "progressive": True}),
    "png": (PHOTO, "png", {}),
    "webp": (PHOTO, "webp", {"quality": 60}),
    "half the size": (PHOTO.resize((200, 266)), "jpeg", {"quality": 80}),
    "squashed": (PHOTO.resize((224, 224)), "jpeg", {"quality": 80}),
}


def small(image: Image.Image, name: str, **options: object) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return decode_small(buffer.getvalue())[0]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_encoded_anew_is_found(copy: str) -> None:
    image, name, options = COPIES[copy]
    originals = np.stack([small(photo(2, (400, 533)), "jpeg"), small(PHOTO, "jpeg", quality=95)])
    assert look_alikes(originals, small(image, name, **options)[None]) == [(1, 0)]


def test_other_pictures_are_not() -> None:
    many = np.stack([small(photo(number, (96, 96)), "png") for number in range(60)])
    assert look_alikes(many[:30], many[30:]) == []


def test_all_pairs_of_brute_force_are_found() -> None:
    random = np.random.default_rng(3)
    base = random.integers(40, 200, (50, SIDE, SIDE))
    first = base.astype(np.uint8)
    second = (base[random.integers(0, 50, 80)] + random.integers(-4, 5, (80, SIDE, SIDE))).astype(np.uint8)
    distance = np.sqrt(((first[None].astype(np.float64) - second[:, None]) ** 2).mean(axis=(2, 3)))
    expected = [(int(np.flatnonzero(row <= 2.5)[0]), place) for place, row in enumerate(distance) if (row <= 2.5).any()]
    assert 0 < len(expected) < 80
    assert look_alikes(first, second, 2.5) == expected


@pytest.mark.parametrize("size", [(28, 28), (40, 33), (9, 12), (16, 16)])
def test_thumbnails_of_arrays_are_those_of_pillow(size: tuple[int, int]) -> None:
    images = [photo(number, size) for number in range(5)]
    rgb = np.stack([np.asarray(image) for image in images])
    grey = np.stack([np.asarray(image.convert("L")) for image in images])[..., None]
    for pixels in (rgb, grey):
        pillow = [image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in images]
        difference = thumbnails_of(pixels).astype(int) - np.stack([np.asarray(one) for one in pillow])
        assert np.abs(difference).max() <= 1


def test_nothing_has_no_look_alikes() -> None:
    none, some = np.zeros((0, SIDE, SIDE), np.uint8), np.zeros((1, SIDE, SIDE), np.uint8)
    assert look_alikes(none, some) == look_alikes(some, none) == []


def test_pictures_that_all_are_alike_tell_nothing_and_cost_nothing() -> None:
    flat = np.full((30_000, SIDE, SIDE), 128, np.uint8)
    assert look_alikes(flat, flat) is None


def test_a_set_and_its_copies_are_no_such_set() -> None:
    random = np.random.default_rng(1).integers(0, 256, (200, SIDE, SIDE)).astype(np.uint8)
    assert look_alikes(random, random) == [(place, place) for place in range(200)]
