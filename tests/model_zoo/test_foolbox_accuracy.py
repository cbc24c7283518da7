"""The real weights on 20 labelled ImageNet photos: is the input right, from resize to normalisation?

A wrong filter, crop, mean, padding or batch norm epsilon costs hits here. FP32,
reference preprocessing, torch; the exported graph is held to the same in ``test_export.py``.
"""

import pytest
import torch
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.export import reference_logits
from model_zoo.weights import fit_weights, pretrained
from tests.model_zoo.labelled_photos import photos, top_hits


def with_real_weights(name: str) -> nn.Module:
    torch.set_num_threads(1)
    module = build(name)
    fit_weights(module, pretrained(name))
    return module.eval()


@pytest.mark.parametrize(("number", "top_1", "top_5"), [(0, 18, 19), (1, 18, 19), (2, 18, 19)])
def test_photos_are_recognised(number: int, top_1: int, top_5: int) -> None:
    name = f"efficientnet_lite{number}"
    spec = input_spec(name)
    pictures, labels = photos(spec)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        logits = with_real_weights(name)((pixels - 127) / 128).numpy()
    assert len(labels) == 20
    assert top_hits(logits, labels, 1) >= top_1
    assert top_hits(logits, labels, 5) >= top_5


def test_normalisation_is_what_the_graph_does() -> None:
    """Pixels through the spec's mean and std give what (x − 127) / 128 gives, in float64."""
    spec, module = input_spec("efficientnet_lite0"), with_real_weights("efficientnet_lite0")
    pictures, _ = photos(spec)
    pixels = torch.from_numpy(pictures[:2]).permute(0, 3, 1, 2).double()
    with torch.no_grad():
        expected = module.double()((pixels - 127) / 128)
    got = torch.from_numpy(reference_logits(module, spec, pictures[:2]))
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5)
