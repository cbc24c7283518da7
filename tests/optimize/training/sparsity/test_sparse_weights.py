"""Zeros of a network in training, against autograd, plain loops and the pass ``sparsify``."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from optimize.errors import CheckpointError, RecipeError
from optimize.passes import load_pass
from optimize.training.ema import Ema
from optimize.training.sparsity.choosing import chosen_zeros
from optimize.training.sparsity.layers import sparse_layers, zero_share
from optimize.training.sparsity.options import ScoreName, SparsityOptions
from optimize.training.sparsity.sparse_weights import SparseWeights

SPARSE = ("0.weight", "4.weight", "7.weight")


def net() -> nn.Module:
    """A first layer, a depthwise one, a 1×1 one, a last one."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 16, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
    )


def batch(number: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(6, 3, 8, 8, generator=draw), torch.randint(0, 5, (6,), generator=draw)


def step(network: nn.Module, optimiser: torch.optim.Optimizer, sparse: SparseWeights, update: int) -> None:
    """What the loop does."""
    optimiser.zero_grad(set_to_none=True)
    pictures, classes = batch(update)
    functional.cross_entropy(network(pictures), classes).backward()
    sparse.see_gradients()
    optimiser.step()
    sparse.moved(update)


def trained(options: SparsityOptions, updates: int = 12) -> tuple[nn.Module, SparseWeights]:
    network = net()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    sparse = SparseWeights(network, options, updates)
    for update in range(updates):
        step(network, optimiser, sparse, update)
    return network, sparse


def test_a_single_round_by_magnitude_is_the_pass_s() -> None:
    """The same layers, and in them the same weights."""
    network = net()
    graph = onnx.GraphProto(name="net")
    for name, part in network.named_children():
        if not isinstance(part, nn.Conv2d | nn.Linear):
            continue
        is_conv = isinstance(part, nn.Conv2d)
        kind, attributes = ("Conv", {"group": part.groups}) if is_conv else ("Gemm", {"transB": 1})
        shape = [1, *part.weight.shape[1:]] if not is_conv else [1, part.in_channels, 8, 8]
        graph.node.append(helper.make_node(kind, [f"x{name}", f"{name}.weight"], [f"y{name}"], **attributes))
        graph.input.append(helper.make_tensor_value_info(f"x{name}", TensorProto.FLOAT, shape))
        graph.output.append(helper.make_tensor_value_info(f"y{name}", TensorProto.FLOAT, [None] * len(shape)))
        graph.initializer.append(numpy_helper.from_array(part.weight.detach().numpy(), f"{name}.weight"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = load_pass("sparsify").run(model.SerializeToString(), np.zeros((0, 8, 8, 3), np.uint8), {"share": 0.6})
    thin = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(data).graph.initializer}

    sparse = SparseWeights(network, SparsityOptions(share=0.6, begin=0.0, end=0.0), updates=1)
    sparse.moved(0)

    assert {name for name, one in thin.items() if (one == 0).any()} == set(sparse.zeros) == set(SPARSE)
    for name, zeros in sparse.zeros.items():
        np.testing.assert_array_equal(zeros.numpy(), thin[name] == 0)


def test_what_is_seen_is_the_derivative_by_the_mask() -> None:
    """SNIP's definition: dL/dc of weights c·w, here at a mask with zeros in it."""
    network = net()
    sparse = SparseWeights(network, SparsityOptions(share=0.5, score="snip", begin=0.0, end=1.0, rounds=1), 10)
    whole = {name: one.detach().clone() for name, one in sparse_layers(network).items()}
    sparse.choose(0.5)
    expected = {name: torch.zeros_like(one) for name, one in whole.items()}
    for number in range(3):
        network.zero_grad()
        pictures, classes = batch(number)
        functional.cross_entropy(network(pictures), classes).backward()
        sparse.see_gradients()

        masks = {name: (~sparse.zeros[name]).float().requires_grad_() for name in whole}
        weights = {name: one * masks[name] for name, one in whole.items()}
        functional.cross_entropy(functional_call(network, weights, (pictures,)), classes).backward()
        for name, mask in masks.items():
            assert mask.grad is not None
            expected[name] += mask.grad
    for name, one in expected.items():
        torch.testing.assert_close(sparse.state_dict()["products"][name], one, rtol=1e-4, atol=1e-7)
        assert (one[sparse.zeros[name]] != 0).any(), "what is 0 is scored, too"


@pytest.mark.parametrize("score", ["magnitude", "movement", "snip"])
def test_after_the_last_round_the_share_is_met_and_kept(score: ScoreName) -> None:
    network, sparse = trained(SparsityOptions(share=0.8, score=score, end=0.5, rounds=4))
    weights = sparse_layers(network)
    count = sum(one.numel() for one in weights.values())
    assert sum(int((one == 0).sum()) for one in weights.values()) == round(0.8 * count)
    for name, one in weights.items():
        assert torch.equal(one == 0, sparse.zeros[name])
        assert (one != 0).any(), "no layer is emptied"
    assert zero_share(network) == round(0.8 * count) / count


def test_zeros_come_little_by_little_and_what_is_0_gets_no_gradient() -> None:
    network = net()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    sparse = SparseWeights(network, SparsityOptions(share=0.9, end=1.0, rounds=9), 10)
    shares = []
    for update in range(10):
        step(network, optimiser, sparse, update)
        shares.append(zero_share(network))
        for name, weight in sparse_layers(network).items():
            assert weight.grad is not None
            assert (weight[sparse.zeros[name]] == 0).all()
    expected = [0.9 - 0.9 * (1 - update / 9) ** 3 for update in range(10)]
    assert shares == pytest.approx(expected, abs=0.003)


def test_what_comes_back_is_what_it_was() -> None:
    network = net()
    whole = {name: one.detach().clone() for name, one in sparse_layers(network).items()}
    sparse = SparseWeights(network, SparsityOptions(share=0.7), 10)
    sparse.choose(0.7)
    assert zero_share(network) == pytest.approx(0.7, abs=0.01)
    sparse.choose(0.0)
    for name, one in sparse_layers(network).items():
        torch.testing.assert_close(one.detach(), whole[name], rtol=0, atol=0)


def test_a_score_that_turns_brings_a_weight_back() -> None:
    network = net()
    sparse = SparseWeights(network, SparsityOptions(share=0.5, score="movement"), 10)
    products = sparse.state_dict()["products"]
    for one in products.values():
        one.fill_(1.0)
        one.view(-1)[::2] = -1.0  # these move away from 0
    sparse.choose(0.3)
    first = {name: one.clone() for name, one in sparse.zeros.items()}
    for one in products.values():
        one.neg_()
    sparse.choose(0.3)
    assert all(not (first[name] & one).any() for name, one in sparse.zeros.items())


@pytest.mark.parametrize("score", ["magnitude", "movement", "snip"])
def test_two_of_every_four_inputs_are_0(score: ScoreName) -> None:
    network, _ = trained(SparsityOptions(pattern="2:4", score=score, end=0.5, rounds=3))
    layers = sparse_layers(network)
    assert (layers["0.weight"] != 0).all(), "three inputs"
    for name in ("4.weight", "7.weight"):
        assert ((layers[name].reshape(len(layers[name]), -1, 4) == 0).sum(2) == 2).all()


def test_of_four_the_higher_scores_stay() -> None:
    scores = {"a": np.random.default_rng(0).standard_normal((6, 8, 3, 3)).astype(np.float32)}
    zeros = chosen_zeros(scores, scores, 0.5, "2:4")["a"]
    for output, row, column in np.ndindex(6, 3, 3):
        for start in (0, 4):
            four = (output, slice(start, start + 4), row, column)
            assert set(np.flatnonzero(zeros[four])) == set(np.argsort(scores["a"][four])[:2])
    part = chosen_zeros(scores, scores, 0.2, "2:4")["a"]
    assert part.sum() == round(0.4 * zeros.sum())
    assert not (part & ~zeros).any()
    assert scores["a"][part].max() <= scores["a"][zeros & ~part].min()


def test_of_0_at_the_start_all_stay_and_no_others_come() -> None:
    network = net()
    with torch.no_grad():
        for one in sparse_layers(network).values():
            one.view(-1)[::3] = 0
    zeros = {name: one == 0 for name, one in sparse_layers(network).items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    sparse = SparseWeights(network, SparsityOptions(share=0.0), 5)
    for update in range(5):
        step(network, optimiser, sparse, update)
    for name, one in sparse_layers(network).items():
        assert torch.equal(one == 0, zeros[name])
    assert sparse.state_dict()["before"] == {}, "nothing waits"


def test_a_share_below_the_start_s_takes_none_back() -> None:
    network, _ = trained(SparsityOptions(share=0.8, end=0.0))
    before = zero_share(network)
    sparse = SparseWeights(network, SparsityOptions(share=0.3, end=0.0), 1)
    sparse.moved(0)
    assert zero_share(network) == before


def test_an_average_of_the_weights_has_the_same_zeros() -> None:
    network = net()
    ema = Ema(network, 0.9)
    sparse = SparseWeights(network, SparsityOptions(share=0.6, end=0.5, rounds=3), 8, average=ema.network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for update in range(8):
        step(network, optimiser, sparse, update)
        ema.update()
        sparse.average_moved()
    for name, one in sparse_layers(ema.network).items():
        assert torch.equal(one == 0, sparse.zeros[name])


def test_a_tensor_that_two_layers_share_counts_once() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    network[2].weight = network[0].weight
    assert list(sparse_layers(network)) == ["0.weight"]


@pytest.mark.parametrize("score", ["magnitude", "movement", "snip"])
def test_going_on_from_a_checkpoint_ends_in_the_same_bits(score: ScoreName) -> None:
    options = SparsityOptions(share=0.7, score=score, end=0.8, rounds=5)
    whole, _ = trained(options)
    network = net()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    sparse = SparseWeights(network, options, 12)
    for update in range(5):
        step(network, optimiser, sparse, update)
    saved: list[Any] = copy.deepcopy([network.state_dict(), optimiser.state_dict(), sparse.state_dict()])

    again = net()
    optimiser = torch.optim.AdamW(again.parameters(), lr=0.01, weight_decay=0.1)
    sparse = SparseWeights(again, options, 12)
    again.load_state_dict(saved[0])
    optimiser.load_state_dict(saved[1])
    sparse.load_state_dict(saved[2])
    for update in range(5, 12):
        step(again, optimiser, sparse, update)
    for mine, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    sparse = SparseWeights(net(), SparsityOptions(score="snip"), 5)
    with pytest.raises(CheckpointError, match="of another network"):
        sparse.load_state_dict({})


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), SparsityOptions(), "no convolution or linear layer"),
        (lambda: nn.Sequential(nn.Linear(6, 4)), SparsityOptions(pattern="2:4"), "multiple of four inputs"),
    ],
)
def test_a_network_in_which_nothing_can_be_0_is_refused(
    make: Callable[[], nn.Module], options: SparsityOptions, words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        SparseWeights(make(), options, 5)
