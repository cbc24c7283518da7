"""From a bundle's float weights to a module that takes pixels, for the ``torch`` backend.

The graph in ``model.onnx`` is not read. What is computed instead is the bundle's ``architecture`` with its
``weights.safetensors``, batch norms folded in, and the normalisation that the manifest records; the bundle's check
then holds the answers against those the graph was written with.
"""

from typing import Literal

import torch
from torch import Tensor, fx, nn

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError
from model_zoo.export import FromPixels
from model_zoo.spec import CLASS_ACTIVATION, Activation, InputSpec
from model_zoo.weights import restore
from server.backends.errors import BackendLoadError
from server.backends.torch_engine.fold import find_pooled, traced, with_features

Precision = Literal["fp32", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


class PixelNetwork(FromPixels):
    """uint8 (N, H, W, C) → float32 logits (N, classes), computed in ``dtype`` and in channels-last memory.

    ``maps`` gives the class-activation maps, where the network ends in a mean and a linear layer. ``activation`` is
    what the logits still lack to be scores.
    """

    def __init__(
        self, network: nn.Module, spec: InputSpec, dtype: torch.dtype, activation: Activation = "none"
    ) -> None:
        super().__init__(network.eval(), spec)
        self._dtype = dtype
        self.activation: Activation = activation
        self.explains = False
        try:
            module = traced(network)
        except Exception:  # noqa: BLE001 - any fault of a tracer: the network runs as it is written
            pass
        else:
            self.model = module
            self._find_maps(module, spec)
        self.model.to(dtype=dtype)
        for parameter in self.model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 → (N, classes)."""
        logits: Tensor = self.model(self.normalised(images).to(self._dtype))
        return logits.float()

    def maps(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 → which places speak for the best class (N, h, w); only where it ``explains``."""
        logits, features = self.with_features(self.normalised(images).to(self._dtype))
        rows: Tensor = self.linear.weight[logits.argmax(1)]
        return torch.einsum("nc,nchw->nhw", rows.float(), features.float())

    def _find_maps(self, module: fx.GraphModule, spec: InputSpec) -> None:
        generator = torch.Generator().manual_seed(0)
        example = torch.randn((1, spec.channels, spec.height, spec.width), generator=generator)
        pooled = find_pooled(module, example)
        if pooled is not None:
            self.with_features, self.linear = with_features(module, pooled), pooled.linear
            self.explains = True


def pixel_network(bundle: Bundle, precision: Precision) -> PixelNetwork:
    """The network of a bundle, on the CPU.

    Raises:
        BackendLoadError: the bundle is 8-bit, has no float weights of a known architecture, or outputs that this
            network does not have.
    """
    spec = bundle.spec
    if spec.precision == "int8":
        parent = f", '{spec.parent}'" if spec.parent else ""
        raise BackendLoadError(f"torch runs float weights: serve the float model this one was made of{parent}")
    try:
        network = PixelNetwork(restore(bundle), spec.input, DTYPES[precision], spec.outputs[0].activation)
    except ModelZooError as error:
        raise BackendLoadError(f"torch needs an architecture and its float weights: {error}") from error
    for output in spec.outputs:
        if output.name == CLASS_ACTIVATION and network.explains:
            continue
        if output is not spec.outputs[0] or output.kind != "logits":
            raise BackendLoadError(f"torch gives logits and class-activation maps, not the output '{output.name}'")
    return network.requires_grad_(False).eval()
