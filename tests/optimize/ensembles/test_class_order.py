"""Networks with their classes in another order than the data's answer the same, name by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures.from_members import Mean, Member, Stacked, Votes
from optimize.data.dataset import Task
from optimize.ensembles import ENSEMBLES
from optimize.ensembles.class_order import in_class_order
from optimize.ensembles.workshop import Workshop
from optimize.errors import RecipeError
from optimize.training.compound_run import Tools
from optimize.training.network.network import Network
from tests.optimize.ensembles.fakes import (
    CLASSES,
    SPEC,
    TinyNet,
    data_of,
    network_of,
    predict,
    recipe_of,
    tools_of,
)
from tests.optimize.ensembles.test_methods import right, sources

TURNED = ("right", "dark", "left")


def votes() -> nn.Module:
    trunk = TinyNet(seed=1)
    trunk.head = nn.Identity()  # type: ignore[assignment]
    module = Votes(trunk, 12, 4, 3)
    module.alphas.copy_(torch.tensor([1.0, 0.7, 0.4, 0.2]))
    return module


def stacked() -> nn.Module:
    return Stacked([Member(TinyNet(seed=1)), Member(TinyNet(seed=2))], 3)


def mean() -> nn.Module:
    return Mean([Member(TinyNet(seed=1)), Member(Mean([TinyNet(seed=2), stacked()]))], [2.0, 1.0])


def said(module: nn.Module) -> Tensor:
    x = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits: Tensor = module(x)
    return logits


@pytest.mark.parametrize("module", [TinyNet(), votes(), stacked(), mean()], ids=lambda one: type(one).__name__)
def test_logits_are_those_of_the_same_names(module: nn.Module) -> None:
    network = network_of(module)
    before = said(network.module)
    found = in_class_order(network, TURNED, "it")
    assert found.tasks == (Task("label", TURNED),)
    assert torch.allclose(said(found.module), before[:, [CLASSES.index(name) for name in TURNED]], atol=1e-6)
    assert torch.equal(said(network.module), before), "the network itself is as it was"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (("dark", "left"), "the data: only the data have 'right'. Name a network"),
        (("dark", "left", "up", "right"), "the data: only it has 'up'. "),
        (
            ("dark", "left", *(f"c{k}" for k in range(10, 17))),
            "have 'right'; only it has 'c10', .*'c14' and 2 m",
        ),
        (("dark", "left", "right", "left"), "a class name twice"),
    ],
)
def test_other_classes_are_refused(own: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^a/run .*{message}"):
        in_class_order(network_of(TinyNet(len(own)), own), CLASSES, "a/run")


def opening_turned(classes: tuple[str, ...] = TURNED) -> Tools:
    """Opens every folder's network with its classes in another order: the same answers by other numbers."""
    tools = tools_of()

    def turned(folder: Path) -> Network:
        return in_class_order(tools.open(folder), classes, "it")

    return replace(tools, open=turned)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("average", {"weights": "val"}),
        ("soup", {"kind": "greedy"}),
        ("boosting", {"rounds": 5}),
        ("boosting", {"rounds": 5, "algorithm": "samme"}),
    ],
)
def test_sources_of_another_order_make_the_same_ensemble(
    name: str, settings: dict[str, object], tmp_path: Path
) -> None:
    paths = sources(tmp_path, 3)
    own = {"source": paths[2]} if name == "boosting" else {"sources": paths}
    choice, data = ENSEMBLES.choose(name, {**settings, **own}), data_of()
    straight, turned = (
        choice.make(Workshop(recipe_of(), tmp_path / str(number), tools, data))
        for number, tools in enumerate((tools_of(), opening_turned()))
    )
    assert turned.network.tasks == straight.network.tasks == data.train.tasks, "exported under the data's names"
    expected = predict(straight.network.module, data.val, SPEC).logits
    assert torch.allclose(
        torch.from_numpy(predict(turned.network.module, data.val, SPEC).logits), torch.from_numpy(expected), atol=1e-4
    )
    assert right(expected) > 0.6, "chance is a third"
    for one, other in zip(straight.members, turned.members, strict=True):
        answers = [predict(member.network.module, data.val, SPEC).logits.argmax(1) for member in (one, other)]
        assert (answers[0] == answers[1]).all(), "members are judged by the data's numbers"


@pytest.mark.parametrize("name", ["average", "soup", "boosting"])
def test_a_source_of_more_classes_is_refused_by_name(name: str, tmp_path: Path) -> None:
    tools = replace(tools_of(), open=lambda path: network_of(TinyNet(5), (*CLASSES, "up", "down")))
    own: dict[str, object] = {"source": "large"} if name == "boosting" else {"sources": ["large", "large"]}
    with pytest.raises(RecipeError, match="large knows other classes than the data: only it has 'down', 'up'"):
        ENSEMBLES.choose(name, own).make(Workshop(recipe_of(), tmp_path, tools, data_of()))
