"""Other ways to say the same graph, which some engines run faster on some machines, and others slower.

A rewrite changes no answer: in integers not by one code, in float by rounding alone. Which of them
helps hangs on the kernels behind it and is not known beforehand, so ``faster.py`` tries each and keeps what
was measured to be faster. None of them is a pass: what comes out is for the machine that measured.

Adding one: a file in this folder with a function as ``Rewrite``, and a line in ``REWRITES``.
"""

import importlib
from collections.abc import Collection
from typing import Protocol

import onnx

_HERE = "optimize.passes.rewrites"

# In the order in which they are tried; each begins with what was kept of those before.
REWRITES: dict[str, str] = {
    "first_convolution": f"{_HERE}.first_convolution:normalise_within",
    "channels_in_eights": f"{_HERE}.channels_in_eights:pad_channels",
    "pointwise_products": f"{_HERE}.pointwise_products:pointwise_as_products",
}


class Rewrite(Protocol):
    """A function of a graph."""

    def __call__(self, model: onnx.ModelProto, wanted: Collection[str] | None = None) -> list[str]:
        """Rewrite in place.

        Args:
            model: as ``read_model`` gives it; inputs, outputs and metadata stay.
            wanted: names of layers, of those that it gives; None: all that can be rewritten.
        Returns:
            The layers that were rewritten, those first that it hopes most of.
        """
        ...


def load_rewrite(name: str) -> Rewrite:
    """The entry of ``REWRITES``."""
    module, _, attribute = REWRITES[name].partition(":")
    found: Rewrite = getattr(importlib.import_module(module), attribute)
    return found
