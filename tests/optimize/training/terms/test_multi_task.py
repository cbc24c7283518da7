"""Soft sharing's tie and the weighing by uncertainty, against their formulas."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from optimize.errors import RecipeError
from optimize.training.step import Seen
from optimize.training.tasks.soft_sharing import SoftSharing
from optimize.training.terms import TERMS
from optimize.training.terms.task_uncertainty import UncertaintyTerm
from tests.optimize.training.network.small import ANIMALS, COLOURS, small_network
from tests.optimize.training.terms.domain_steps import context_of, step_of

SLICES = (slice(0, 3), slice(3, 5))
LOGITS = torch.tensor([[1.0, 0.0, -1.0, 0.5, 0.0], [0.0, 2.0, 0.0, -1.0, 1.0]])
TARGETS = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0]])


def uncertainty(**settings: object) -> UncertaintyTerm:
    """The term for the two tasks."""
    term = TERMS.choose("task_uncertainty", settings).build(context_of(nn.Identity(), *SLICES))
    assert isinstance(term, UncertaintyTerm)
    return term


def both_losses() -> tuple[float, float]:
    """The tasks' cross-entropies, by torch."""
    first, second = (F.cross_entropy(LOGITS[:, part], TARGETS[:, part]).item() for part in SLICES)
    return first, second


def test_the_tie_is_half_the_squared_distance_of_two_trunks() -> None:
    network = small_network(ANIMALS, COLOURS, sharing="soft").module
    assert isinstance(network, SoftSharing)
    term = TERMS.choose("soft_sharing").build(context_of(network, *SLICES))
    step = step_of(Seen(LOGITS), network=network)
    assert term(step).item() == 0
    wanted = 0.0
    draw = torch.Generator().manual_seed(0)
    others = dict(network.networks[1].named_parameters())
    for name, parameter in network.networks[0].named_parameters():
        with torch.no_grad():
            parameter += 0.01 * torch.randn(parameter.shape, generator=draw)
        if not name.startswith("classifier"):
            wanted += (parameter.double() - others[name].double()).square().sum().item() / 2
    assert term(step).item() == pytest.approx(wanted, rel=1e-4)


def test_the_tie_draws_the_trunks_together() -> None:
    network = small_network(ANIMALS, COLOURS, sharing="soft").module
    term = TERMS.choose("soft_sharing").build(context_of(network, *SLICES))
    with torch.no_grad():
        network.get_parameter("networks.0.stem.0.weight").add_(0.5)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    value = term(step_of(Seen(LOGITS), network=network))
    value.backward()
    optimiser.step()
    assert term(step_of(Seen(LOGITS), network=network)).item() < value.item()


def test_the_tie_needs_a_trunk_for_each_task() -> None:
    with pytest.raises(RecipeError, match=r'model\.sharing = "soft"'):
        TERMS.choose("soft_sharing").build(context_of(small_network().module))


def test_uncertainties_weigh_the_tasks_as_in_the_paper() -> None:
    term = uncertainty()
    with torch.no_grad():
        term.log_variances.copy_(torch.tensor([0.4, -0.8]))
    first, second = both_losses()
    wanted = math.exp(-0.4) * first + 0.4 / 2 + math.exp(0.8) * second - 0.8 / 2
    assert term(step_of(Seen(LOGITS), targets=TARGETS, slices=SLICES)).item() == pytest.approx(wanted, rel=1e-5)


def test_at_first_every_task_counts_once() -> None:
    value = uncertainty()(step_of(Seen(LOGITS), targets=TARGETS, slices=SLICES)).item()
    assert value == pytest.approx(sum(both_losses()), rel=1e-6)


def test_the_variances_learn_where_they_are_best() -> None:
    """The minimum over s of exp(−s) L + s / 2 lies at s = log 2L."""
    term = uncertainty()
    optimiser = torch.optim.SGD(term.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        term(step_of(Seen(LOGITS), targets=TARGETS, slices=SLICES)).backward()
        optimiser.step()
    assert term.log_variances.tolist() == pytest.approx([math.log(2 * loss) for loss in both_losses()], abs=1e-3)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_task_without_labels_in_the_batch_keeps_out(missing: int) -> None:
    targets: Tensor = TARGETS.clone()
    targets[:, SLICES[missing]] = 0
    term = uncertainty()
    with torch.no_grad():
        term.log_variances.fill_(0.3)
    value = term(step_of(Seen(LOGITS), targets=targets, slices=SLICES))
    assert value.item() == pytest.approx(math.exp(-0.3) * both_losses()[1 - missing] + 0.15, rel=1e-5)
    value.backward()
    assert term.log_variances.grad is not None
    assert term.log_variances.grad[missing] == 0


def test_a_picture_without_one_label_counts_for_the_other_task() -> None:
    targets = TARGETS.clone()
    targets[0, SLICES[1]] = 0
    first, second = both_losses()[0], F.cross_entropy(LOGITS[1:, SLICES[1]], TARGETS[1:, SLICES[1]]).item()
    value = uncertainty()(step_of(Seen(LOGITS), targets=targets, slices=SLICES))
    assert value.item() == pytest.approx(first + second, rel=1e-6)


def test_any_loss_with_its_settings_can_be_weighed() -> None:
    term = uncertainty(loss="cross_entropy", settings={"smoothing": 0.2})
    wanted = sum(F.cross_entropy(LOGITS[:, part], TARGETS[:, part], label_smoothing=0.2).item() for part in SLICES)
    assert term(step_of(Seen(LOGITS), targets=TARGETS, slices=SLICES)).item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"loss": "cros_entropy"}, "did you mean 'cross_entropy'"), ({"settings": {"smoothin": 0.1}}, "'smoothing'")],
)
def test_a_loss_that_there_is_not(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TERMS.choose("task_uncertainty", settings)


def test_one_task_has_nothing_to_be_weighed_against() -> None:
    with pytest.raises(RecipeError, match="there is one"):
        TERMS.choose("task_uncertainty").build(context_of(nn.Identity(), SLICES[0]))
