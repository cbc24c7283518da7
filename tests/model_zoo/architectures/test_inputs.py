"""The input specs, held to what the published weights were evaluated with."""

import pytest

from model_zoo.architectures import ARCHITECTURES, input_spec
from model_zoo.spec import Resize


@pytest.mark.parametrize(
    ("number", "side", "resized"), [(0, 224, 256), (1, 240, 274), (2, 260, 297), (3, 280, 320), (4, 300, 343)]
)
def test_efficientnet_lite_sizes(number: int, side: int, resized: int) -> None:
    """Sizes of TensorFlow's release, of which the centre 0.875 is shown."""
    spec = input_spec(f"efficientnet_lite{number}")
    assert (spec.height, spec.width) == (side, side)
    assert spec.resize == Resize("shorter_side", resized, "bicubic", antialias=True)
    assert (spec.graph_mean, spec.graph_std) == ((127.0,) * 3, (128.0,) * 3)


def test_torchvision_normalisation_in_pixel_units() -> None:
    spec = input_spec("resnet18")
    assert spec.graph_mean == pytest.approx([255 * m for m in (0.485, 0.456, 0.406)])
    assert spec.graph_std == pytest.approx([255 * s for s in (0.229, 0.224, 0.225)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_entry_has_an_input_that_fits_itself(name: str) -> None:
    spec = input_spec(name)
    assert spec.channels == len(spec.graph_mean) == len(spec.graph_std)
    assert (spec.colour == "grey") == (spec.channels == 1)
    assert spec.resize.mode == "stretch" or spec.resize.size >= max(spec.height, spec.width)
