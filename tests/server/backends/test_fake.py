"""The fake engine: its answers and its faults."""

import time
from pathlib import Path

import numpy as np
import pytest

from model_zoo.bundle import Bundle
from server.backends import Backend, BackendOptions
from server.backends.errors import BackendError, BackendLoadError
from server.backends.fake import brightness, load
from tests.server.fake_bundles import MeanColour


def fake(bundle: Bundle, **settings: str) -> Backend:
    return load(bundle, BackendOptions(extra={f"fake.{key}": value for key, value in settings.items()}))


def levels(*values: int) -> np.ndarray:
    """Flat pictures of these brightnesses: (N, 16, 12, 3)."""
    return np.stack([np.full((16, 12, 3), value, np.uint8) for value in values])


def test_the_first_class_is_the_brightness(store: Path) -> None:
    bundle = MeanColour(name="ladder", classes=256).write(store)
    logits = fake(bundle).run(levels(0, 7, 128, 255))[0]
    assert logits.argmax(axis=1).tolist() == [0, 7, 128, 255]
    np.testing.assert_allclose(logits.max(axis=1), 0, atol=1e-3)


def test_brightness_is_the_mean_of_all_pixels_in_between() -> None:
    batch = np.zeros((1, 4, 4, 1), np.uint8)
    batch[0, :2] = 255
    assert brightness(batch).tolist() == [0.5]


def test_outputs_have_the_shapes_of_the_bundle(bundle: Bundle) -> None:
    assert [output.shape for output in fake(bundle).run(levels(1, 2))] == [(2, 10), (2, 3)]


def test_a_map_is_the_brightness_of_its_cells(store: Path) -> None:
    bundle = MeanColour(name="fake_maps", maps=True).write(store)
    picture = np.zeros((2, 16, 12, 3), np.uint8)
    picture[0, 4:8, 9:12] = 255
    (maps,) = fake(bundle).run(picture, explain=True)[1:]
    expected = np.zeros((2, 4, 4), np.float32)
    expected[0, 1, 3] = 1
    np.testing.assert_array_equal(maps, expected)
    assert len(fake(bundle).run(picture)) == 1


def test_every_nth_run_fails(bundle: Bundle) -> None:
    instance = fake(bundle, fail_every="3")
    for _ in range(2):
        instance.run(levels(1))
        instance.run(levels(1))
        with pytest.raises(BackendError, match="fail_every"):
            instance.run(levels(1))


def test_rows_and_outputs_can_be_missing(bundle: Bundle) -> None:
    assert [len(output) for output in fake(bundle, missing_rows="1").run(levels(1, 2, 3))] == [2, 2]
    assert len(fake(bundle, missing_outputs="1").run(levels(1))) == 1


def test_delays_are_slept(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    fake(bundle, delay_ms="10", delay_per_image_ms="2.5").run(levels(1, 2))
    fake(bundle).run(levels(1))
    assert slept == [pytest.approx(0.015)]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("delay", "1", "no setting 'fake.delay'"),
        ("delay_ms", "soon", "must be a number"),
        ("delay_ms", "nan", "number"),
        ("fail_every", "-1", "number"),
    ],
)
def test_wrong_settings_are_refused(bundle: Bundle, key: str, value: str, said: str) -> None:
    with pytest.raises(BackendLoadError, match=said):
        fake(bundle, **{key: value})


def test_other_engines_settings_are_not_its_business(bundle: Bundle) -> None:
    options = BackendOptions(extra={"openvino.precision": "bf16"})
    assert load(bundle, options).run(levels(1))[0].shape == (1, 10)
