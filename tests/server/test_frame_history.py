"""The gate, the smoothing and the measure they share."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from server.frame_history import CELLS, SCENE_CUT, FrameHistory, difference, thumbnail_of

Pixels = NDArray[np.uint8]


def grey(level: float, side: int = 32) -> Pixels:
    return np.full((side, side, 3), level, np.uint8)


def cell_means(pixels: Pixels) -> NDArray[np.float64]:
    """The same averages, block by block, in float64."""
    steps = [-(-side // CELLS) for side in pixels.shape[:2]]
    blocks = [
        [
            pixels[row : row + steps[0], column : column + steps[1]].astype(np.float64).mean((0, 1))
            for column in range(0, pixels.shape[1], steps[1])
        ]
        for row in range(0, pixels.shape[0], steps[0])
    ]
    return np.array(blocks)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(0, 99))
def test_a_thumbnail_is_the_mean_of_each_block(height: int, width: int, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    thumbnail = thumbnail_of(pixels)
    assert thumbnail.dtype == np.float32
    assert max(thumbnail.shape[:2]) <= CELLS
    np.testing.assert_allclose(thumbnail, cell_means(pixels), rtol=1e-5)


def test_a_model_s_usual_input_becomes_sixteen_by_sixteen() -> None:
    assert thumbnail_of(np.zeros((224, 224, 3), np.uint8)).shape == (16, 16, 3)


def test_the_difference_is_in_levels_and_infinite_between_shapes() -> None:
    assert difference(thumbnail_of(grey(100)), thumbnail_of(grey(103))) == pytest.approx(3.0)
    assert difference(thumbnail_of(grey(100)), thumbnail_of(grey(100, 8))) == float("inf")


def test_noise_hardly_counts_and_what_moves_does() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(40, 200, (16, 16, 3)).repeat(14, 0).repeat(14, 1)
    noisy = [np.clip(still + rng.normal(0, 5, still.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    assert difference(*map(thumbnail_of, noisy)) < 1.0
    moved = np.roll(noisy[0], 7, axis=1)
    assert difference(thumbnail_of(noisy[0]), thumbnail_of(moved)) > 10.0


def scores_of(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_a_frame_like_the_last_one_run_need_not_be_run() -> None:
    history = FrameHistory(gate=2.0)
    first = thumbnail_of(grey(100))
    assert history.repeated(first) is None, "nothing was run yet"
    told = history.ran(first, scores_of(0.1, 0.9), 3)
    assert history.repeated(thumbnail_of(grey(102))) is told
    assert (told.scores.tolist(), told.batch_size) == (pytest.approx([0.1, 0.9]), 3)
    assert history.repeated(thumbnail_of(grey(103))) is None


def test_a_slow_change_does_not_creep_past_the_gate() -> None:
    history = FrameHistory(gate=2.0)
    history.ran(thumbnail_of(grey(100)), scores_of(1.0), 1)
    repeated = [history.repeated(thumbnail_of(grey(100 + step))) is not None for step in range(5)]
    assert repeated == [True, True, True, False, False]


def test_without_a_gate_even_the_same_frame_is_run() -> None:
    history = FrameHistory(smoothing=0.5)
    history.ran(thumbnail_of(grey(100)), scores_of(1.0), 1)
    assert history.repeated(thumbnail_of(grey(100))) is None


def test_a_frame_that_asks_for_a_map_is_run_until_one_was_made() -> None:
    history = FrameHistory(gate=2.0)
    thumbnail, shown = thumbnail_of(grey(100)), np.ones((7, 7), np.float32)
    history.ran(thumbnail, scores_of(0.1, 0.9), 1)
    assert history.repeated(thumbnail, explain=True) is None
    history.ran(thumbnail, scores_of(0.1, 0.9), 1, shown)
    again = history.repeated(thumbnail, explain=True)
    assert again is not None
    assert again.shown is shown


def test_smoothing_is_an_exponential_average_of_the_frames_in_order() -> None:
    history = FrameHistory(smoothing=0.75)
    own = np.random.default_rng(1).random((20, 5)).astype(np.float32)
    told = [history.ran(thumbnail_of(grey(100 + row % 3)), scores, 1).scores for row, scores in enumerate(own)]
    weights = [0.75 ** (19 - row) * (0.25 if row else 1.0) for row in range(20)]
    np.testing.assert_allclose(told[-1], np.average(own.astype(np.float64), axis=0, weights=weights), rtol=1e-5)
    np.testing.assert_array_equal(told[0], own[0])


def test_a_scene_cut_starts_the_average_anew() -> None:
    history = FrameHistory(smoothing=0.9)
    history.ran(thumbnail_of(grey(100)), scores_of(1.0, 0.0), 1)
    panned = history.ran(thumbnail_of(grey(100 + SCENE_CUT - 1)), scores_of(0.0, 1.0), 1)
    assert panned.scores.tolist() == pytest.approx([0.9, 0.1])
    cut = history.ran(thumbnail_of(grey(100 + 2 * SCENE_CUT)), scores_of(0.0, 1.0), 1)
    assert cut.scores.tolist() == [0.0, 1.0]


def test_a_map_of_another_class_than_the_one_told_is_not_shown() -> None:
    history = FrameHistory(smoothing=0.9)
    thumbnail, shown = thumbnail_of(grey(100)), np.ones((7, 7), np.float32)
    assert history.ran(thumbnail, scores_of(1.0, 0.0), 1, shown).shown is shown
    assert history.ran(thumbnail, scores_of(0.0, 1.0), 1, shown).shown is None


def test_what_is_told_is_a_copy() -> None:
    """An engine may write the next batch's scores where it wrote the last one's."""
    history, scores = FrameHistory(gate=1.0), scores_of(0.2, 0.8)
    told = history.ran(thumbnail_of(grey(1)), scores, 1)
    scores[:] = 0.0
    assert told.scores.tolist() == pytest.approx([0.2, 0.8])


@pytest.mark.parametrize("options", [{"gate": -1.0}, {"gate": 256.0}, {"smoothing": 1.0}, {"smoothing": -0.1}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"gate|smoothing"):
        FrameHistory(**options)


def test_options_that_are_no_numbers_are_refused() -> None:
    for options in ({"gate": float("nan")}, {"smoothing": float("nan")}):
        with pytest.raises(ValueError, match="nan"):
            FrameHistory(**options)


def view(photo: Image.Image, shift: float) -> Pixels:
    """A model's input from four fifths of a photo, ``shift`` of that view right of the middle."""
    width, height = (0.8 * side for side in photo.size)
    left, top = (photo.width - width) / 2 + shift * width, (photo.height - height) / 2
    return np.asarray(photo.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + width, top + height)))


@pytest.mark.needs_clothing
def test_real_photos_cut_and_real_pans_do_not(clothing: Path) -> None:
    """What ``SCENE_CUT`` was chosen by."""
    files = sorted((clothing / "validation").glob("*/*.jpg"))[::3]
    photos = [Image.open(file).convert("RGB") for file in files]
    still = [thumbnail_of(view(photo, 0.0)) for photo in photos]
    panned = [thumbnail_of(view(photo, 0.05)) for photo in photos]
    order = np.random.default_rng(0).permutation(len(photos))
    cuts = [difference(still[one], still[other]) for one, other in zip(order, np.roll(order, 1), strict=True)]
    pans = [difference(*pair) for pair in zip(still, panned, strict=True)]
    assert np.mean(np.array(cuts) > SCENE_CUT) > 0.97
    assert np.mean(np.array(pans) < SCENE_CUT) > 0.90
