"""The same network at another input size: fewer pixels, fewer multiply-adds."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from model_zoo.bundle import Bundle
from optimize.candidates.bench import Bench
from optimize.candidates.float_network import export_like, float_network
from optimize.choice import Choice

Side = Annotated[int, Field(ge=8, le=4096)]


class Resize(Choice):
    """Settings.

    Attributes:
        height: px.
        width: px; the height by default.
    """

    height: Side
    width: Side | None = None

    def make(self, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
        """See ``StepChoice``."""
        network = float_network(bundle, "resize")
        spec = network.spec.at_size(self.height, self.width or self.height)
        return export_like(bundle, network.module, spec, network.architecture, folder)
