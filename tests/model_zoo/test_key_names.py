"""Foreign names of tensors, brought to ours."""

import re

import pytest
import torch

from model_zoo.architectures import build
from model_zoo.key_names import PREFIXES, convert_keys


def keys_of(name: str) -> list[str]:
    with torch.device("meta"):
        return list(build(name, 10).state_dict())


def test_what_fits_stays_as_it_is() -> None:
    keys = keys_of("mobilenet_v3_small")
    assert list(convert_keys(dict.fromkeys(keys, 0), keys)) == keys


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.model.", "_orig_mod.module."])
def test_wrappers_prefixes_go(prefix: str) -> None:
    keys = keys_of("resnet18")
    assert list(convert_keys({prefix + key: 0 for key in keys}, keys)) == keys


def test_a_prefix_that_the_network_itself_has_stays() -> None:
    wanted = ["model.0.weight", "model.0.bias"]
    assert list(convert_keys(dict.fromkeys(wanted, 0), wanted)) == wanted


def test_a_prefix_that_only_some_keys_have_stays() -> None:
    given = {"module.a": 0, "b": 1}
    assert convert_keys(given, ["a", "b"]) == given


def test_old_densenet_names() -> None:
    """torchvision before 0.3 wrote ``norm.1`` where it now writes ``norm1``."""
    keys = keys_of("densenet121")
    old = [re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key) for key in keys]
    assert sum(a != b for a, b in zip(keys, old, strict=True)) == 58 * 12
    assert list(convert_keys(dict.fromkeys(old, 0), keys)) == keys


def test_values_stay_with_their_keys() -> None:
    given = {"module.features.denseblock1.denselayer1.norm.1.weight": 1, "module.features.norm0.bias": 2}
    wanted = keys_of("densenet121")
    assert convert_keys(given, wanted) == {"features.denseblock1.denselayer1.norm1.weight": 1, "features.norm0.bias": 2}


def test_efficientnet_lite_blocks_are_counted_through() -> None:
    """Lite1 has 1, 3, 3, 4, 4, 5, 1 blocks: the fifth, counted from 0, is the second of the third stage."""
    given = {
        "_conv_stem.weight": 0,
        "_bn0.weight": 1,
        "_blocks.0._depthwise_conv.weight": 2,
        "_blocks.0._bn2.bias": 3,
        "_blocks.5._bn0.running_mean": 4,
        "_blocks.5._project_conv.weight": 5,
        "_blocks.20._depthwise_conv.weight": 6,
        "_fc.bias": 7,
    }
    assert list(convert_keys(given, keys_of("efficientnet_lite1"))) == [
        "conv_stem.weight",
        "bn1.weight",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.bn2.bias",
        "blocks.2.1.bn1.running_mean",
        "blocks.2.1.conv_pwl.weight",
        "blocks.6.0.conv_dw.weight",
        "classifier.bias",
    ]
