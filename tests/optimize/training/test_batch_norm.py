"""Statistics computed anew, against numpy's mean and variance over all that a batch norm saw."""

import numpy as np
import pytest
import torch
from torch import nn

from optimize.errors import TrainingError
from optimize.training.batch_norm import frozen_norms, reestimate
from optimize.training.transfer import PLANS
from tests.optimize.training.network.small import grey_pictures, small_network


def test_statistics_are_those_of_all_pictures_together() -> None:
    """Batches of different sizes and means, far from zero: as if it were one batch."""
    draw = np.random.default_rng(0)
    batches = [draw.normal(1000 + 50 * n, 1 + n, (n, 3, 5, 4)).astype(np.float32) for n in (2, 7, 4)]
    norm = nn.BatchNorm2d(3)
    assert reestimate(nn.Sequential(norm), [torch.from_numpy(batch) for batch in batches]) == 13
    everything = np.concatenate(batches).astype(np.float64)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    np.testing.assert_allclose(norm.running_mean.numpy(), everything.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var.numpy(), everything.var((0, 2, 3), ddof=1), rtol=1e-5)


def test_nothing_but_the_statistics_changes() -> None:
    module = small_network(dropout=0.5, batch_norm_momentum=0.2).module.train()
    module.get_submodule("stem").eval()
    modes = [part.training for part in module.modules()]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    reestimate(module, grey_pictures(8).split(4))
    changed = {key for key, value in module.state_dict().items() if not torch.equal(before[key], value)}
    assert changed == {key for key in before if "running_" in key}
    assert [part.training for part in module.modules()] == modes
    assert {part.momentum for part in module.modules() if isinstance(part, nn.BatchNorm2d)} == {0.2}
    assert not any(part._forward_pre_hooks for part in module.modules())


def test_of_one_batch_it_is_what_training_with_a_momentum_of_one_gives() -> None:
    """Torch's own running statistics of the same batch."""
    ours, theirs = small_network(), small_network(batch_norm_momentum=1.0, dropout=0.0)
    pictures = grey_pictures(16)
    theirs.module(pictures)
    reestimate(ours.module, [pictures])
    state = theirs.module.state_dict()
    for key, value in ours.module.state_dict().items():
        if "running_" in key:
            torch.testing.assert_close(value, state[key], rtol=1e-4, atol=1e-6)


def test_pictures_of_another_domain_are_normalised_like_the_first() -> None:
    """AdaBN's point: what enters after the first norm has mean 0 and variance 1 again."""
    module = small_network().module
    brighter = 3 * grey_pictures(32) + 5
    reestimate(module, [brighter])
    module.eval()
    conv, norm = module.get_submodule("stem.0"), module.get_submodule("stem.1")
    out = norm(conv(brighter))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.var((0, 2, 3)), torch.ones(24), atol=1e-2, rtol=0)


def test_kept_norms_stay() -> None:
    module = small_network().module
    reestimate(module, [grey_pictures()], keep=("stem.1",))
    assert not module.get_buffer("stem.1.running_mean").any()
    assert module.get_buffer("blocks.0.bn1.running_mean").any()


def test_frozen_norms_are_those_that_training_does_not_move() -> None:
    network = small_network()
    PLANS.choose("partial", {"stages": 2}).begin_epoch(network, 0, 1)
    assert frozen_norms(network) == ("stem.1", "blocks.0.bn1", "blocks.0.bn2")
    assert len(frozen_norms(small_network(batch_norm="frozen"))) == 9
    assert frozen_norms(small_network()) == ()


def test_a_failing_batch_leaves_the_statistics_as_they_were() -> None:
    module = small_network().module
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(RuntimeError):
        reestimate(module, [grey_pictures(), torch.zeros(2, 7, 16, 16)])
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_single_pictures_are_no_batch() -> None:
    with pytest.raises(TrainingError, match="two pictures or more"):
        reestimate(small_network().module, grey_pictures(3).split(1))


def test_a_network_without_batch_norms_has_nothing_to_estimate() -> None:
    assert reestimate(nn.Sequential(nn.Linear(2, 2)), []) == 0
