"""CORAL and DANN against the papers' formulas in float64, and as summands that train."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from optimize.errors import RecipeError
from optimize.training.network.feature_taps import FeatureTaps
from optimize.training.step import Seen, Term
from optimize.training.terms import TERMS
from optimize.training.terms.dann import DannTerm, reverse_gradient
from tests.optimize.training.network.small import grey_pictures, small_network
from tests.optimize.training.terms.domain_steps import context_of, step_of

DOMAIN = pytest.mark.parametrize("name", ["coral", "dann"])
FEATURES = pytest.mark.parametrize("feature", ["pooled", "logits", "blocks.1"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def paper_coral(source: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Equations 1 to 3 of Sun & Saenko, as they stand there."""

    def covariance(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(rows)
        ones = np.ones((1, n))
        product: NDArray[np.float64] = (rows.T @ rows - (ones @ rows).T @ (ones @ rows) / n) / (n - 1)
        return product

    d = source.shape[1]
    return float(np.linalg.norm(covariance(source) - covariance(target), "fro") ** 2 / (4 * d * d))


def test_coral_is_the_papers_distance() -> None:
    source, target = noise(7, 5), 2 * noise(4, 5, seed=1) + 1
    term = TERMS.choose("coral", {"feature": "logits"}).build(context_of(small_network().module))
    value = term(step_of(Seen(source), Seen(target)))
    assert value.item() == pytest.approx(paper_coral(source.double().numpy(), target.double().numpy()), rel=1e-4)


def test_coral_of_one_domain_with_itself_is_nothing() -> None:
    term = TERMS.choose("coral", {"feature": "logits", "means": True}).build(context_of(small_network().module))
    assert term(step_of(Seen(noise(6, 3)), Seen(noise(6, 3)))).item() == 0


def test_coral_sees_means_only_when_asked() -> None:
    source, target = noise(6, 3), noise(6, 3) + torch.tensor([1.0, 2.0, 0.0])
    values = []
    for means in (False, True):
        term = TERMS.choose("coral", {"feature": "logits", "means": means}).build(context_of(small_network().module))
        values.append(term(step_of(Seen(source), Seen(target))).item())
    assert values == pytest.approx([0.0, 5 / 3], abs=1e-5)


def test_a_batch_of_one_picture_has_no_covariance_and_no_nan() -> None:
    term = TERMS.choose("coral", {"feature": "logits"}).build(context_of(small_network().module))
    assert math.isfinite(term(step_of(Seen(noise(6, 3)), Seen(noise(1, 3)))).item())


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_the_reversal_grows_as_in_the_paper(progress: float) -> None:
    term = TERMS.choose("dann", {"gamma": 10.0, "strength": 0.7}).build(context_of(small_network().module))
    assert isinstance(term, DannTerm)
    assert term.reversal(progress) == pytest.approx(0.7 * (2 / (1 + math.exp(-10 * progress)) - 1))


def test_a_reversed_gradient_goes_forward_unchanged() -> None:
    x = noise(3, 2).requires_grad_()
    turned = reverse_gradient(x, 0.25)
    assert torch.equal(turned, x)
    (3 * turned).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, -0.75))


def test_dann_is_the_cross_entropy_of_telling_the_domains_apart() -> None:
    source, target = noise(5, 3), noise(3, 3, seed=1)
    term = TERMS.choose("dann", {"feature": "logits", "hidden": 4}).build(context_of(small_network().module))
    assert isinstance(term, DannTerm)
    says = [term.discriminator(rows).double().sigmoid()[:, 0] for rows in (source, target)]
    wanted = -((1 - says[0]).log().mean() + says[1].log().mean()) / 2
    assert term(step_of(Seen(source), Seen(target))).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_discriminator_and_features_want_the_opposite() -> None:
    """A descent step on the features makes the domains harder to tell, one on the discriminator easier."""
    source, target = (noise(40, 3) - 1).requires_grad_(), (noise(40, 3, seed=1) + 1).requires_grad_()
    term = TERMS.choose("dann", {"feature": "logits"}).build(context_of(small_network().module))

    def value() -> Tensor:
        found: Tensor = term(step_of(Seen(source), Seen(target), progress=1.0))
        return found

    optimiser = torch.optim.SGD(term.parameters(), lr=0.5)
    first = value()
    for _ in range(30):
        optimiser.zero_grad()
        value().backward()
        optimiser.step()
    learnt = value()
    assert learnt.item() < 0.5 * first.item()
    gradients = torch.autograd.grad(learnt, (source, target))
    with torch.no_grad():
        for rows, gradient in zip((source, target), gradients, strict=True):
            rows -= 5.0 * gradient
    assert value().item() > learnt.item()


@DOMAIN
@FEATURES
def test_a_domain_term_reaches_the_network_through_its_taps(name: str, feature: str) -> None:
    module = small_network(seed=2).module
    term = TERMS.choose(name, {"feature": feature}).build(context_of(module))
    assert term.wants_target_domain
    with FeatureTaps(module, term.student_features) as taps:
        source = Seen(module(grey_pictures(6)), taps.take())
        target = Seen(module(2 * grey_pictures(4, seed=3)), taps.take())
    value = term(step_of(source, target, network=module))
    assert value.shape == ()
    value.backward()
    stem = module.get_parameter("stem.0.weight").grad
    assert stem is not None
    assert stem.abs().sum() > 0


@DOMAIN
def test_half_precision_is_widened(name: str) -> None:
    term = TERMS.choose(name, {"feature": "logits"}).build(context_of(small_network().module))
    rows = [Seen(noise(6, 3, seed=seed).bfloat16()) for seed in (0, 1)]
    assert term(step_of(*rows)).dtype == torch.float32


@DOMAIN
def test_without_a_target_folder_the_recipe_is_told(name: str) -> None:
    term = TERMS.choose(name, {"feature": "logits"}).build(context_of(small_network().module))
    with pytest.raises(RecipeError, match=r"set data\.target"):
        term(step_of(Seen(noise(6, 3))))


@DOMAIN
def test_an_unknown_feature_gets_the_nearest(name: str) -> None:
    with pytest.raises(RecipeError, match="did you mean 'pooled'"):
        TERMS.choose(name, {"feature": "poled"}).build(context_of(small_network().module))


def test_the_discriminators_weights_depend_on_the_seed_alone() -> None:
    def built() -> Term:
        return TERMS.choose("dann").build(context_of(small_network().module))

    torch.manual_seed(1)
    first = built()
    state = torch.random.get_rng_state()
    second = built()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert any(isinstance(part, nn.Linear) and part.in_features == 64 for part in first.modules())
