"""Launches the Triton kernel (``program.py``) on a whole batch.

The grid is the bucket times the tiles of the input, and nothing that differs
between pictures is an argument: capture ``resize`` in a CUDA graph after one
launch outside, which compiles it for the spec.
"""

import torch
import triton

from model_zoo.spec import InputSpec, ResizeFilter
from server.backends.ragged.arguments import check_arguments
from server.backends.ragged.program import resize_tile

TILE_ROWS = 16
TILE_ELEMENTS = 128
CHUNK_ROWS = 16
WARPS = 4
REACH: dict[ResizeFilter, int] = {"bilinear": 1, "bicubic": 2, "lanczos": 3}


def resize(
    pixels: torch.Tensor,
    table: torch.Tensor,
    out: torch.Tensor,
    spec: InputSpec,
    normalisation: torch.Tensor | None = None,
) -> None:
    """See ``RaggedResize``; on the current CUDA stream, without waiting for it."""
    check_arguments(pixels, table, out, spec, normalisation)
    heights = (spec.height, spec.width), (spec.width, spec.height)
    tiles = max(
        triton.cdiv(rows, TILE_ROWS) * triton.cdiv(columns * spec.channels, TILE_ELEMENTS) for rows, columns in heights
    )
    resize_tile[tiles, len(table)](
        pixels,
        table,
        out,
        out if normalisation is None else normalisation,
        spec.height,
        spec.width,
        spec.channels,
        REACH[spec.resize.filter],
        normalisation is not None,
        out.dtype == torch.uint8,
        TILE_ROWS,
        TILE_ELEMENTS,
        CHUNK_ROWS,
        num_warps=WARPS,
    )
