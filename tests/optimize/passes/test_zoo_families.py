"""Every family of the zoo in 8 bits: answers as before, and all layers in integer kernels.

Random weights whose batch norms have seen photos; the answers are compared with the float
net's on photos that calibrated nothing. Untrained nets tell pictures apart by little, so rounding
weighs more than in trained ones; what is wired wrongly errs by the whole spread.
The nets are cut short, every kind of block kept.
"""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from model_zoo.architectures import build, input_spec, resnet
from model_zoo.architectures.mobilenet_v2 import STAGES
from model_zoo.architectures.mobilenet_v3 import SMALL
from model_zoo.export import export_onnx
from model_zoo.spec import InputSpec
from optimize.judging.arithmetic import open_model
from optimize.judging.fused import fused_share
from optimize.passes.quantize_int8 import QuantizeInt8, quantize_with_twin
from server.backends.saturation import may_saturate
from tests.model_zoo.labelled_photos import photos
from tests.model_zoo.test_export import settled

SIDE = 64
# What is kept of each, and its error as a share of the logits' spread.
FAMILIES: dict[str, tuple[dict[str, object], float]] = {
    "grey28_small": ({}, 0.15),
    "grey28_wide": ({"mirrored": True}, 0.15),
    "efficientnet_lite0_short": ({}, 0.3),
    "mobilenet_v2": ({"stages": STAGES[:3]}, 0.1),
    "mobilenet_v3_small": ({"blocks": SMALL[:3]}, 0.25),
    "resnet18": ({"depths": (1, 1, 1, 1)}, 0.1),
    "seresnet50": ({"depths": (1, 1, 1, 1)}, 0.1),
    "squeezenet1_1": ({}, 0.1),
    "densenet121": ({"depths": (2, 1)}, 0.1),
    "shufflenet_v2_x0_5": ({"repeats": (2, 1, 1)}, 0.2),
}
QUICK = {"grey28_wide", "resnet18"}


def _pictures(spec: InputSpec) -> NDArray[np.uint8]:
    if spec.channels == 3:
        return photos(spec)[0]
    colour = photos(replace(input_spec("resnet18"), height=spec.height, width=spec.width))[0]
    return colour.mean(axis=3, keepdims=True).astype(np.uint8)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_answers_nearly_as_before_in_integers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet, "STAGE_CHANNELS", (8, 16, 24, 32))
    torch.manual_seed(0)
    arguments, allowed = FAMILIES[name]
    spec = input_spec(name)
    if spec.height > SIDE:
        spec = replace(spec, height=SIDE, width=SIDE)
    model = export_onnx(settled(build(name, 20, **arguments), spec), spec)  # type: ignore[arg-type]
    pictures = _pictures(spec)
    smaller, twin = quantize_with_twin(model, pictures[::2], QuantizeInt8(range_method="min_max"))
    expected, *found = (open_model(one, "reference")(pictures[1::2]) for one in (model, smaller, twin))
    error, of_twin = (float(np.sqrt(((got - expected) ** 2).mean()) / expected.std()) for got in found)
    assert error < allowed
    assert of_twin < 2 * allowed, "its steps are twice as wide at most, where nothing is negative"
    assert fused_share(smaller).share == 1
    assert not may_saturate(smaller)
    np.testing.assert_array_equal(open_model(smaller, "fast")(pictures), open_model(smaller, "exact")(pictures))
    assert _outputs(smaller) == _outputs(twin) == _outputs(model)


def _outputs(model: bytes) -> list[str]:
    return [one.name for one in onnx.load_from_string(model).graph.output]
