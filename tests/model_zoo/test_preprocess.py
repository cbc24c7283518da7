"""The reference against torch and plain Pillow; the fast path against the reference."""

import io
from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data as skimage_data

from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import PrepareTimes, prepare, prepare_reference, preprocess
from model_zoo.spec import Crop, InputSpec, Resize, ResizeFilter, ResizeMode
from tests.pictures import ACCEPTED, ORIENTATIONS, ORIENTED_FORMATS, encode, npy_of, oriented, picture

LIMITS = PictureLimits(max_bytes=2**30)
RGB = InputSpec(224, 224, 3, "rgb", Resize("shorter_side", 256), "centre", (127.0,) * 3, (128.0,) * 3)
GREY = replace(RGB, channels=1, colour="grey", graph_mean=(127.0,), graph_std=(128.0,))
PHOTOS = ["astronaut", "chelsea", "coffee", "rocket", "retina", "china", "flower"]
PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@cache
def photo(name: str) -> NDArray[np.uint8]:
    """A natural photo, RGB, from scikit-image or scikit-learn."""
    if name in ("china", "flower"):
        with Image.open(io.BytesIO(files("sklearn.datasets.images").joinpath(f"{name}.jpg").read_bytes())) as image:
            return np.asarray(image)
    array: NDArray[np.uint8] = getattr(skimage_data, name)()
    return array


def with_resize(mode: ResizeMode, filter: ResizeFilter = "bicubic", antialias: bool = True) -> InputSpec:
    crop: Crop = "centre" if mode == "shorter_side" else "none"
    return replace(RGB, height=192, resize=Resize(mode, 256, filter, antialias), crop=crop)


def differences(data: bytes, spec: InputSpec) -> NDArray[np.int64]:
    header = read_header(data, LIMITS)
    fast, reference = prepare(data, header, spec), prepare_reference(data, header, spec)
    assert fast.shape == reference.shape == (spec.height, spec.width, spec.channels)
    assert fast.dtype == np.uint8
    assert fast.flags.c_contiguous
    return np.abs(fast.astype(np.int64) - reference)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_the_reference_is_torchs_antialiased_resize(name: str, kernel: ResizeFilter) -> None:
    image = photo(name)
    height, width = image.shape[:2]
    short = min(height, width)
    size = (int(256 * height / short), int(256 * width / short))
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double()
    whole = torch.nn.functional.interpolate(planes, size, mode=kernel, align_corners=False, antialias=True)
    top, left = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    expected = whole[0, :, top : top + 224, left : left + 224].permute(1, 2, 0).clamp(0, 255).numpy()
    difference = np.abs(preprocess(image, replace(RGB, resize=Resize("shorter_side", 256, kernel))) - expected)
    assert difference.mean() < 0.35  # rounding alone costs 0.25, and Pillow rounds between its two passes
    assert np.quantile(difference, 0.999) < 2


@pytest.mark.parametrize("kernel", PILLOW)
@pytest.mark.parametrize("size", [(400, 533), (533, 400), (100, 37), (256, 256), (1023, 77)])
def test_the_reference_is_resize_then_crop(kernel: ResizeFilter, size: tuple[int, int]) -> None:
    image = picture(*size)
    width, height = size
    short = min(size)
    whole = image.resize((int(256 * width / short), int(256 * height / short)), PILLOW[kernel])
    left, top = round((whole.width - 224) / 2), round((whole.height - 224) / 2)
    expected = whole.crop((left, top, left + 224, top + 224))
    spec = replace(RGB, resize=Resize("shorter_side", 256, kernel))
    assert np.array_equal(preprocess(np.asarray(image), spec), np.asarray(expected))


def test_stretch_is_one_resize() -> None:
    expected = picture(300, 200).resize((224, 192), Image.Resampling.BICUBIC)
    assert np.array_equal(preprocess(np.asarray(picture(300, 200)), with_resize("stretch")), np.asarray(expected))


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (2000, 3), (224, 192)])
def test_letterbox_shows_all_on_grey(size: tuple[int, int]) -> None:
    result = preprocess(np.full((size[1], size[0], 3), 250, np.uint8), with_resize("letterbox"))
    inside = (result == 250).all(axis=2)
    assert (result[~inside] == 114).all()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert len(rows) == 192 or len(columns) == 224
    assert abs(rows[0] - (191 - rows[-1])) <= 1
    assert abs(columns[0] - (223 - columns[-1])) <= 1


def test_grey_models_take_one_channel() -> None:
    luma = np.asarray(picture(300, 260).convert("L"))[:, :, None]
    colour = np.repeat(luma, 3, axis=2)
    assert np.array_equal(preprocess(luma, GREY), preprocess(colour, RGB)[:, :, :1])
    with pytest.raises(ValueError, match="3 channels"):
        preprocess(colour, GREY)


@pytest.mark.parametrize("spec", [RGB, with_resize("stretch"), with_resize("letterbox"), GREY], ids=str)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (2, 3), (65_535, 2)])
def test_extreme_shapes_give_an_input_and_keep_their_colour(
    size: tuple[int, int], spec: InputSpec, antialias: bool
) -> None:
    spec = replace(spec, resize=replace(spec.resize, antialias=antialias))
    data = encode(Image.new("RGB", size, (70, 70, 70)), "png")
    header = read_header(data, LIMITS)
    for result in (prepare(data, header, spec), prepare_reference(data, header, spec)):
        assert result.shape == (spec.height, spec.width, spec.channels)
        assert set(np.unique(result)) <= {70, 114}


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("spec", [RGB, GREY, with_resize("letterbox")], ids=["rgb", "grey", "letterbox"])
def test_every_accepted_picture_is_prepared_as_the_reference(name: str, spec: InputSpec) -> None:
    difference = differences(ACCEPTED[name](), spec)
    assert difference.max() <= 2  # rounded after each of Pillow's two passes
    assert difference.mean() < 0.01


@pytest.mark.parametrize(
    ("resize", "size"),
    [
        (Resize("stretch", 224), (224, 192)),
        (Resize("shorter_side", 256), (256, 300)),
        (Resize("shorter_side", 256, antialias=False), (300, 256)),
        (Resize("letterbox", 224), (224, 101)),
        (Resize("letterbox", 224, "nearest"), (77, 192)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["jpeg", "png", "npy"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_needs_no_scaling_is_the_reference_to_the_last_level(
    resize: Resize, size: tuple[int, int], name: str, orientation: int
) -> None:
    spec = replace(RGB, resize=resize)
    image = picture(*size)
    data = npy_of(np.asarray(image)) if name == "npy" else oriented(name, orientation, image)
    header = read_header(data, LIMITS)
    told = prepare(data, header, spec)
    assert np.array_equal(told, prepare_reference(data, header, spec))
    assert told.flags.c_contiguous


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_photos_of_ordinary_size_differ_by_rounding_alone(name: str, format: str) -> None:
    image = Image.fromarray(photo(name))
    image.thumbnail((533, 533))
    difference = differences(encode(image, format), RGB)
    assert difference.max() <= 2
    assert difference.mean() < 0.01


@pytest.mark.parametrize("name", PHOTOS)
def test_a_turned_photo_differs_by_little_more(name: str) -> None:
    """Turned a quarter, a square picture meets Pillow's two passes (each rounds and clips) in the other order."""
    image = Image.fromarray(photo(name))
    image.thumbnail((533, 533))
    difference = differences(oriented("png", 6, image), RGB)
    assert difference.mean() < 0.3
    assert np.quantile(difference, 0.999) <= 2


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("longer", [1500, 3000])
@pytest.mark.parametrize("mode", ["shorter_side", "stretch", "letterbox"])
def test_large_jpegs_differ_by_a_fraction_of_a_level(name: str, longer: int, mode: ResizeMode) -> None:
    image = Image.fromarray(photo(name))
    scale = longer / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    difference = differences(encode(image, "jpeg", quality=92), with_resize(mode))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.999) <= 4


@pytest.mark.parametrize("name", ["astronaut", "china"])
def test_large_pictures_of_other_formats_differ_less(name: str) -> None:
    image = Image.fromarray(photo(name)).resize((2600, 1800), Image.Resampling.BICUBIC)
    difference = differences(encode(image, "bmp"), RGB)
    assert difference.mean() < 0.3
    assert difference.max() <= 3


def test_fine_detail_does_not_alias_in_a_scaled_decode() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1600, 2400, 3), np.uint8)
    difference = differences(encode(Image.fromarray(noise), "jpeg", quality=95), RGB)
    assert difference.mean() < 2.5


@pytest.mark.parametrize("name", ORIENTED_FORMATS)
@pytest.mark.parametrize("mode", ["shorter_side", "stretch", "letterbox"])
def test_all_orientations_give_one_input(name: str, mode: ResizeMode) -> None:
    upright = picture(331, 250)
    spec = with_resize(mode)
    first = None
    for orientation in ORIENTATIONS:
        data = oriented(name, orientation, upright)
        assert differences(data, spec).max() <= 2
        result = prepare(data, read_header(data, LIMITS), spec).astype(int)
        first = result if first is None else first
        assert np.abs(result - first).mean() < 1.0  # JPEG and AVIF blocks fall differently on a turned picture
        assert np.abs(result - preprocess(np.asarray(upright), spec)).mean() < 3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_scaled_decode_is_turned_right(orientation: int) -> None:
    data = oriented("jpeg", orientation, picture(1400, 1100))
    assert differences(data, RGB).max() <= 2


def test_the_two_halves_are_timed() -> None:
    data = ACCEPTED["jpeg"]()
    times = PrepareTimes()
    prepare(data, read_header(data, LIMITS), RGB, times)
    assert times.decode_s > 0
    assert times.preprocess_s > 0


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(1, 8),
    st.sampled_from(["shorter_side", "stretch", "letterbox"]),
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    st.booleans(),
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
)
def test_any_shape_any_turn_any_spec(
    size: tuple[int, int],
    orientation: int,
    mode: ResizeMode,
    kernel: ResizeFilter,
    antialias: bool,
    target: tuple[int, int],
) -> None:
    crop: Crop = "centre" if mode == "shorter_side" else "none"
    resize = Resize(mode, max(target), kernel, antialias)
    spec = replace(RGB, height=target[0], width=target[1], resize=resize, crop=crop)
    difference = differences(oriented("png", orientation, picture(*size)), spec)
    if kernel == "nearest" or not antialias:
        assert difference.max() == 0
    elif min(target) * 6 > max(size):
        assert difference.max() <= 4
    else:  # averaged over whole pixels first; on a few output pixels the picture's edges are most of it
        assert difference.max() <= 24
