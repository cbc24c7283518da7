"""Torch's exporter, asked so that the graph comes out plain.

The dynamo exporter folds batch norms and paddings into the convolutions around
them and keeps the modules' names. It has no single operator for an adaptive
average pool, so a mean stands in for it, and it is loud, so it is kept quiet.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import onnx
import torch
from torch import Tensor, nn

from model_zoo.errors import ModelZooError

OPSET = 18


class _MeanPool(nn.Module):
    """``AdaptiveAvgPool2d(1)``, in a form the exporter keeps as one operator."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


def trace(module: nn.Module, example: Tensor, *, input_name: str, output_name: str) -> onnx.ModelProto:
    """Export ``module`` in evaluation mode, in float32, on the CPU.

    Args:
        module: one tensor in, one out; not changed.
        example: a batch of two or more; its first dimension becomes "N", the others stay.
    Raises:
        ModelZooError: onnxscript is not installed, or torch can't export the module.
    """
    if find_spec("onnxscript") is None:
        raise ModelZooError("exporting to ONNX needs onnxscript: pip install 'quickeye[optimize]'")
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _for_export(module),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise ModelZooError(f"torch can't export this module: {str(cause)[:300]}") from error
    if program is None:
        raise ModelZooError("torch's exporter returned no model")
    model: onnx.ModelProto = program.model_proto
    return model


def _for_export(module: nn.Module) -> nn.Module:
    clone = copy.deepcopy(module).cpu().float().eval()
    for parent in list(clone.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(parent, name, _MeanPool())
    return clone


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns of its own deprecations; it and what it calls log their progress."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
