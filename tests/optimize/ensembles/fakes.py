"""Members that are tiny real networks, trained for a moment on pictures whose classes are easy to tell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo.spec import ArchitectureRef, InputSpec, Resize
from optimize.data.dataset import Dataset, Pixels, Task
from optimize.data.read import Data
from optimize.data.report import DataReport
from optimize.judging.predictions import Predictions
from optimize.training.compound_run import Tools
from optimize.training.finished import EpochRow, Finished
from optimize.training.network.network import Network
from optimize.training.recipe import Recipe, parse_recipe
from optimize.training.run_folder import RunFolder

# More threads than a busy machine has cores wait for each other far longer than such nets take.
torch.set_num_threads(1)

CLASSES = ("dark", "left", "right")
SPEC = InputSpec(8, 8, 1, "grey", Resize("stretch", 0), "none", (100.0,), (50.0,))


class Halves:
    """8×8 grey pictures: dark, bright on the left, bright on the right; noisy enough for mistakes."""

    def __init__(self, n: int, seed: int = 0, noise: float = 90.0) -> None:
        draw = np.random.default_rng(seed)
        self.labels = np.arange(n) % 3
        pictures = np.full((n, 8, 8, 1), 80.0)
        pictures[self.labels == 1, :, :4] += 50
        pictures[self.labels == 2, :, 4:] += 50
        self.pictures = np.clip(pictures + draw.normal(0, noise, pictures.shape), 0, 255).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Pixels:
        picture: Pixels = self.pictures[index]
        return picture

    def identifier(self, index: int) -> str:
        return f"half[{index}]"

    def digest(self, index: int) -> bytes:
        return self.pictures[index].tobytes()


def data_of(n: int = 180) -> Data:
    """A third of it validates, a third tests."""
    source = Halves(n)
    every = Dataset("halves", source, np.arange(n), source.labels[:, None].astype(np.int64), (Task("label", CLASSES),))
    part = n // 3
    train, val, test = (every.subset(np.arange(k * part, (k + 1) * part), name) for k, name in enumerate("abc"))
    return Data(train, val, test, None, DataReport("fingerprint", {}, {}))


class TinyNet(nn.Module):
    """One convolution, a batch norm, a pooled head."""

    def __init__(self, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(1, 6, 3, padding=1)
            self.bn = nn.BatchNorm2d(6)
            self.head = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 8, 8) → (N, classes)."""
        y = self.bn(self.conv(x)).relu()
        halves = torch.cat([y[..., :4].mean((2, 3)), y[..., 4:].mean((2, 3))], dim=1)
        logits: Tensor = self.head(halves)
        return logits


def pixels(dataset: Dataset) -> Tensor:
    """Normalised (N, 1, 8, 8)."""
    pictures = np.stack([dataset.read(index) for index in range(len(dataset))])
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 100.0) / 50.0


def inputs(dataset: Dataset, spec: InputSpec) -> Iterator[Tensor]:
    """In portions of 16."""
    yield from pixels(dataset).split(16)


def predict(network: nn.Module, dataset: Dataset, spec: InputSpec) -> Predictions:
    """All at once."""
    network.eval()
    with torch.no_grad():
        logits = network(pixels(dataset)).numpy()
    names = tuple(dataset.identifier(index) for index in range(len(dataset)))
    return Predictions(logits, dataset.first_labels, dataset.classes, names)


def network_of(module: nn.Module, classes: tuple[str, ...] = CLASSES, spec: InputSpec = SPEC) -> Network:
    """A module with what must be known of it."""
    reference = ArchitectureRef("tiny", {"num_classes": len(classes)})
    return Network(module=module.eval(), spec=spec, architecture=reference, tasks=(Task("label", classes),))


@dataclass
class TinyTrainer:
    """Trains for a few steps; notes what it was asked for, and trains nothing twice.

    Attributes:
        calls: (folder, recipe, data) of each training that was really done.
        before: called before each; may raise.
    """

    calls: list[tuple[str, Recipe, Data]] = field(default_factory=list)
    before: Callable[[str], None] = lambda name: None

    def __call__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        data: Data | None = None,
        watch: Callable[[EpochRow], None] | None = None,
    ) -> Finished:
        assert data is not None
        path = folder / "weights.pt"
        if not path.exists():
            self.before(folder.name)
            self.calls.append((folder.name, recipe, data))
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(self._trained(recipe, data).state_dict(), path)
        found = predict(opened(folder).module, data.val, SPEC)
        found.save(RunFolder(folder).predictions("val"))
        top1 = float((found.logits.argmax(1) == found.labels).mean())
        return Finished(RunFolder(folder), folder, (EpochRow(1, 0.1, 0.0, 0.0),), 1, top1, None, 1.0)

    def _trained(self, recipe: Recipe, data: Data) -> nn.Module:
        net = TinyNet(seed=recipe.seed)
        if recipe.model.weights is not None:
            net.load_state_dict(torch.load(Path(recipe.model.weights) / "weights.pt", weights_only=True))
        x, y = pixels(data.train), torch.from_numpy(data.train.first_labels)
        order = torch.Generator().manual_seed(recipe.seed)
        steps = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        net.train()
        for _ in range(8 * recipe.train.epochs):
            chosen = torch.randint(len(x), (32,), generator=order)
            steps.zero_grad()
            nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            steps.step()
        return net.eval()


def opened(folder: Path) -> Network:
    """What a folder's weights are."""
    net = TinyNet()
    net.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return network_of(net)


def tools_of(train: TinyTrainer | None = None, data: Data | None = None) -> Tools:
    """Tools around tiny networks."""
    return Tools(
        train=train or TinyTrainer(),
        read=lambda recipe: data or data_of(),
        predict=predict,
        inputs=inputs,
        open=opened,
        say=lambda line: None,
    )


def recipe_of(epochs: int = 3, **tables: object) -> Recipe:
    """A recipe with these further tables."""
    content: dict[str, object] = {
        "name": "tiny",
        "data": {"train": "nowhere"},
        "model": {"architecture": "grey28"},
        "train": {"epochs": epochs},
        "optimiser": {"name": "adamw", "lr": 0.001},
    }
    return parse_recipe({**content, **tables})
