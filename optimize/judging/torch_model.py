"""A checkpoint or published weights, judged in torch: what a bundle of them would say, before there is one."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.export import FromPixels
from model_zoo.labels import imagenet_labels
from model_zoo.spec import InputSpec
from model_zoo.weights import PRETRAINED, fit_weights, load_weights, pretrained
from optimize.judging.judged_model import BATCH, Pictures, Rows


class TorchModel:
    """A network in evaluation mode; see ``JudgedModel``."""

    def __init__(self, name: str, network: nn.Module, spec: InputSpec, labels: tuple[str, ...], device: str) -> None:
        self.name, self.spec, self.labels = name, spec, labels
        self.runs_on = f"torch {torch.__version__} on {device}, fp32"
        self.size_bytes = sum(part.numel() * part.element_size() for part in network.state_dict().values())
        self._device = device
        self._network = FromPixels(network, spec).to(device).eval()

    def logits(self, pictures: Pictures) -> Rows:
        """See ``JudgedModel.logits``."""
        with torch.inference_mode():
            parts = [
                self._network(torch.from_numpy(np.array(pictures[start : start + BATCH])).to(self._device)).cpu()
                for start in range(0, len(pictures), BATCH)
            ]
        rows: Rows = torch.cat(parts).numpy()
        return rows

    def maps(self, pictures: Pictures) -> Rows | None:
        """None: maps are made when a network is exported."""
        return None

    def close(self) -> None:
        """Nothing to give back."""


def published(architecture: str, device: str = "cpu") -> TorchModel:
    """A zoo entry with the weights of its package, which know ImageNet's 1,000 classes.

    Raises:
        UnknownArchitectureError: no such entry.
        WeightsError: no package holds weights for it, or it is not installed.
    """
    weights = pretrained(architecture)
    network = build(architecture)
    fit_weights(network, weights)
    package = PRETRAINED[architecture]
    name = f"{architecture} ({package.distribution} {package.version})"
    return TorchModel(name, network, input_spec(architecture), imagenet_labels(), device)


def from_checkpoint(path: Path, architecture: str, labels: tuple[str, ...], device: str = "cpu") -> TorchModel:
    """A state dict of ``architecture`` with as many classes as there are labels, on the architecture's usual input.

    Raises:
        UnknownArchitectureError: no such entry.
        WeightsError: the file can't be read safely, or is of another network; the message says which names differ.
    """
    state = load_weights(path)
    network = build(architecture, len(labels))
    fit_weights(network, state)
    return TorchModel(path.name, network, input_spec(architecture), labels, device)
