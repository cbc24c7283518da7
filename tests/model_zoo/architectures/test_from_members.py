"""Ensembles as architectures: built from a sentence, and computing what their formulas say."""

import json

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.architectures.from_members import Mean, Member, Stacked, Votes, without_head
from model_zoo.errors import UnknownArchitectureError


def members(count: int = 2, **more: object) -> str:
    return json.dumps([[count, {"name": "grey28", "arguments": {"dropout": 0.0}, **more}]])


def picture(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Fixed(nn.Module):
    """Answers the same logits to everything."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor([logits], dtype=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1)


def test_a_mean_is_the_log_of_the_weighted_mean_of_probabilities() -> None:
    rows = np.array([[1.0, 2.0, 0.5], [-3.0, 0.0, 40.0]])
    ensemble = Mean([Fixed(*row) for row in rows], [3.0, 1.0])
    ensemble.temperature.fill_(1.5)
    expected = np.log(0.75 * softmax(rows[0]) + 0.25 * softmax(rows[1])) / 1.5
    assert np.allclose(ensemble(torch.zeros(2, 1, 1, 1))[1], expected, atol=1e-5)


def test_a_stack_is_a_linear_layer_over_log_probabilities() -> None:
    rows = np.array([[1.0, 2.0], [-3.0, 0.0]])
    stack = Stacked([Fixed(*row) for row in rows], 2)
    weight, bias = stack.meta.weight.detach().numpy(), stack.meta.bias.detach().numpy()
    expected = weight @ np.concatenate([log_softmax(row) for row in rows]) + bias
    assert np.allclose(stack(torch.zeros(1, 1, 1, 1)).detach()[0], expected, atol=1e-5)


def test_votes_are_counted_by_their_weights() -> None:
    votes = Votes(nn.Flatten(), 2, heads=3, num_classes=2)
    with torch.no_grad():
        votes.heads.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1], [0, 1], [1, 0]]))
        votes.heads.bias.zero_()
        votes.alphas.copy_(torch.tensor([1.0, 2.0, 5.0]))
    answers = votes(torch.tensor([[[[3.0]], [[1.0]]], [[[1.0]], [[3.0]]]]).view(2, 2, 1, 1))
    assert answers.tolist() == [[3.0, 5.0], [5.0, 3.0]]


def test_a_member_turns_the_ensembles_input_into_its_own() -> None:
    seen: list[torch.Tensor] = []

    class Noting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((2, 3))

    Member(Noting(), [2.0], [0.5], (14, 14))(picture(1))
    expected = nn.functional.interpolate(picture(1) * 2 + 0.5, (14, 14), mode="bilinear", align_corners=False)
    assert torch.equal(seen[0], expected)
    Member(Noting())(picture(1))
    assert torch.equal(seen[1], picture(1))


@pytest.mark.parametrize(("kind", "more"), [("mean", {}), ("stacked", {}), ("votes", {"heads": 4})])
def test_every_kind_is_built_from_its_arguments_and_takes_its_weights_back(kind: str, more: dict[str, int]) -> None:
    said = members(1 if kind == "votes" else 2)
    one, other = (build(f"ensemble:{kind}", 5, members=said, **more).eval() for _ in range(2))
    other.load_state_dict(one.state_dict())
    assert one(picture()).shape == (3, 5)
    assert torch.equal(one(picture()), other(picture()))


def test_members_may_differ() -> None:
    said = json.dumps(
        [[1, {"name": "grey28"}], [2, {"name": "grey28", "size": [14, 14], "scale": [2.0], "shift": [0.1]}]]
    )
    ensemble = build("ensemble:mean", 3, members=said)
    assert isinstance(ensemble, Mean)
    assert len(ensemble.members) == 3
    assert ensemble.eval()(picture()).shape == (3, 3)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ensemble:man", {"members": members()}),
        ("ensemble:mean", {}),
        ("ensemble:mean", {"members": "no json"}),
        ("ensemble:mean", {"members": '[[1, {"name": "nothing"}]]'}),
        ("ensemble:votes", {"members": members(1)}),
    ],
)
def test_what_describes_no_ensemble_is_refused(name: str, arguments: dict[str, str]) -> None:
    with pytest.raises(UnknownArchitectureError):
        build(name, 3, **arguments)


def test_an_input_is_known_for_each_kind() -> None:
    assert input_spec("ensemble:mean").channels == 3
    with pytest.raises(UnknownArchitectureError, match="did you mean 'mean'"):
        input_spec("ensemble:man")


def test_only_a_linear_head_comes_off() -> None:
    trunk, width = without_head(build("grey28", 10))
    assert (width, trunk.eval()(picture()).shape) == (64, (3, 64))
    with pytest.raises(ValueError, match="linear"):
        without_head(nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 1, 1)))
