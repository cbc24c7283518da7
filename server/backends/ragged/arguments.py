"""What the kernel and its twin both take, and what both refuse."""

from typing import Protocol

import torch

from model_zoo.spec import InputSpec
from server.backends.ragged import supports
from server.backends.ragged.table import COLUMNS

OUTPUTS = (torch.uint8, torch.float16, torch.float32)


class RaggedResize(Protocol):
    """Resizes, crops, pads, turns and normalises a batch of packed pictures."""

    def __call__(
        self,
        pixels: torch.Tensor,
        table: torch.Tensor,
        out: torch.Tensor,
        spec: InputSpec,
        normalisation: torch.Tensor | None = None,
    ) -> None:
        """Fill ``out``; all tensors lie on one device.

        Args:
            pixels: uint8, (bytes,), as a ``Packer`` fills it for the same ``spec``.
            table: int64, (N, COLUMNS), likewise; N ≥ 1.
            out: (N, spec.height, spec.width, spec.channels), contiguous: uint8, float16 or
                float32. ``out.permute(0, 3, 1, 2)`` is the same in torch's channels-last layout.
            normalisation: float32, (2, spec.channels): the mean to subtract, then the standard deviation
                to divide by, both in levels of 0-255. None: the levels themselves. Only for float outputs.
        Raises:
            ValueError: a tensor has another shape, kind or layout, or the spec is not supported.
        """


def check_arguments(
    pixels: torch.Tensor, table: torch.Tensor, out: torch.Tensor, spec: InputSpec, normalisation: torch.Tensor | None
) -> None:
    """Refuse what would be read or written astray.

    Raises:
        ValueError: see ``RaggedResize``.
    """
    if not supports(spec):
        raise ValueError(f"ragged preprocessing does not do {spec.resize} with crop '{spec.crop}'")
    rows = len(table)
    _check("pixels", pixels, (pixels.numel(),), (torch.uint8,))
    _check("table", table, (max(rows, 1), COLUMNS), (torch.int64,))
    _check("out", out, (rows, spec.height, spec.width, spec.channels), OUTPUTS)
    if normalisation is not None:
        _check("normalisation", normalisation, (2, spec.channels), (torch.float32,))
        if out.dtype == torch.uint8:
            raise ValueError("a normalised input does not fit in uint8")


def _check(name: str, tensor: torch.Tensor, shape: tuple[int, ...], kinds: tuple[torch.dtype, ...]) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype not in kinds or not tensor.is_contiguous():
        raise ValueError(
            f"{name} must be {' or '.join(map(str, kinds))}, {shape}, contiguous; it is {tensor.dtype}, "
            f"{tuple(tensor.shape)}, strides {tensor.stride()}"
        )
