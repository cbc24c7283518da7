"""Quantisation-aware training as a step: the network learns while its arithmetic is rounded as INT8 kernels round.

What it makes is a float network like any other, whose weights lie where rounding does little harm; ``quantize_int8``,
the next step, writes the INT8 graph. ``docs/qat.md`` tells it to users.
"""

from typing import ClassVar

from optimize.candidates.steps import Content
from optimize.candidates.training_steps import Finetune


class Qat(Finetune):
    """Settings, those of ``Finetune``."""

    called: ClassVar[str] = "qat"
    forced: ClassVar[Content] = {"precision": "int8"}
