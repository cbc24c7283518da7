"""Ways to run a network, best first; one that fails for any reason is passed over with a word in the log.

``compiled+graph``  torch.compile's kernels, each bucket recorded as one graph
``graph``           torch's own kernels, recorded
``eager``           torch's own kernels, called one by one
"""

import os
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from server.backends.errors import BackendLoadError
from server.backends.torch_engine.network import PixelNetwork
from server.backends.tuning import cache_folder

Mode = Literal["compiled+graph", "compiled", "graph", "eager"]
MODES: tuple[Mode, ...] = get_args(Mode)
RECORDED: tuple[Mode, ...] = ("compiled+graph", "graph", "eager")

# Of torch.compile: kernels are tried out; recording them is done here, for all buckets alike.
_COMPILE_MODE = "max-autotune-no-cudagraphs"
_SIZES_COMPILED = 64  # of one network: torch gives up at 8 by itself


def compiled(network: PixelNetwork) -> Callable[[Tensor], Tensor]:
    """What was tried out and compiled is kept for the next start."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torchinductor"))
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _SIZES_COMPILED)
    kernels: Callable[[Tensor], Tensor] = torch.compile(network, mode=_COMPILE_MODE, dynamic=False)
    return kernels


def refuse_mode(text: str) -> Mode:
    """A mode by its name.

    Raises:
        BackendLoadError: there is none of it.
    """
    for mode in MODES:
        if text == mode:
            return mode
    raise BackendLoadError(f"'torch.mode' must be one of {', '.join(MODES)}, not '{text}'")
