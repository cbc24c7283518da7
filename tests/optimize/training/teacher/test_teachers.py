"""What a teacher says of pictures, and that it stays as it is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import log_softmax, softmax
from torch import nn

from model_zoo.spec import InputSpec, Resize
from optimize.errors import DataError
from optimize.training.teacher.class_order import class_order
from optimize.training.teacher.ensemble import EnsembleTeacher
from optimize.training.teacher.fit_pictures import fit_pictures
from optimize.training.teacher.teacher import TorchTeacher
from tests.optimize.training.terms.steps import CLASSES, SPEC, SmallNet, teacher

RGB = InputSpec(8, 6, 3, "rgb", Resize("shorter_side", 9, "bilinear"), "centre", (10.0, 20.0, 30.0), (50.0, 60.0, 70.0))


class Means(nn.Module):
    """(N, 3, H, W) → the mean of each channel, (N, 3)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def means(own: tuple[str, ...] = ("r", "g", "b"), classes: tuple[str, ...] = ("r", "g", "b")) -> TorchTeacher:
    return TorchTeacher(Means(), RGB, said="means", fingerprint="m", own=own, classes=classes)


def test_normalises_as_its_bundle_says() -> None:
    pictures = torch.rand(2, 3, 8, 6)
    expected = (255 * pictures.double().numpy().mean(axis=(2, 3)) - [10, 20, 30]) / [50, 60, 70]
    np.testing.assert_allclose(means()(pictures).logits.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_answers_in_the_students_order() -> None:
    pictures = torch.rand(2, 3, 8, 6)
    turned = means(classes=("b", "r", "g"))(pictures).logits
    assert torch.equal(turned, means()(pictures).logits[:, [2, 0, 1]])


@given(order=st.permutations(CLASSES))
def test_the_order_is_found_by_name(order: list[str]) -> None:
    places = class_order(order, CLASSES, "it")
    assert tuple(order[place] for place in places) == CLASSES


def test_other_classes_are_named() -> None:
    with pytest.raises(DataError, match=r"the data have 2 .*'cat', 'dog'; the teacher has 1 .*'cow'"):
        class_order(("ant", "bee", "cow"), CLASSES, "it")
    with pytest.raises(DataError, match="'c5', …"):
        class_order([*CLASSES, *(f"c{n}" for n in range(1, 10))], CLASSES, "it")
    with pytest.raises(DataError, match="occurs twice"):
        class_order(("ant", "ant"), ("ant",), "it")


def test_stays_in_evaluation_mode_and_frozen() -> None:
    master = teacher()
    master.train()
    assert not any(module.training for module in master.modules())
    assert not any(parameter.requires_grad for parameter in master.parameters())
    pictures = torch.rand(2, 1, 16, 16, requires_grad=True)
    seen = master(pictures)
    assert not seen.logits.requires_grad
    assert torch.equal(seen.logits, master(pictures).logits)


def test_is_no_part_of_what_is_saved() -> None:
    assert all(key.startswith("_network.") for key in teacher().state_dict())


@pytest.mark.parametrize(
    ("filter_name", "pillow"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("size", [(40, 30), (8, 20), (5, 4)])
def test_resizes_as_pillow_does(filter_name: str, pillow: Image.Resampling, size: tuple[int, int]) -> None:
    spec = InputSpec(16, 12, 1, "grey", Resize("stretch", 16, filter_name), "none", (0.0,), (255.0,))  # type: ignore[arg-type]
    coarse = np.random.default_rng(0).integers(40, 215, size).astype(np.float32)
    ours = fit_pictures(torch.from_numpy(coarse)[None, None] / 255, spec)[0, 0].numpy() * 255
    theirs = np.asarray(Image.fromarray(coarse).resize((12, 16), pillow))
    np.testing.assert_allclose(ours, theirs.clip(0, 255), atol=0.01)


def test_turns_grey_to_rgb_and_back() -> None:
    grey = torch.rand(2, 1, 8, 6)
    assert torch.equal(fit_pictures(grey, RGB), grey.repeat(1, 3, 1, 1))
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    pillow = np.asarray(Image.fromarray(levels).convert("L")).astype(np.float64)
    ours = fit_pictures(torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255, SPEC)[0, 0].numpy() * 255
    np.testing.assert_allclose(ours, pillow, atol=1.0)


def test_may_look_at_the_students_size() -> None:
    network = SmallNet(3)
    both = [
        TorchTeacher(network, SPEC, said="", fingerprint="", own=CLASSES, classes=CLASSES, own_size=own_size)
        for own_size in (True, False)
    ]
    pictures = torch.rand(2, 1, 12, 12)
    with torch.no_grad():
        assert torch.allclose(both[1](pictures).logits, network.eval()(pictures))
    assert torch.allclose(both[0](pictures).logits, both[1](fit_pictures(pictures, SPEC)).logits)
    assert not torch.allclose(both[0](pictures).logits, both[1](pictures).logits)


@pytest.mark.parametrize("weights", [None, [3.0, 1.0, 2.0]])
def test_an_ensemble_answers_with_the_mean_probability(weights: list[float] | None) -> None:
    members = [teacher(seed=seed) for seed in (1, 2, 3)]
    pictures = torch.rand(4, 1, 16, 16)
    shares = np.array(weights or [1, 1, 1]) / sum(weights or [1, 1, 1])
    rows = np.stack([softmax(one(pictures).logits.double().numpy(), axis=1) for one in members])
    expected = np.tensordot(shares, rows, 1)
    logits = EnsembleTeacher(members, weights)(pictures).logits.double().numpy()
    np.testing.assert_allclose(softmax(logits, axis=1), expected, rtol=1e-5)
    np.testing.assert_allclose(log_softmax(logits, axis=1), logits, atol=1e-5)


def test_an_ensemble_of_very_sure_members_has_logits() -> None:
    sure = means()
    assert bool(EnsembleTeacher([sure, means()])(1e4 * torch.rand(2, 3, 8, 6)).logits.isfinite().all())


def test_ensembles_are_told_apart() -> None:
    first, second = teacher(seed=1), teacher(seed=2)
    prints = {
        EnsembleTeacher([first, second]).fingerprint,
        EnsembleTeacher([second, first]).fingerprint,
        EnsembleTeacher([first, second], [2.0, 1.0]).fingerprint,
        EnsembleTeacher([first]).fingerprint,
    }
    assert len(prints) == 4
    assert (
        EnsembleTeacher([first, second], [4.0, 2.0]).fingerprint
        == EnsembleTeacher([first, second], [2.0, 1.0]).fingerprint
    )
