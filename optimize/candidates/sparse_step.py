"""Sparse training as a step: weights become 0 little by little, while the others learn to do without them.

What it makes is a float network like any other, with zeros in it; ``finetune`` and ``qat`` after it leave them
zeros, ``quantize_int8`` does, and ``sparse_storage`` stores them in a bit each. ``docs/sparsity.md`` tells it to users.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from optimize.candidates.steps import Content
from optimize.candidates.training_steps import Finetune
from optimize.training.sparsity.options import HALF, SparsityOptions


class SparseFinetune(Finetune, SparsityOptions):
    """Settings, those of ``Finetune`` and of ``[sparsity]`` in a training recipe."""

    called: ClassVar[str] = "sparse_finetune"
    forced: ClassVar[Content] = {"keep": "last", "early_stopping": 0}

    share: Annotated[float, Field(gt=0, lt=1)] = HALF

    def tables(self) -> Content:
        """See ``Finetune.tables``."""
        return {"sparsity": {name: getattr(self, name) for name in SparsityOptions.model_fields}}
