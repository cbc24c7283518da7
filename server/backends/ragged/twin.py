"""The kernel's twin in plain torch: two products with matrices of weights per picture.

For machines without Triton, and to judge the kernel by: it shares none of the
kernel's code and sums in float64. It reads the table on the host, so it cannot be
captured in a CUDA graph, and its time grows with the pictures' sizes.
"""

import torch

from model_zoo.spec import InputSpec, ResizeFilter
from server.backends.ragged.arguments import check_arguments
from server.backends.ragged.table import AxisColumn, Column

UNIT = 2.0**-22  # of Pillow's weights; float64 sums their products with levels without loss


def resize(
    pixels: torch.Tensor,
    table: torch.Tensor,
    out: torch.Tensor,
    spec: InputSpec,
    normalisation: torch.Tensor | None = None,
) -> None:
    """See ``RaggedResize``."""
    check_arguments(pixels, table, out, spec, normalisation)
    for numbers, image in zip(table.tolist(), out, strict=True):
        levels = _levels(pixels, numbers, spec)
        if numbers[Column.ROUNDED] or out.dtype == torch.uint8:
            levels = _rounded(levels)
        if normalisation is not None:
            levels = (levels - normalisation[0]) / normalisation[1]
        image.copy_(levels)


def _levels(pixels: torch.Tensor, numbers: list[int], spec: InputSpec) -> torch.Tensor:
    """One picture in the model's input: float64, (height, width, channels), 0-255."""
    inner = numbers[Column.INNER : Column.OUTER]
    outer = numbers[Column.OUTER :]
    turned = bool(numbers[Column.INNER_IS_Y])
    canvas = torch.full(
        (spec.height, spec.width, spec.channels), numbers[Column.FILL], dtype=torch.float64, device=pixels.device
    )
    rows, columns = (inner, outer) if turned else (outer, inner)
    top, left = rows[AxisColumn.PADDING], columns[AxisColumn.PADDING]
    window = canvas[top : top + rows[AxisColumn.VISIBLE], left : left + columns[AxisColumn.VISIBLE]]
    exact = bool(numbers[Column.ROUNDED])
    first, second = (_weights(axis, spec.resize.filter, exact, pixels.device) for axis in (inner, outer))
    for channel, plane in enumerate(_planes(pixels, numbers[Column.OFFSET], outer, inner, spec.channels)):
        summed = plane.double() @ first.T
        result = second @ (_rounded(summed) if exact else summed)
        window[:, :, channel] = result.T if turned else result
    return canvas.clamp_(0, 255)


def _planes(
    pixels: torch.Tensor, offset: int, outer: list[int], inner: list[int], channels: int
) -> tuple[torch.Tensor, ...]:
    """The picture's channels, each uint8, (outer source, inner source)."""
    sizes = [outer[AxisColumn.SOURCE], inner[AxisColumn.SOURCE]]
    strides = [outer[AxisColumn.STRIDE], inner[AxisColumn.STRIDE]]
    mirrored = [axis for axis in (0, 1) if strides[axis] < 0]  # torch has no negative strides
    start = offset + sum((sizes[axis] - 1) * strides[axis] for axis in mirrored)
    image = pixels.as_strided((*sizes, channels), (*map(abs, strides), 1), start)
    return image.flip(mirrored).unbind(2)


def _weights(axis: list[int], kernel: ResizeFilter, exact: bool, device: torch.device) -> torch.Tensor:
    """float64, (visible, source): how much of each pixel of the picture is in each of the window."""
    shrink = axis[AxisColumn.SPAN] / 8 / axis[AxisColumn.SCALED]
    low, visible = axis[AxisColumn.LOW], axis[AxisColumn.VISIBLE]
    centres = (torch.arange(low, low + visible, dtype=torch.float64, device=device) + 0.5) * shrink
    places = torch.arange(axis[AxisColumn.SOURCE], dtype=torch.float64, device=device) + 0.5
    weights = _filter((places - centres[:, None]).abs() / max(shrink, 1.0), kernel)
    weights /= weights.sum(dim=1, keepdim=True)
    return (weights.abs() / UNIT + 0.5).floor() * weights.sign() * UNIT if exact else weights


def _filter(distance: torch.Tensor, kernel: ResizeFilter) -> torch.Tensor:
    if kernel == "bilinear":
        return (1 - distance).clamp(min=0)
    if kernel == "lanczos":
        lobes = torch.sinc(distance) * torch.sinc(distance / 3)
        return torch.where(distance < 3, lobes, 0.0)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def _rounded(levels: torch.Tensor) -> torch.Tensor:
    """To whole levels, halves up, as Pillow's fixed point."""
    return (levels + 0.5).floor().clamp(0, 255)
