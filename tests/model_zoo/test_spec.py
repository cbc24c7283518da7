"""What an input becomes at another size."""

from hypothesis import given
from hypothesis import strategies as st

from model_zoo.architectures import input_spec


def test_the_same_size_is_the_same_input() -> None:
    spec = input_spec("resnet18")
    assert spec.at_size(224, 224) is spec


@given(st.integers(16, 1000), st.integers(16, 1000))
def test_the_crop_keeps_its_share_of_the_resized_picture(height: int, width: int) -> None:
    """256 px for a crop of 224 is a share of 8/7, at every size."""
    spec = input_spec("resnet18").at_size(height, width)
    assert (spec.height, spec.width) == (height, width)
    assert abs(spec.resize.size - max(height, width) * 8 / 7) <= 0.5 or (height, width) == (224, 224)
    assert spec.graph_mean == input_spec("resnet18").graph_mean


def test_an_input_without_a_crop_stays_without_one() -> None:
    spec = input_spec("grey28").at_size(32, 32)
    assert (spec.crop, spec.resize.mode, spec.resize.size) == ("none", "stretch", 32)
