"""Networks whose backward torch gets wrong in the layout by channels are trained in the other."""

from pathlib import Path

import pytest
import torch
from torch import nn

from optimize.data.read import read_data
from optimize.training.assembly import assembled
from optimize.training.memory_format import may_lie_by_channel
from tests.optimize.training.small_runs import small_recipe, write_stripes

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("layer", "may"),
    [
        (nn.Conv2d(4, 8, 1, stride=2), False),
        (nn.Conv2d(7, 8, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 16, 1, stride=2, groups=4), False),
        (nn.Conv2d(8, 8, 1, stride=2), True),
        (nn.Conv2d(4, 8, 1), True),
        (nn.Conv2d(4, 8, 3, stride=2), True),
        (nn.Conv2d(1, 8, 3, stride=2), True),
    ],
)
def test_narrow_strided_points_stay_in_the_ordinary_layout(layer: nn.Module, may: bool) -> None:
    assert may_lie_by_channel(nn.Sequential(nn.Conv2d(3, 8, 3), layer), CPU) is may
    assert may_lie_by_channel(layer, torch.device("cuda"))


@pytest.mark.parametrize("by_channel", [True, False])
def test_weights_lie_as_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_channel: bool) -> None:
    monkeypatch.setattr("optimize.training.assembly.may_lie_by_channel", lambda *_: by_channel)
    recipe = small_recipe(write_stripes(tmp_path / "pictures"))
    with assembled(recipe, read_data(recipe.data, recipe.seed), tmp_path / "run", print) as parts:
        kernels = [one.weight for one in parts.network.module.modules() if isinstance(one, nn.Conv2d)]
        wide = [one for one in kernels if one.shape[1] > 1 and one.shape[2] > 1]
        assert wide
        assert {one.is_contiguous(memory_format=torch.channels_last) for one in wide} == {by_channel}
