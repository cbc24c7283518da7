"""Steps, networks and teachers, small and made by hand."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model_zoo.spec import InputSpec, Resize
from optimize.training.step import Seen, StepView, TermContext
from optimize.training.teacher.teacher import Teacher, TorchTeacher

CLASSES = ("ant", "bee", "cat", "dog")
SPEC = InputSpec(16, 16, 1, "grey", Resize("stretch", 16, "bilinear"), "none", (0.0,), (255.0,))


class SmallNet(nn.Module):
    """Three stages, of 16, 8 and 4 px; ``width`` channels and their multiples."""

    def __init__(self, width: int, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(2 * width, 3 * width, 3, 2, padding=1), nn.ReLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3 * width, 3 * width, 1), nn.Sigmoid())
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(3 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, classes)."""
        x = self.last(self.middle(self.stem(x)))
        logits: Tensor = self.head(self.dropout((x * self.squeeze(x)).mean((2, 3))))
        return logits


def student(width: int = 3, seed: int = 0) -> SmallNet:
    torch.manual_seed(seed)
    return SmallNet(width)


def teacher(width: int = 5, seed: int = 1, own: tuple[str, ...] = CLASSES, spec: InputSpec = SPEC) -> TorchTeacher:
    torch.manual_seed(seed)
    return TorchTeacher(
        SmallNet(width, len(own)), spec, said="the master", fingerprint=f"{width} {seed}", own=own, classes=CLASSES
    )


def context(network: nn.Module, master: Teacher | None, slices: tuple[slice, ...] = (slice(0, 4),)) -> TermContext:
    return TermContext(
        student=network, teacher=master, example=torch.zeros(2, 1, 16, 16), slices=slices, class_weights=None, seed=7
    )


def step_of(
    logits: Tensor,
    teacher_logits: Tensor | None = None,
    *,
    targets: Tensor | None = None,
    progress: float = 1.0,
    features: Mapping[str, Tensor] | None = None,
    teacher_features: Mapping[str, Tensor] | None = None,
    network: nn.Module | None = None,
) -> StepView:
    """A step of which only these things matter."""
    n, classes = logits.shape
    return StepView(
        pictures=torch.zeros(n, 1, 16, 16),
        indices=torch.arange(n),
        targets=torch.eye(classes)[torch.arange(n) % classes] if targets is None else targets,
        slices=(slice(0, classes),),
        student=Seen(logits, features or {}),
        teacher=None if teacher_logits is None else Seen(teacher_logits, teacher_features or {}),
        target_domain=None,
        network=network or nn.Identity(),
        progress=progress,
    )


def random_logits(n: int = 6, classes: int = 4, seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
