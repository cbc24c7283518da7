"""Each distillation term alone teaches a small student what its teacher knows; nobody has labels."""

import pytest
import torch
from torch import Tensor

from optimize.training.step import StepView
from optimize.training.terms import TERMS
from tests.optimize.training.terms.steps import CLASSES, SmallNet, context, step_of, student, teacher
from tests.optimize.training.terms.test_feature_terms import keep


def blobs(n: int = 96) -> Tensor:
    """Pictures that differ: one bright corner each."""
    draw = torch.Generator().manual_seed(0)
    pictures = 0.2 * torch.rand(n, 1, 16, 16, generator=draw)
    for number, picture in enumerate(pictures):
        row, column = divmod(number % 4, 2)
        picture[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 0.7
    return pictures


def confident(pictures: Tensor) -> SmallNet:
    """A teacher's network that tells the corners apart."""
    torch.manual_seed(3)
    network = SmallNet(6)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(pictures), torch.arange(len(pictures)) % 4).backward()
        optimiser.step()
    return network


@pytest.mark.parametrize("name", ["soft_label", "dkd", "feature", "attention_transfer"])
def test_the_student_comes_closer(name: str) -> None:
    pictures = blobs()
    network, master = student(width=4), teacher(width=6)
    master.network.load_state_dict(confident(pictures).state_dict())
    term = TERMS.choose(name).build(context(network, master))
    seen: dict[str, Tensor] = {}
    for key in term.student_features:
        network.get_submodule(key).register_forward_hook(keep(seen, key))
    theirs = master(pictures)

    def step() -> StepView:
        seen.clear()
        logits = network(pictures)
        unlabelled = torch.zeros(len(pictures), len(CLASSES))
        return step_of(
            logits, theirs.logits, targets=unlabelled, features=seen, teacher_features=theirs.features, network=network
        )

    optimiser = torch.optim.Adam([*network.parameters(), *term.parameters()], lr=0.01)
    first = term(step()).item()
    for _ in range(120):
        optimiser.zero_grad()
        term(step()).backward()
        optimiser.step()
    network.eval()
    last = step()
    assert term(last).item() < 0.5 * first
    if name in ("soft_label", "dkd"):
        agreement = (last.student.logits.argmax(1) == theirs.logits.argmax(1)).double().mean()
        assert agreement > 0.95
